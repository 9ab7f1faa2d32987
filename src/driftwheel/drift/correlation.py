"""Change of how columns go together."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.joint import LIMIT, JointSummary
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import chi_square_quantile, normal_two_sided

LEAST = 100
"""Rows with both values, then and now, below which a pair is not judged."""


@dataclass(frozen=True)
class Change:
    """The rank correlation of a pair then and now; ``p_value`` is corrected for all pairs."""

    pair: tuple[str, str]
    before: float
    now: float
    p_value: float

    @property
    def effect(self) -> float:
        """How far it moved: 0 to 2."""
        return abs(self.now - self.before)


@dataclass(frozen=True)
class Correlation(DriftTest):
    """|r - r'| of the pair of numeric columns whose rank correlation changed most, among the sure ones.

    0 (same) to 2 (turned round). Both are taken with the baseline's ranks: columns that only move by
    themselves keep their correlation, as long as they stay among values the baseline had. Fisher's z:
    z = atanh r, (z - z') / √(v/(n - 3) + v/(m - 3)) is about standard normal, v each pair's own spread in the
    baseline (``joint``; Fieller, Hartley and Pearson 1957, Biometrika 44); times the number of pairs
    (Bonferroni). 0.1 is a small, 0.3 a medium correlation (Cohen 1988).

    >>> from driftwheel.drift.summaries import summarise
    >>> kinds = {"x": "number", "y": "number"}
    >>> one = list(range(200))
    >>> before = summarise({"x": one, "y": one}, kinds)
    >>> after = summarise({"x": one, "y": one[::-1]}, kinds, like=before)
    >>> score = Correlation().score(Pair(before.joint, after.joint))
    >>> round(score.effect, 2), score.p_value < 1e-12
    (2.0, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"joint"})
    kind: ClassVar[DriftTestName] = "correlation"
    strong: float = 0.3
    slight: float = 0.1

    def score(self, pair: Pair) -> Score:
        """Let the largest sure change speak; where none is sure, the most surprising one."""
        found = changes(pair)
        if not found:
            return Score(0.0, 1.0)
        sure = [change for change in found if change.p_value < 0.01]
        speaks = max(sure, key=lambda change: change.effect) if sure else found[0]
        return Score(speaks.effect, speaks.p_value)

    def noise(self, pair: Pair, tail: float) -> float:
        """Turn Fisher's bound back into a change of r, for the pair that varies most."""
        before, now = _joints(pair)
        if not before.pairs:
            return 0.0
        z = math.sqrt(chi_square_quantile(tail / len(before.pairs), 1))
        r = np.clip(np.nan_to_num(before.correlations), -LIMIT, LIMIT)
        return min(2.0, float(np.max(z * _errors(before, now) * (1 - r * r))))


def changes(pair: Pair) -> list[Change]:
    """Judge every pair with enough rows, the most surprising first."""
    before, now = _joints(pair)
    one, other = (np.clip(joint.correlations, -LIMIT, LIMIT) for joint in (before, now))
    moved = np.arctanh(one) - np.arctanh(other)
    errors = _errors(before, now)
    enough = np.minimum(before.sums[:, 0], now.sums[:, 0]) >= LEAST
    found = [
        Change(
            before.pairs[n],
            float(one[n]),
            float(other[n]),
            min(1.0, normal_two_sided(float(moved[n] / errors[n])) * len(before.pairs)),
        )
        for n in np.flatnonzero(enough & np.isfinite(moved))
    ]
    return sorted(found, key=lambda change: (change.p_value, -change.effect))


def _errors(before: JointSummary, now: JointSummary) -> np.typing.NDArray[np.float64]:
    """Give the standard error of z - z' for each pair if nothing has changed."""
    sizes = [1 / np.maximum(joint.sums[:, 0] - 3.0, 1.0) for joint in (before, now)]
    return np.asarray(np.sqrt(np.array(before.spreads) * (sizes[0] + sizes[1])))


def _joints(pair: Pair) -> tuple[JointSummary, JointSummary]:
    assert isinstance(pair.baseline, JointSummary)
    assert isinstance(pair.window, JointSummary)
    return pair.baseline, pair.window
