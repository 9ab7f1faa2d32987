"""G-test of homogeneity (likelihood ratio)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.cells import Floats
from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import chi_square_quantile, chi_square_survival


@dataclass(frozen=True)
class GTest(DriftTest):
    """G = 2 Σ observed · ln(observed / expected) over the values of both samples.

    The likelihood ratio where chi-square is its approximation: it weighs a value that disappears more. G is
    about chi-square with values - 1 degrees of freedom (Wilks 1938, Ann. Math. Statist. 9; Sokal and Rohlf
    1995, Biometry, 17), values expected fewer than five times put together first. The effect is what G would
    be for one row of each sample, 0 (same) to √(8 ln 2) = 2.35 (nothing in common):
    √(4 Σ p ln(p/m) + q ln(q/m)), m = (p + q)/2, near Cohen's w (0.1 small, 0.3 medium, 0.5 large) for small
    changes, and independent of the sizes of the samples.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 700 + ["b"] * 300, "category")
    >>> score = GTest().score(Pair(before, after))
    >>> round(score.effect, 2), score.p_value < 1e-15
    (0.41, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"category"})
    kind: ClassVar[DriftTestName] = "g_test"
    strong: float = 0.45
    slight: float = 0.1

    def score(self, pair: Pair) -> Score:
        """Compare the binned counts."""
        bins = pair.bins
        together = (bins.baseline + bins.window).astype(np.float64)
        statistic = 2 * sum(
            _surprise(counts.astype(np.float64), together * (counts.sum() / together.sum()))
            for counts in (bins.baseline, bins.window)
        )
        p, q = bins.shares()
        middle = (p + q) / 2
        effect = math.sqrt(max(0.0, 4 * (_surprise(p, middle) + _surprise(q, middle))))
        return Score(effect, chi_square_survival(statistic, bins.degrees))

    def noise(self, pair: Pair, tail: float) -> float:
        """Scale the chi-square quantile to the sample sizes."""
        return math.sqrt(chi_square_quantile(tail, pair.bins.degrees) * pair.bins.noise)


def _surprise(seen: Floats, expected: Floats) -> float:
    """Give Σ seen · ln(seen / expected); a value not seen adds nothing."""
    there = seen > 0
    return float(np.sum(seen[there] * np.log(seen[there] / expected[there])))
