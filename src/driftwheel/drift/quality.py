"""How good the live answers were, from those whose labels have arrived."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from driftwheel.drift.cells import Floats

Metric = Literal["auc", "logloss", "f1", "rmse", "mae"]

CLASSIFIER: tuple[Metric, ...] = ("auc", "f1", "logloss")
REGRESSION: tuple[Metric, ...] = ("rmse", "mae")
"""What may be asked of a model's answers, by what it predicts."""

Z = 1.959964
"""Two-sided 95 %."""

THRESHOLD = 0.5
_SMALLEST = 1e-15


@dataclass(frozen=True)
class Quality:
    """A metric of (score, label) pairs with its 95 % interval; ``coverage`` is labelled / predicted rows.

    ``value`` is None where the metric is undefined (AUC of one class): not known, not bad. ``since`` and
    ``until`` name the hours it is of where those are not the window's.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    error: float | None
    labelled: int
    predicted: int
    coverage: float
    since: str = ""
    until: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the measurement as JSON values."""
        return asdict(self)


def measure(scores: Floats, labels: Floats, metric: Metric, predicted: int | None = None) -> Quality:
    """Measure labelled predictions; ``predicted`` counts all rows of the window, labelled or not.

    Raises ValueError when scores and labels differ in length.
    """
    if len(scores) != len(labels):
        raise ValueError(f"{len(scores)} scores but {len(labels)} labels: join them by row id first")
    known = np.isfinite(scores) & np.isfinite(labels)
    scores, labels = scores[known], labels[known]
    value, error = _MEASURES[metric](scores, labels)
    total = max(len(scores), predicted or 0)
    low = high = None
    if value is not None and error is not None:
        ceiling = 1.0 if metric in {"auc", "f1"} else math.inf
        low, high = max(0.0, value - Z * error), min(ceiling, value + Z * error)
    coverage = len(scores) / total if total else 0.0
    return Quality(metric, value, low, high, error, len(scores), total, coverage)


def beside(scores: Floats, labels: Floats, metric: Metric, predicted: int | None = None) -> list[Quality]:
    """Measure by the other metrics of the same kind of target.

    >>> [one.metric for one in beside(np.array([0.2, 0.9]), np.array([0.0, 1.0]), "auc")]
    ['f1', 'logloss']
    """
    kind = CLASSIFIER if metric in CLASSIFIER else REGRESSION
    return [measure(scores, labels, other, predicted) for other in kind if other != metric]


def auc(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """AUC and its standard error in closed form (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44).

    A positive's placement is the share of negatives below it, equal ones half, a negative's the share of
    positives above it; their means are the AUC, and its variance is the sum of their variances over n⁺ and
    n⁻. Counted by distinct score after one sort (Sun and Xu 2014, IEEE Signal Process. Lett. 21).

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))[0]
    0.75
    """
    positive = labels == 1
    one, zero = int(positive.sum()), int((~positive).sum())
    if not one or not zero:
        return None, None
    order = np.argsort(scores)
    ordered, of_one = scores[order], positive[order].astype(np.float64)
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ones = np.add.reduceat(of_one, first)
    zeros = np.diff(np.append(first, len(ordered))) - ones
    of_positives = (np.cumsum(zeros) - zeros / 2) / zero
    of_negatives = 1 - (np.cumsum(ones) - ones / 2) / one
    value = float(ones @ of_positives) / one
    if one == 1 or zero == 1:
        return value, None
    variance = float(ones @ (of_positives - value) ** 2) / (one - 1) / one
    variance += float(zeros @ (of_negatives - value) ** 2) / (zero - 1) / zero
    return value, math.sqrt(variance)


def logloss(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """Mean of -ln(probability given to what happened), and its standard error."""
    sure = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    return _mean(-np.where(labels == 1, np.log(sure), np.log1p(-sure)))


def f1(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """F1 at threshold 0.5 and its standard error by the delta method; None when nothing is positive.

    F1 = 2 TP / (2 TP + W), W the wrong rows: linearised in the two row means.
    """
    said, true = scores >= THRESHOLD, labels == 1
    right, wrong = (said & true).astype(np.float64), (said ^ true).astype(np.float64)
    below = 2 * right.sum() + wrong.sum()
    if not below:
        return None, None
    value = float(2 * right.sum() / below)
    influence = (2 * right - value * (2 * right + wrong)) * (len(scores) / below)
    return value, float(np.sqrt(np.mean(influence**2) / len(scores)))


def rmse(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """Root of the mean squared error and its standard error by the delta method."""
    mean, error = _mean((scores - labels) ** 2)
    if mean is None:
        return None, None
    value = math.sqrt(mean)
    return value, None if error is None else (error / (2 * value) if value else 0.0)


def mae(scores: Floats, labels: Floats) -> tuple[float | None, float | None]:
    """Mean absolute error and its standard error."""
    return _mean(np.abs(scores - labels))


_MEASURES = {"auc": auc, "logloss": logloss, "f1": f1, "rmse": rmse, "mae": mae}


def _mean(values: Floats) -> tuple[float | None, float | None]:
    if not len(values):
        return None, None
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return float(values.mean()), error
