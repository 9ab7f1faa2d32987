"""Two-sample Kolmogorov-Smirnov test."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.column import NumberSummary
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import kolmogorov_survival


@dataclass(frozen=True)
class KolmogorovSmirnov(DriftTest):
    """D = max |F(x) - G(x)| between the two cumulative distributions.

    0 (same) to 1 (disjoint); a shift of the mean by d standard deviations gives about 0.4 d, and the
    thresholds are those of PSI 0.02 and 0.2. P(K >= (√e + 0.12 + 0.11/√e) D) with e = nm/(n + m) (Stephens
    1970, JRSS B 32). From cells D can only be too small, by less than the share of one cell; with ties the
    p-value is too large, never too small.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(list(range(100)), "number")
    >>> after = summarise_column(list(range(30, 130)), "number", like=before)
    >>> round(KolmogorovSmirnov().score(Pair(before, after)).effect, 2)
    0.3
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"number"})
    kind: ClassVar[DriftTestName] = "kolmogorov_smirnov"
    strong: float = 0.18
    slight: float = 0.055

    def score(self, pair: Pair) -> Score:
        """Compare the cumulative counts at every cell."""
        assert isinstance(pair.baseline, NumberSummary)
        assert isinstance(pair.window, NumberSummary)
        effect = greatest_gap(pair.baseline, pair.window)
        root = _root_of_effective_rows(pair)
        return Score(effect, kolmogorov_survival((root + 0.12 + 0.11 / root) * effect))

    def noise(self, pair: Pair, tail: float) -> float:
        """Invert the first term of the series, 2 exp(-2 x²), which is all of it for tails below 0.1."""
        root = _root_of_effective_rows(pair)
        return min(1.0, math.sqrt(math.log(2 / tail) / 2) / (root + 0.12 + 0.11 / root))


def greatest_gap(one: NumberSummary, other: NumberSummary) -> float:
    """Give D between two summaries of one centre; both must have values."""
    cells = np.union1d(one.cells, other.cells)
    gaps = _cumulated(one, cells) - _cumulated(other, cells)
    return float(np.max(np.abs(gaps)))


def _cumulated(summary: NumberSummary, cells: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.float64]:
    counts = np.zeros(len(cells))
    counts[np.searchsorted(cells, summary.cells)] = summary.counts
    return np.asarray(np.cumsum(counts) / summary.count)


def _root_of_effective_rows(pair: Pair) -> float:
    n, m = pair.baseline.count, pair.window.count
    return math.sqrt(n * m / (n + m))
