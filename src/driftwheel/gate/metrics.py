"""Metrics of scores against labels, for many weightings of the same rows at once.

A metric is prepared once per model (sorting, errors per row) and then evaluated for a block of row weights
``W`` of shape (replicates, rows): a bootstrap replicate is nothing but a weighting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]
Weighted = Callable[[Weights], Floats]
"""Weights (replicates, rows) → the metric of each replicate; NaN where it is undefined."""

SMALLEST = 1e-15
"""Probabilities are kept this far from 0 and 1, so one certain mistake does not make log loss infinite."""

THRESHOLD = 0.5


@dataclass(frozen=True)
class Metric:
    """A metric, and what it means to be good at it."""

    name: str
    kind: str
    higher_is_better: bool
    prepare: Callable[[Floats, Floats], Weighted]
    trivial: Callable[[Floats], float]

    def value(self, labels: Floats, scores: Floats) -> float:
        """The metric of all rows, each counted once."""
        return float(self.prepare(labels, scores)(np.ones((1, len(labels)), dtype=np.float32))[0])

    def gain(self, challenger: Any, champion: Any) -> Any:
        """How much better the challenger is; positive is better whatever the metric's direction."""
        return challenger - champion if self.higher_is_better else champion - challenger

    def skill(self, value: float, labels: Floats) -> float:
        """How far a value lies from useless (0) to perfect (1); auc and f1 are their own scale."""
        if self.higher_is_better:
            return value
        worst = self.trivial(labels)
        return 1 - value / worst if worst > 0 else 1.0


def auc(labels: Floats, scores: Floats) -> Weighted:
    """Area under the ROC curve: P(score of a positive > of a negative) + ½ P(equal).

    Weighted Mann-Whitney statistic: U = Σᵢ wᵢ (N(<sᵢ) + ½ N(=sᵢ)) over positives i, where N sums the weights
    of negatives; AUC = U / (W⁺ W⁻).

    >>> auc(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.1, 0.5, 0.5]))(np.ones((1, 4), np.float32))
    array([0.875])
    """
    positives = np.flatnonzero(labels == 1)
    negatives = np.flatnonzero(labels != 1)
    negatives = negatives[np.argsort(scores[negatives], kind="stable")]
    below = np.searchsorted(scores[negatives], scores[positives], side="left")
    up_to = np.searchsorted(scores[negatives], scores[positives], side="right")

    def weighted(weights: Weights) -> Floats:
        cumulated = np.zeros((len(weights), len(negatives) + 1), dtype=np.float32)
        np.cumsum(weights[:, negatives], axis=1, out=cumulated[:, 1:])
        mine = weights[:, positives]
        lower = np.einsum("ij,ij->i", mine, cumulated[:, below], dtype=np.float64)
        upper = np.einsum("ij,ij->i", mine, cumulated[:, up_to], dtype=np.float64)
        pairs = mine.sum(axis=1, dtype=np.float64) * cumulated[:, -1]
        return _ratio((lower + upper) / 2, pairs)

    return weighted


def logloss(labels: Floats, scores: Floats) -> Weighted:
    """Mean of -ln(probability given to what happened)."""
    sure = np.clip(scores, SMALLEST, 1 - SMALLEST)
    return _mean_of(-np.where(labels == 1, np.log(sure), np.log1p(-sure)))


def f1(labels: Floats, scores: Floats) -> Weighted:
    """2 TP / (2 TP + FP + FN) at threshold 0.5; 0 when nothing is positive."""
    said = scores >= THRESHOLD
    true = labels == 1
    right = np.asarray(said & true, dtype=np.float32)
    wrong = np.asarray(said ^ true, dtype=np.float32)

    def weighted(weights: Weights) -> Floats:
        doubled = 2 * np.asarray(weights @ right, dtype=np.float64)
        return np.nan_to_num(_ratio(doubled, doubled + weights @ wrong), nan=0.0)

    return weighted


def rmse(labels: Floats, scores: Floats) -> Weighted:
    """Root of the mean squared error."""
    mean = _mean_of(np.square(scores - labels))
    return lambda weights: np.asarray(np.sqrt(mean(weights)))


def mae(labels: Floats, scores: Floats) -> Weighted:
    """Mean absolute error."""
    return _mean_of(np.abs(scores - labels))


def _mean_of(errors: Floats) -> Weighted:
    # Scaled so that float32 products neither overflow nor lose the small errors.
    scale = float(errors.max(initial=0.0)) or 1.0
    scaled = (errors / scale).astype(np.float32)

    def weighted(weights: Weights) -> Floats:
        total = np.asarray(weights @ scaled, dtype=np.float64) * scale
        return _ratio(total, weights.sum(axis=1, dtype=np.float64))

    return weighted


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def _entropy(labels: Floats) -> float:
    rate = float(labels.mean())
    return float(logloss(labels, np.full(len(labels), rate))(np.ones((1, len(labels)), np.float32))[0])


METRICS = {
    metric.name: metric
    for metric in (
        Metric("auc", "binary", True, auc, lambda _: 0.5),  # noqa: FBT003  # a dataclass's field
        Metric("logloss", "binary", False, logloss, _entropy),  # noqa: FBT003
        Metric("f1", "binary", True, f1, lambda _: 0.0),  # noqa: FBT003
        Metric("rmse", "regression", False, rmse, lambda labels: float(labels.std())),  # noqa: FBT003
        Metric(
            "mae",
            "regression",
            higher_is_better=False,
            prepare=mae,
            trivial=lambda labels: float(np.abs(labels - np.median(labels)).mean()),
        ),
    )
}
"""``trivial`` is what the best constant answer reaches: a first model must beat it."""
