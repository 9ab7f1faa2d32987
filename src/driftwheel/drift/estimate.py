"""How good a classifier probably is where no label has come yet: confidence-based performance estimation.

numpy and the standard library only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from driftwheel.drift.cells import Floats
from driftwheel.drift.quality import THRESHOLD

CELLS = 200
"""Cells of the scores, of equally many rows when the model was made; 0.5, F1's threshold, is an edge."""

METRICS = frozenset({"auc", "f1", "logloss"})
RESAMPLES = 200
_SEED = 0


@dataclass(frozen=True)
class Estimate:
    """What labels will probably say of a window: a metric with a 95 % interval for the measured value.

    ``value`` is None where nothing can be estimated; ``reason`` says why.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the estimate as JSON values."""
        return asdict(self)


def calibration_of(scores: Floats, labels: Floats) -> dict[str, list[int]] | None:
    """Count rows and positives in each cell of the scores, for rows the model was not fitted on.

    None for what is no binary classifier: labels other than 0 and 1, or scores that are no probabilities.
    """
    known = np.isfinite(scores) & np.isfinite(labels)
    scores, labels = scores[known], labels[known]
    if not len(scores) or not np.isin(labels, (0.0, 1.0)).all() or scores.min() < 0 or scores.max() > 1:
        return None
    inner = np.quantile(scores, np.linspace(0, 1, CELLS + 1)[1:-1], method="lower")
    edges = np.unique(np.concatenate([[0.0, THRESHOLD, 1.0], inner])).tolist()
    return {
        "edges": edges,
        "rows": cells_of(scores, edges).astype(int).tolist(),
        "positives": cells_of(scores[labels == 1], edges).astype(int).tolist(),
    }


def cells_of(scores: Floats, edges: Sequence[float]) -> Floats:
    """Count scores between edges; what is not known or outside 0 to 1 is left out."""
    inside = scores[(scores >= 0) & (scores <= 1)]
    return np.histogram(inside, bins=np.asarray(edges))[0].astype(np.float64)


def estimate(
    calibration: Mapping[str, Any] | None, answers: Floats, metric: str, *, minimum_rows: int
) -> Estimate:
    """Estimate a metric of the window whose scores fall into cells as ``answers`` counts (``cells_of``).

    A cell's share of positives p is the isotonic regression of the labels on the scores, by pool adjacent
    violators (Barlow and others 1972, Statistical Inference under Order Restrictions). Of n answers in a cell
    n·p are then expected to be positive and n·(1 - p) negative, and the metric is that of these counts: the
    confidence-based estimate that NannyML made known as CBPE (https://nannyml.readthedocs.io, How it works).
    The interval holds about 95 % of the values that labels would show, were the assumptions true: calibration
    and labels are drawn anew ``RESAMPLES`` times with a fixed seed (measured: 91 %, benchmarks/README.md).

    It assumes that p at a score is what it was when the model was made: the inputs may move (covariate
    shift), the relation of inputs and label may not. When that relation changes, the estimate sees nothing:
    it never counts towards a verdict, starts no run and promotes nobody. AUC and log loss are those of scores
    rounded to cells, and the calibration is that of the first fitting pass.

    >>> import numpy as np
    >>> scores = np.repeat([0.25, 0.75], 500)
    >>> labels = np.tile([1.0, 0.0, 0.0, 0.0], 125).tolist() + np.tile([1.0, 1.0, 1.0, 0.0], 125).tolist()
    >>> known = calibration_of(scores, np.array(labels))
    >>> estimate(known, cells_of(scores, known["edges"]), "auc", minimum_rows=100).value
    0.75
    """
    rows = int(answers.sum())
    if metric not in METRICS:
        return Estimate(metric, None, None, None, rows, f"{metric} is not a classifier's")
    if calibration is None:
        return Estimate(metric, None, None, None, rows, "this model's baseline has no calibration")
    if rows < minimum_rows or sum(calibration["rows"]) < minimum_rows:
        return Estimate(metric, None, None, None, rows, f"fewer than {minimum_rows} rows")
    seen = np.asarray(calibration["rows"], dtype=np.float64)
    share = isotonic(np.asarray(calibration["positives"], dtype=np.float64), seen)
    edges = np.asarray(calibration["edges"])
    value = _MEASURES[metric](answers * share, answers * (1 - share), edges)
    if value is None:
        return Estimate(metric, None, None, None, rows, "one class only is expected")
    low, high = _interval(share, seen, answers, metric, edges)
    return Estimate(metric, value, low, high, rows)


def isotonic(positives: Floats, rows: Floats) -> Floats:
    """Fit shares that never fall from cell to cell; cells without rows lie between their neighbours.

    >>> isotonic(np.array([1.0, 0.0, 3.0]), np.array([2.0, 2.0, 4.0])).tolist()
    [0.25, 0.25, 0.75]
    """
    filled = np.flatnonzero(rows)
    pooled: list[tuple[float, float, int]] = []
    for yes, of in zip(positives[filled].tolist(), rows[filled].tolist(), strict=True):
        one = (yes, of, 1)
        while pooled and pooled[-1][0] * one[1] >= one[0] * pooled[-1][1]:
            last = pooled.pop()
            one = (last[0] + one[0], last[1] + one[1], last[2] + one[2])
        pooled.append(one)
    fitted = np.repeat([yes / of for yes, of, _ in pooled], [cells for _, _, cells in pooled])
    return np.asarray(np.interp(np.arange(len(rows)), filled, fitted), dtype=np.float64)


def _interval(
    share: Floats, seen: Floats, answers: Floats, metric: str, edges: Floats
) -> tuple[float | None, float | None]:
    dice, drawn = np.random.default_rng(_SEED), []
    for _ in range(RESAMPLES):
        again = isotonic(dice.binomial(seen.astype(np.int64), share).astype(np.float64), seen)
        true = dice.binomial(answers.astype(np.int64), again).astype(np.float64)
        value = _MEASURES[metric](true, answers - true, edges)
        if value is not None:
            drawn.append(value)
    if len(drawn) < RESAMPLES // 2:
        return None, None
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _auc(positives: Floats, negatives: Floats, _: Floats) -> float | None:
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else None


def _f1(positives: Floats, negatives: Floats, edges: Floats) -> float | None:
    half = int(np.searchsorted(edges, THRESHOLD))
    right, wrong = positives[half:].sum(), negatives[half:].sum() + positives[:half].sum()
    return float(2 * right / (2 * right + wrong)) if right + wrong else None


def _logloss(positives: Floats, negatives: Floats, edges: Floats) -> float | None:
    rows = positives.sum() + negatives.sum()
    middle = (edges[:-1] + edges[1:]) / 2
    lost = -(positives * np.log(middle) + negatives * np.log1p(-middle)).sum()
    return float(lost / rows) if rows else None


_MEASURES = {"auc": _auc, "f1": _f1, "logloss": _logloss}
