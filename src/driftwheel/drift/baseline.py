"""The drift baseline of a model: summaries of what it was trained on, made once, beside the model.

numpy and the standard library only: the training job writes it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from driftwheel.drift.column import ColumnSummary
from driftwheel.drift.estimate import calibration_of
from driftwheel.drift.quality import Metric, beside, measure
from driftwheel.drift.summaries import Column, summarise, summarise_column

VERSION = 1

Numbers = Sequence[float] | npt.NDArray[Any]


def build_baseline(
    columns: Mapping[str, Column],
    kinds: Mapping[str, str],
    predictions: Numbers,
    labels: Numbers,
    importances: Mapping[str, float],
    *,
    sources: Mapping[str, Sequence[str]] | None = None,
    metric: Metric = "auc",
) -> dict[str, Any]:
    """Summarise the training data into the JSON that later windows are compared with.

    ``columns`` are the raw columns as a request sends them, cleaned but not imputed (None or NaN = missing);
    ``kinds`` gives their types in ``model.yaml`` and chooses which are watched: those a request has.
    ``predictions`` and ``labels`` are of the same rows as each other, and must be rows the model was not
    fitted on (the validation split): scores of training rows are more extreme than live ones ever are. They
    need not be as many as ``columns``. ``importances`` are the model's, by feature; ``sources`` names the raw
    columns a derived feature reads, and its importance is shared evenly among those that are watched.
    ``metric`` is the one live quality will be measured by, kept with its interval on these predictions.

    Raises ValueError when predictions and labels differ in length, or as ``summarise`` does.
    """
    if len(predictions) != len(labels):
        raise ValueError(
            f"{len(predictions)} predictions but {len(labels)} labels: they must be of one set of rows"
        )
    summary = summarise(columns, kinds)
    summed = summary.to_json()
    label_values = np.asarray(labels, dtype=np.float64)
    scores = np.asarray(predictions, dtype=np.float64)
    calibration = calibration_of(scores, label_values)
    return ({"calibration": calibration} if calibration else {}) | {
        "version": VERSION,
        "rows": summary.rows,
        "kinds": dict(sorted(kinds.items())),
        "columns": summed["columns"],
        "joint": summed["joint"],
        "prediction": summarise_column(predictions, "number").to_json(),
        "label": {
            "rate": float(label_values.mean()) if len(label_values) else None,
            "n": len(label_values),
            "summary": summarise_labels(label_values).to_json(),
        },
        "quality": measure(scores, label_values, metric).to_json(),
        "beside": [one.to_json() for one in beside(scores, label_values, metric)],
        "importances": dict(sorted((name, float(weight)) for name, weight in importances.items())),
        "weights": column_weights(kinds, importances, sources or {}),
    }


def summarise_labels(labels: Numbers) -> ColumnSummary:
    """Summarise labels: as a boolean when all are 0 or 1, else as a number."""
    values = np.asarray(labels, dtype=np.float64)
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    return summarise_column(values, "boolean" if binary else "number")


def column_weights(
    kinds: Mapping[str, str], importances: Mapping[str, float], sources: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Say how much of the model rests on each raw column: shares that add up to 1.

    Columns the model does not use get 0; without any usable importance all columns weigh the same.

    >>> kinds = {"temp": "number", "humid": "number"}
    >>> column_weights(kinds, {"temp": 1, "muggy": 2}, {"muggy": ["temp", "humid"]})
    {'humid': 0.3333333333333333, 'temp': 0.6666666666666666}
    """
    weights = dict.fromkeys(sorted(kinds), 0.0)
    for feature, importance in importances.items():
        read = [name for name in sources.get(feature, [feature]) if name in weights]
        for name in read:
            weights[name] += max(0.0, float(importance)) / len(read)
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 1 / len(weights)) if weights else {}
    return {name: weight / total for name, weight in weights.items()}
