"""Jensen-Shannon distance."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import chi_square_quantile, chi_square_survival

_TO_CHI_SQUARE = 8 * math.log(2)
"""For close shares the divergence in bits is Σ (q - p)² / p / (8 ln 2)."""


@dataclass(frozen=True)
class JensenShannon(DriftTest):
    """sqrt(½ KL(p‖m) + ½ KL(q‖m)), m = (p + q) / 2, logarithms to base 2.

    0 (same) to 1 (nothing in common), symmetric, a metric (Endres and Schindelin 2003, IEEE Trans. Inf.
    Theory 49). Below 0.1 is usually called stable. The thresholds are those of PSI 0.02 and 0.2. Its square
    is about chi-square · (1/n + 1/m) / (8 ln 2) in two samples of one population.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 700 + ["b"] * 300, "category")
    >>> round(JensenShannon().score(Pair(before, after)).effect, 3)
    0.174
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"number", "category"})
    kind: ClassVar[DriftTestName] = "jensen_shannon"
    strong: float = 0.19
    slight: float = 0.06

    def score(self, pair: Pair) -> Score:
        """Compare the binned shares."""
        p, q = pair.bins.shares()
        middle = (p + q) / 2
        bits = max(0.0, float(np.sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2))
        statistic = bits * _TO_CHI_SQUARE / pair.bins.noise
        return Score(math.sqrt(bits), chi_square_survival(statistic, pair.bins.degrees))

    def noise(self, pair: Pair, tail: float) -> float:
        """Scale the chi-square quantile to the sample sizes."""
        statistic = chi_square_quantile(tail, pair.bins.degrees)
        return math.sqrt(min(1.0, statistic * pair.bins.noise / _TO_CHI_SQUARE))
