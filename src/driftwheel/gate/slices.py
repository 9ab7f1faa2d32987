"""Whether a better model is worse for somebody: the same paired comparison within each slice."""

from dataclasses import dataclass

import numpy as np

from driftwheel.gate.comparison import Interval, compare
from driftwheel.gate.metrics import Floats, Metric
from driftwheel.gate.predictions import Predictions
from driftwheel.gate.verdict import Measured, Slice

MINIMUM_CLASS_ROWS = 20
"""Rows of each class a slice needs before its AUC means anything."""

MOST = 100
"""Slices compared at most, the largest first: each costs a bootstrap, and a verdict is one small record."""


@dataclass(frozen=True)
class SliceTable:
    """Slices with enough rows, largest first, and how many values had too few."""

    slices: list[Slice]
    too_small: int


def compare_slices(
    metric: Metric,
    predictions: Predictions,
    *,
    minimum_rows: int,
    tolerance: float,
    confidence: float,
    seed: int,
) -> SliceTable:
    """Compare both models on every slice with enough rows.

    A slice counts as worse when the challenger's observed loss exceeds ``tolerance`` **and** the loss is
    real: the upper bound of its paired gain lies below zero. The bound's error probability is shared out over
    the slices (Bonferroni), so that with many slices chance alone does not veto a better model.
    """
    chosen: list[tuple[str, str, np.ndarray[tuple[int], np.dtype[np.bool_]]]] = []
    too_small = 0
    for column, values in predictions.slices.items():
        for value in np.unique(values):
            rows = values == value
            if _enough(metric, predictions.labels[rows], minimum_rows):
                chosen.append((column, str(value), rows))
            else:
                too_small += 1
    chosen.sort(key=lambda entry: (-int(entry[2].sum()), entry[0], entry[1]))
    too_small += max(0, len(chosen) - MOST)
    chosen = chosen[:MOST]
    table = [
        _slice(
            metric,
            predictions,
            *entry,
            tolerance=tolerance,
            tail=(1 - confidence) / len(chosen),
            seed=seed,
        )
        for entry in chosen
    ]
    return SliceTable(table, too_small)


def _enough(metric: Metric, labels: Floats, minimum_rows: int) -> bool:
    if len(labels) < minimum_rows:
        return False
    positives = int((labels == 1).sum())
    return metric.kind != "binary" or min(positives, len(labels) - positives) >= MINIMUM_CLASS_ROWS


def _slice(
    metric: Metric,
    predictions: Predictions,
    column: str,
    value: str,
    rows: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *,
    tolerance: float,
    tail: float,
    seed: int,
) -> Slice:
    labels, challenger = predictions.labels[rows], predictions.challenger[rows]
    champion = predictions.champion[rows] if predictions.champion is not None else None
    if champion is None:
        alone = metric.value(labels, challenger)
        return Slice(
            column=column,
            value=value,
            rows=len(labels),
            challenger=alone,
            champion=None,
            gain=None,
            worse=False,
        )
    found = compare(metric, labels, challenger, champion, tail=tail, seed=seed)
    assert found.champion is not None
    assert found.gain is not None
    return Slice(
        column=column,
        value=value,
        rows=len(labels),
        challenger=found.challenger.value,
        champion=found.champion.value,
        gain=measured(found.gain),
        worse=found.gain.value < -tolerance and found.gain.high < 0,
    )


def measured(interval: Interval) -> Measured:
    """Write an interval down; an open bound is None."""
    return Measured(
        value=interval.value,
        low=interval.low if np.isfinite(interval.low) else None,
        high=interval.high if np.isfinite(interval.high) else None,
    )
