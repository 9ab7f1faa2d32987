"""Change in how often a value is missing."""

import math
from dataclasses import dataclass
from typing import ClassVar

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import two_proportions


@dataclass(frozen=True)
class Missingness(DriftTest):
    """Difference of the shares of missing values, window minus baseline, without its sign.

    0 to 1; at 0.1 one row in ten lost its value, or got one. Two-proportion z-test, Fisher's exact test where
    fewer than ten are expected (see ``significance.two_proportions``); Agresti 2013, Categorical Data
    Analysis, 3.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column([1.0] * 900 + [None] * 100, "number")
    >>> after = summarise_column([1.0] * 800 + [None] * 200, "number", like=before)
    >>> score = Missingness().score(Pair(before, after))
    >>> round(score.effect, 3), score.p_value < 1e-9
    (0.1, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"number", "category", "opaque"})
    kind: ClassVar[DriftTestName] = "missingness"
    strong: float = 0.1
    slight: float = 0.01

    def score(self, pair: Pair) -> Score:
        """Compare the two shares."""
        one, other = pair.baseline, pair.window
        effect = abs(other.nulls / other.rows - one.nulls / one.rows)
        return Score(effect, two_proportions(one.nulls, one.rows, other.nulls, other.rows))

    def noise(self, pair: Pair, tail: float) -> float:
        """Bound the difference of two shares (Hoeffding): no table of exact tails is needed for a floor."""
        sizes = 1 / pair.baseline.rows + 1 / pair.window.rows
        return min(1.0, math.sqrt(math.log(2 / tail) / 2 * sizes))
