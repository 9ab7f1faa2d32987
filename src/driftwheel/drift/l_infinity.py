"""Largest change of one category's share."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import two_proportions


@dataclass(frozen=True)
class LInfinity(DriftTest):
    """L∞ = max |q - p| over the values: 0 (same) to 1.

    The distance that SageMaker Model Monitor uses for categories, threshold 0.1 (AWS 2026, Amazon SageMaker
    Developer Guide, "Schema for constraints"). The p-value is that of the most changed value's share, times
    the number of values (Bonferroni 1936): an upper bound.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 700 + ["b"] * 300, "category")
    >>> round(LInfinity().score(Pair(before, after)).effect, 2)
    0.2
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"category"})
    kind: ClassVar[DriftTestName] = "l_infinity"
    strong: float = 0.1
    slight: float = 0.02

    def score(self, pair: Pair) -> Score:
        """Find the value whose share changed most and judge that change."""
        before, now = pair.bins.baseline, pair.bins.window
        n, m = int(before.sum()), int(now.sum())
        changes = np.abs(now / m - before / n)
        most = int(np.argmax(changes))
        p_value = two_proportions(int(before[most]), n, int(now[most]), m)
        return Score(float(changes[most]), min(1.0, p_value * len(before)))

    def noise(self, pair: Pair, tail: float) -> float:
        """Bound the change of any value: two-sided Chernoff bound of a share's sub-Gaussian deviation."""
        values = max(1, len(pair.bins.names))
        return min(1.0, math.sqrt(math.log(2 * values / tail) / 2 * pair.bins.noise))
