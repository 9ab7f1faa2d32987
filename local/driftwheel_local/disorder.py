"""Events of AWS's services as they may come: lost, twice, behind later ones; drawn from a seed.

S3 promises at least once and no order, the other services less: docs of each service, "event delivery".
"""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]


@dataclass
class Disorder:
    """What share of the events is lost, told twice (under one id), or told behind the next one."""

    seed: int = 0
    lost: float = 0.0
    repeated: float = 0.0
    late: float = 0.0
    _held: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311  # faults are repeated from the seed
        self._lock = threading.Lock()

    def told(self, event: Event) -> list[Event]:
        """Answer what is told when this event happens."""
        with self._lock:
            drawn = self._dice.random()
            if drawn < self.lost:
                return []
            if drawn < self.lost + self.late:
                self._held.append(event)
                return []
            copies = 2 if drawn < self.lost + self.late + self.repeated else 1
            held, self._held = self._held, []
            return [event] * copies + held

    def rest(self) -> list[Event]:
        """Answer what was still held back."""
        with self._lock:
            held, self._held = self._held, []
            return held
