"""Values of the training data that no longer come."""

import math
from dataclasses import dataclass
from typing import ClassVar

from driftwheel.drift.column import CategorySummary
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score


@dataclass(frozen=True)
class VanishedCategories(DriftTest):
    """Share that the commonest vanished value had in the baseline: 0 to 1.

    At 0.05 a value that one row in twenty had no longer comes. A small window never shows every rare value.
    In one population, all k rows of a value fall among the m of the baseline and none among the n of the
    window with probability ∏ (m - i) / (m + n - i), i < k (the hypergeometric zero, Fisher 1935); times the
    number of values that could have vanished (Bonferroni). A window whose rarest values were only counted
    together is not judged: the value may be among them.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 900 + ["b"] * 70 + ["c"] * 30, "category")
    >>> after = summarise_column(["a"] * 960 + ["c"] * 40, "category")
    >>> score = VanishedCategories().score(Pair(before, after))
    >>> round(score.effect, 3), score.p_value < 1e-6
    (0.07, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"category"})
    kind: ClassVar[DriftTestName] = "vanished_categories"
    strong: float = 0.05
    slight: float = 0.005

    def score(self, pair: Pair) -> Score:
        """Find the commonest value that did not come and judge its absence."""
        gone = vanished(pair)
        if not gone:
            return Score(0.0, 1.0)
        rows, before, now = max(gone.values()), pair.baseline.count, pair.window.count
        chance = math.exp(_log_none_of(rows, before, now))
        return Score(rows / before, min(1.0, chance * _values(pair)))

    def noise(self, pair: Pair, tail: float) -> float:
        """Give the share at which the chance above is ``tail`` (every row of a value drawn on its own)."""
        before, now = max(1, pair.baseline.count), max(1, pair.window.count)
        rows = math.log(tail / max(1, _values(pair))) / math.log(before / (before + now))
        return min(1.0, rows / before)


def vanished(pair: Pair) -> dict[str, int]:
    """Give the baseline's values that the window lacks, with their rows in the baseline."""
    assert isinstance(pair.baseline, CategorySummary)
    assert isinstance(pair.window, CategorySummary)
    if pair.window.other:
        return {}
    return {value: n for value, n in pair.baseline.values.items() if value not in pair.window.values}


def _values(pair: Pair) -> int:
    assert isinstance(pair.baseline, CategorySummary)
    return len(pair.baseline.values)


def _log_none_of(rows: int, before: int, now: int) -> float:
    """Give ln of before! (before + now - rows)! / ((before - rows)! (before + now)!)."""
    return (
        math.lgamma(before + 1)
        - math.lgamma(before - rows + 1)
        + math.lgamma(before + now - rows + 1)
        - math.lgamma(before + now + 1)
    )
