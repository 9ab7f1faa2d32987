"""What every drift test answers, and what it must say about itself."""

from dataclasses import dataclass
from typing import ClassVar

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair


@dataclass(frozen=True)
class Score:
    """How large a difference is, and the chance of one this large between samples of one population."""

    effect: float
    p_value: float


@dataclass(frozen=True)
class DriftTest:
    """One way to compare a column with its baseline.

    ``strong`` is the effect from which a feature counts towards a retraining; ``slight`` the smallest one
    worth a word: whatever the significance, less is immaterial.
    """

    kinds: ClassVar[frozenset[str]]
    """The summaries it applies to: ``number``, ``category``, ``opaque``."""

    kind: ClassVar[DriftTestName]
    strong: float
    slight: float

    def score(self, pair: Pair) -> Score:
        """Compare the two; called only when both have values."""
        raise NotImplementedError

    def noise(self, pair: Pair, tail: float) -> float:
        """Give the effect that chance alone exceeds with probability ``tail`` at these sample sizes."""
        raise NotImplementedError
