"""Population stability index."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from driftwheel.drift.limits import DriftTestName
from driftwheel.drift.pair import Pair
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import chi_square_quantile, chi_square_survival


@dataclass(frozen=True)
class Psi(DriftTest):
    """PSI = Σ (q - p) ln(q / p) over the bins, p the baseline's shares and q the window's.

    0 (same) to infinity. By custom below 0.1 is stable, above 0.2 has drifted. In two samples of one
    population PSI / (1/n + 1/m) is about chi-square with bins - 1 degrees of freedom, which is why a fixed
    threshold alone alarms on small windows (Yurdakul 2018, Western Michigan University, dissertation 3208).

    >>> from driftwheel.drift.summaries import summarise_column
    >>> before = summarise_column(["a"] * 500 + ["b"] * 500, "category")
    >>> after = summarise_column(["a"] * 700 + ["b"] * 300, "category")
    >>> round(Psi().score(Pair(before, after)).effect, 3)
    0.169
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"number", "category"})
    kind: ClassVar[DriftTestName] = "psi"
    strong: float = 0.2
    slight: float = 0.02

    def score(self, pair: Pair) -> Score:
        """Compare the binned shares."""
        p, q = pair.bins.shares()
        effect = float(np.sum((q - p) * np.log(q / p)))
        return Score(effect, chi_square_survival(effect / pair.bins.noise, pair.bins.degrees))

    def noise(self, pair: Pair, tail: float) -> float:
        """Scale the chi-square quantile to the sample sizes."""
        return chi_square_quantile(tail, pair.bins.degrees) * pair.bins.noise
