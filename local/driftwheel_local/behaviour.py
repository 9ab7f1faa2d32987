"""What AWS may do and the local stack does by itself only when it is told to.

A JSON file of `driftwheel up --behaviour FILE`, every part optional:

    {"sagemaker": {"training_outcomes": ["CapacityError: none left"], "unseen_seconds": 2},
     "events": {"seed": 4, "lost": 0.1, "repeated": 0.2, "late": 0.3},
     "s3": {"sequencer_digits": [18, 14, 20]}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from driftwheel_local.disorder import Disorder
from driftwheel_local.sagemaker.jobs import Limits
from driftwheel_local.world import World

_KNOWN = {
    "sagemaker": {each.name for each in fields(Limits)},
    "events": {each.name for each in fields(Disorder) if each.init and not each.name.startswith("_")},
    "s3": {"sequencer_digits"},
}


class BehaviourError(ValueError):
    """When the file says what no part of the stack can do; names it."""


@dataclass(frozen=True)
class Behaviour:
    """What `Limits` to set, which `Disorder`, and how long sequencers are."""

    sagemaker: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, Any] = field(default_factory=dict)
    s3: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Behaviour":
        """Read the file. Raises BehaviourError."""
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            unknown = [part for part in given if part not in _KNOWN]
            unknown += [
                f"{part}.{name}"
                for part in given.keys() & _KNOWN
                for name in given[part]
                if name not in _KNOWN[part]
            ]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise BehaviourError(f"{path}: {error}") from error
        if unknown:
            raise BehaviourError(f"{path}: {unknown[0]} is unknown; known: {_names()}")
        return cls(**given)

    def tell(self, world: World) -> None:
        """Let a world behave so from now on."""
        for name, value in self.sagemaker.items():
            setattr(world.sagemaker.limits, name, value)
        if self.events:
            world.router.disorder = Disorder(**self.events)
        if self.s3:
            world.object_events.sequencer.digits = self.s3["sequencer_digits"]


def _names() -> str:
    return ", ".join(f"{part}.{name}" for part, names in _KNOWN.items() for name in sorted(names))
