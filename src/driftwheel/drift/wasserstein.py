"""Wasserstein distance, in standard deviations of the baseline."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.cells import Floats
from driftwheel.drift.column import NumberSummary
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score


@dataclass(frozen=True)
class Wasserstein(DriftTest):
    """W = ∫ |F(x) - G(x)| dx / s: how far values had to be carried, s the baseline's standard deviation.

    0 (same) to infinity; a shift of the mean by d standard deviations gives d. Strong is that of PSI 0.2;
    slight is smaller than its 0.02, because a variance 1.3 times as large moves a peaked column by 0.09 and
    its PSI by 0.016 only (benchmarks/verdicts.py). A baseline
    that never moved is measured in standard deviations of both together.

    In two samples of one population W is the area under a Gaussian process without its sign. Its mean is
    about √(2/π) ∫ √(F (1 - F) (1/n + 1/m)) dx, and no signed area of it has more variance than a difference
    of means; so P(W >= mean + t) <= exp(-t² / 2 variance) (Borell 1975, Inventiones Math. 30; del Barrio,
    Giné and Matrán 1999, Ann. Probab. 27). The p-value is this bound, which is on the large side.
    From cells W is right to their width, 1/128 of a value's distance from the centre.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(list(range(100)), "number")
    >>> after = summarise_column(list(range(30, 130)), "number", like=before)
    >>> round(Wasserstein().score(Pair(before, after)).effect, 2)  # 30 / 28.87
    1.04
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"number"})
    kind: ClassVar[DriftTestName] = "wasserstein"
    strong: float = 0.45
    slight: float = 0.075

    def score(self, pair: Pair) -> Score:
        """Add up the gaps between the cumulative shares."""
        gaps, widths, together = _compared(pair)
        unit = _unit(pair)
        area = float(np.sum(np.abs(gaps) * widths))
        if not unit or not area:
            return Score(0.0, 1.0)
        mean, deviation = _by_chance(pair, together, widths)
        beyond = max(0.0, area - mean) / deviation
        return Score(area / unit, math.exp(-beyond * beyond / 2))

    def noise(self, pair: Pair, tail: float) -> float:
        """Invert the bound."""
        _, widths, together = _compared(pair)
        unit = _unit(pair)
        if not unit:
            return 0.0
        mean, deviation = _by_chance(pair, together, widths)
        return (mean + deviation * math.sqrt(-2 * math.log(tail))) / unit


def _compared(pair: Pair) -> tuple[Floats, Floats, Floats]:
    """Give F - G between neighbouring occupied cells, their distance, and the share of both so far."""
    one, other = _numbers(pair)
    cells = np.union1d(one.cells, other.cells)
    counts = np.zeros((2, len(cells)))
    values = np.zeros(len(cells))
    for row, summary in enumerate((one, other)):
        at = np.searchsorted(cells, summary.cells)
        counts[row, at] = summary.counts
        # Where both fill a cell its middle is the same, except at the ends of what each has seen.
        values[at] = summary.values
    before, now = np.cumsum(counts, axis=1)
    together = (before + now) / (one.count + other.count)
    widths = np.maximum(np.diff(values), 0.0)
    return (before / one.count - now / other.count)[:-1], widths, together[:-1]


def _by_chance(pair: Pair, together: Floats, widths: Floats) -> tuple[float, float]:
    """Give the mean of the area between two samples of one population and a bound of its deviation.

    The variance is the larger of the pooled one and of each sample's own (Welch 1947): a single enormous
    value in a small window must widen the bound as much as it moves the mean.
    """
    one, other = _numbers(pair)
    sizes = 1 / one.count + 1 / other.count
    mean = math.sqrt(2 / math.pi * sizes) * float(np.sum(np.sqrt(together * (1 - together)) * widths))
    own = one.m2 / one.count**2 + other.m2 / other.count**2
    return mean, math.sqrt(max(own, _pooled_sd(one, other) ** 2 * sizes))


def _unit(pair: Pair) -> float:
    one, other = _numbers(pair)
    return one.sd or _pooled_sd(one, other)


def _pooled_sd(one: NumberSummary, other: NumberSummary) -> float:
    """Give the standard deviation of both samples thrown together."""
    assert one.mean is not None
    assert other.mean is not None
    rows = one.count + other.count
    between = (one.mean - other.mean) ** 2 * (one.count / rows) * (other.count / rows)
    return math.sqrt((one.m2 + other.m2) / rows + between)


def _numbers(pair: Pair) -> tuple[NumberSummary, NumberSummary]:
    assert isinstance(pair.baseline, NumberSummary)
    assert isinstance(pair.window, NumberSummary)
    return pair.baseline, pair.window
