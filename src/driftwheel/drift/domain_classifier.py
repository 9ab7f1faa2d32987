"""Can a classifier tell the window's rows from the baseline's? The verdict on its scores.

The scores come from whatever was trained: ``jobs/domain_classifier.py`` trains XGBoost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from driftwheel.drift.cells import Floats

THRESHOLD = 0.55
"""The smallest AUC worth a word: what a shift of 0.18 standard deviations in one number gives."""

_Z95 = 1.959964
_NAMED = 3


@dataclass(frozen=True)
class Auc:
    """AUC of one fold, its standard error, and z: its distance from 0.5 where the two samples are one."""

    value: float
    error: float
    z: float

    @property
    def p_value(self) -> float:
        """P(AUC at least as large) where the two samples are one."""
        return _upper(self.z)


@dataclass(frozen=True)
class DomainVerdict:
    """Mean AUC with its 95 % interval, p, and the columns the classifier went by (shares of gain)."""

    verdict: Literal["drift", "none", "insufficient_data"]
    baseline_rows: int
    window_rows: int
    threshold: float
    significance: float
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    importances: Mapping[str, float] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        if self.auc is None:
            rows = min(self.baseline_rows, self.window_rows)
            return f"domain classifier: too few rows to say ({rows:,} on one side)"
        found = f"AUC {self.auc:.3f} ({self.low:.3f} to {self.high:.3f}), p {self.p_value:.2g}"
        if self.verdict == "none":
            return f"domain classifier: rows cannot be told apart to any extent that matters; {found}"
        by = ", ".join(f"{name} ({share:.0%})" for name, share in list(self.importances.items())[:_NAMED])
        return f"domain classifier: rows can be told apart, mostly by {by}; {found}"

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON, the columns by their share of the gain."""
        columns = [{"name": name, "share": share} for name, share in self.importances.items()]
        return asdict(self) | {"importances": columns, "sentence": self.sentence}


def compare_scores(before: Floats, now: Floats) -> Auc:
    """Give AUC = P(score of a window row > of a baseline row) + ½ P(equal), 0 to 1; 0.5 is no difference.

    AUC = U / (m n) for Mann and Whitney's U (1947, Ann. Math. Statist. 18). Where both samples are one, U is
    about normal with mean m n / 2 and variance m n / 12 · ((N + 1) - Σ (t³ - t) / (N (N - 1))), N = m + n,
    t the sizes of ties; p is one-sided, P(AUC at least as large). That needs scores of rows the classifier
    was not trained on, which are then nothing but numbers (Lopez-Paz and Oquab 2017, Revisiting Classifier
    Two-Sample Tests, ICLR). The standard error is DeLong's (1988, Biometrics 44): the variances of each row's
    share of rows it beats, over the rows of its side.

    >>> found = compare_scores(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.5, 0.6, 0.7]))
    >>> found.value, round(found.p_value, 4)
    (0.875, 0.0416)
    """
    m, n = len(before), len(now)
    beaten = _mid_ranks_among(np.sort(before), now) / m
    beating = 1 - _mid_ranks_among(np.sort(now), before) / n
    value = float(beaten.mean())
    _, ties = np.unique(np.concatenate([before, now]), return_counts=True)
    t, total = ties.astype(np.float64), m + n
    variance = (total + 1 - float(np.sum(t**3 - t)) / (total * (total - 1))) / (12 * m * n)
    z = (value - 0.5) / math.sqrt(variance) if variance > 0 else 0.0
    error = math.sqrt(float(beaten.var(ddof=1)) / n + float(beating.var(ddof=1)) / m)
    return Auc(value, error, z)


def judge(
    folds: Sequence[tuple[Floats, Floats]],
    importances: Mapping[str, float],
    *,
    threshold: float = THRESHOLD,
    significance: float = 0.01,
) -> DomainVerdict:
    """Decide from each fold's scores of held-out (baseline, window) rows.

    Drift is an AUC, mean over the folds, of ``threshold`` or more *and* p of ``significance`` or less. Folds
    share training rows and depend on each other in no known way, so nothing is gained from their number: p is
    that of the mean z and the interval has the mean standard error, as if every fold said the same. The
    standard deviation of a mean is never above the mean of standard deviations, so both are careful. Rows
    must be independent: one that stands several times on one side can be recognised.

    Why a classifier: univariate tests do not see what only the columns together show, at a price in power for
    small single shifts (Rabanser, Günnemann and Lipton 2019, Failing Loudly, NeurIPS).

    >>> one, other = np.arange(400.0), np.arange(400.0) + 60
    >>> found = judge([(one, other), (one, other)], {"temp": 3.0, "wind": 1.0})
    >>> found.verdict, round(found.auc, 3), found.importances
    ('drift', 0.639, {'temp': 0.75, 'wind': 0.25})
    """
    found = [compare_scores(before, now) for before, now in folds]
    auc, error = (float(np.mean([getattr(one, name) for one in found])) for name in ("value", "error"))
    p_value = _upper(float(np.mean([one.z for one in found])))
    gain = sum(importances.values())
    ordered = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    return DomainVerdict(
        "drift" if auc >= threshold and p_value <= significance else "none",
        sum(len(before) for before, _ in folds),
        sum(len(now) for _, now in folds),
        threshold,
        significance,
        auc,
        max(0.0, auc - _Z95 * error),
        min(1.0, auc + _Z95 * error),
        p_value,
        {name: share / gain for name, share in ordered if share > 0},
    )


def _upper(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def _mid_ranks_among(ordered: Floats, values: Floats) -> Floats:
    """Count for each value how many of ``ordered`` lie below it, equal ones half."""
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / 2, dtype=np.float64)
