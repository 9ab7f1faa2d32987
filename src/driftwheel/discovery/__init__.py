"""A first look at unknown data: what its columns are, what is odd about them, and a first ``model.yaml``."""

from driftwheel.discovery.draft import draft
from driftwheel.discovery.survey import Survey, survey

__all__ = ["Survey", "draft", "survey"]
