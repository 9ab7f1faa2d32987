"""Chi-square test of homogeneity."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import chi_square_quantile, chi_square_survival


@dataclass(frozen=True)
class ChiSquare(DriftTest):
    """X² = Σ (observed - expected)² / expected over the values of both samples; effect Cohen's w.

    w = sqrt(Σ (q - p)² / ((p + q) / 2)), 0 to 2: 0.1 small, 0.3 medium, 0.5 large (Cohen 1988, ch. 7; here
    relative to the mean of both shares, so that one value which was almost never seen does not decide alone),
    about the root of PSI for small changes. Values expected fewer than five times in either sample are put
    together first (Cochran 1952), so a long tail adds no noise.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 700 + ["b"] * 300, "category")
    >>> score = ChiSquare().score(Pair(before, after))
    >>> round(score.effect, 2), score.p_value < 1e-15
    (0.41, True)
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"category"})
    kind: ClassVar[DriftTestName] = "chi_square"
    strong: float = 0.45
    slight: float = 0.1

    def score(self, pair: Pair) -> Score:
        """Compare the binned counts."""
        bins = pair.bins
        before, now = bins.baseline, bins.window
        together = before + now
        statistic = 0.0
        for counts in (before, now):
            expected = together * (counts.sum() / together.sum())
            statistic += float(np.sum((counts - expected) ** 2 / expected))
        p, q = bins.shares()
        effect = math.sqrt(float(np.sum((q - p) ** 2 / ((p + q) / 2))))
        return Score(effect, chi_square_survival(statistic, bins.degrees))

    def noise(self, pair: Pair, tail: float) -> float:
        """Scale the chi-square quantile to the sample sizes."""
        return math.sqrt(chi_square_quantile(tail, pair.bins.degrees) * pair.bins.noise)
