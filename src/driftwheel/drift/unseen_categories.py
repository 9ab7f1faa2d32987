"""Values that the training data never had."""

import math
from dataclasses import dataclass
from typing import ClassVar

from driftwheel.drift.column import CategorySummary
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import poisson_at_least


@dataclass(frozen=True)
class UnseenCategories(DriftTest):
    """Share of the window's rows whose category the baseline never saw: 0 to 1.

    At 0.05 the model answers one row in twenty without knowing its category. A long-tailed column always
    meets new values. Good and Turing: the chance that the next row is one is about N1/m, N1 the values seen
    exactly once in m rows (Good 1953, Biometrika 40), with variance about (N1 + 2 N2)/m² (Robbins 1968). The
    window is judged against the upper end of that, three standard deviations above: P(X >= unseen rows), X
    Poisson of mean n · bound.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 980 + ["c"] * 20, "category")
    >>> score = UnseenCategories().score(Pair(before, after))
    >>> round(score.effect, 3), score.p_value < 1e-6
    (0.02, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"category"})
    kind: ClassVar[DriftTestName] = "unseen_categories"
    strong: float = 0.05
    slight: float = 0.002

    def score(self, pair: Pair) -> Score:
        """Count the rows of unseen values and judge them against the bound."""
        rows = sum(unseen(pair).values())
        if not rows:
            return Score(0.0, 1.0)
        expected = chance_of_unseen(pair) * pair.window.count
        return Score(rows / pair.window.count, poisson_at_least(rows, expected))

    def noise(self, pair: Pair, tail: float) -> float:
        """Bound the share by the expected rows and a Poisson deviation (Bernstein)."""
        expected = chance_of_unseen(pair) * pair.window.count
        deviation = -math.log(tail)
        above = expected + math.sqrt(2 * expected * deviation) + deviation / 3
        return min(1.0, above / max(1, pair.window.count))


def unseen(pair: Pair) -> dict[str, int]:
    """Give the window's values that the baseline never saw, with their rows.

    Empty where the baseline was capped: a value missing from its list may have been seen.
    """
    assert isinstance(pair.baseline, CategorySummary)
    assert isinstance(pair.window, CategorySummary)
    if pair.baseline.other:
        return {}
    return {value: n for value, n in pair.window.values.items() if value not in pair.baseline.values}


def chance_of_unseen(pair: Pair) -> float:
    """Bound from above the chance that one more row of the baseline's population is a new value."""
    assert isinstance(pair.baseline, CategorySummary)
    once = sum(1 for n in pair.baseline.values.values() if n == 1)
    twice = sum(1 for n in pair.baseline.values.values() if n == 2)
    return min(1.0, (once + 1 + 3 * math.sqrt(once + 2 * twice + 1)) / max(1, pair.baseline.count))
