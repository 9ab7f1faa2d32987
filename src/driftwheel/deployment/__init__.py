"""One file per deployment mode; requests; and the proof that the endpoint serves what was asked for."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from driftwheel.deployment.all_at_once import AllAtOnce
from driftwheel.deployment.canary import Canary
from driftwheel.deployment.linear import Linear

__all__ = ["MODES", "AllAtOnce", "Canary", "Deployment", "Linear"]


def _mode(given: Any) -> Any:
    return given.get("mode", "canary") if isinstance(given, dict) else getattr(given, "mode", None)


Deployment = Annotated[
    Annotated[Canary, Tag("canary")]
    | Annotated[Linear, Tag("linear")]
    | Annotated[AllAtOnce, Tag("all_at_once")],
    Discriminator(_mode),
]
"""How a model may be deployed; canary unless ``mode`` says otherwise."""

MODES = (Canary, Linear, AllAtOnce)
