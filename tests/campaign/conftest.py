"""How large the campaign is: a small seed of each case by default, the whole with ``CAMPAIGN=full``."""

import os

from tests.loop.conftest import _judged

__all__ = ["_judged"]

FULL = os.environ.get("CAMPAIGN") == "full"
