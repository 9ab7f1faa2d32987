"""XGBoost tells baseline rows from window rows, on rows it was not trained on.

Needs what AWS's XGBoost image carries: ``domain_job.py`` runs it as a training job, and so does ``compare``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from driftwheel.drift.domain_classifier import THRESHOLD, DomainVerdict, judge
from driftwheel.jobs.single import Matrix, in_single

FOLDS = 5
ROUNDS = 60
MOST_ROWS = 20_000
"""Of each side: AUC is then known to ± 0.006, and 31 columns take some seconds."""

PARAMETERS: Mapping[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 4,  # deep enough for what two or three columns show together
    "eta": 0.1,
    "min_child_weight": 5,
    "subsample": 0.8,
    "seed": 7,
    "nthread": 1,  # trees this small gain little from more, and lose much where others compute too
    "verbosity": 0,
}

Columns = Mapping[str, Sequence[Any]]


def tell_apart(
    before: Columns,
    now: Columns,
    kinds: Mapping[str, str],
    *,
    threshold: float = THRESHOLD,
    significance: float = 0.01,
    minimum_rows: int = 500,
) -> DomainVerdict:
    """Train on four fifths, score the fifth left out, five times; equal rows give equal answers.

    ``kinds`` are the columns used, by type: ``number``, ``integer`` and ``boolean`` are numbers, anything
    else is a category. None is a value of its own. Fewer than ``minimum_rows`` on a side are too few.
    """
    sizes = [len(next(iter(side.values()), ())) for side in (before, now)]
    if min(sizes) < minimum_rows or not kinds:
        return DomainVerdict("insufficient_data", sizes[0], sizes[1], threshold, significance)
    names = list(kinds)
    matrix = np.column_stack([_encoded([*before[name], *now[name]], kinds[name]) for name in names])
    domain = np.repeat([0.0, 1.0], sizes)
    random = np.random.default_rng(PARAMETERS["seed"])
    fold = np.concatenate([random.permutation(size) % FOLDS for size in sizes])
    types = ["q" if _is_number(kinds[name]) else "c" for name in names]
    scores: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
    gains = dict.fromkeys(names, 0.0)
    for left_out in range(FOLDS):
        there = fold == left_out
        train, test = (
            xgboost.DMatrix(
                matrix[rows],
                domain[rows],
                feature_names=[f"f{n}" for n in range(len(names))],
                feature_types=types,
                enable_categorical=True,
            )
            for rows in (~there, there)
        )
        booster = xgboost.train(dict(PARAMETERS), train, ROUNDS)
        told = np.asarray(booster.predict(test), dtype=np.float64)
        scores.append((told[domain[there] == 0], told[domain[there] == 1]))
        for feature, gain in booster.get_score(importance_type="total_gain").items():
            gains[names[int(feature[1:])]] += float(gain)  # type: ignore[arg-type]
    return judge(scores, gains, threshold=threshold, significance=significance)


def _is_number(kind: str) -> bool:
    return kind in {"number", "integer", "boolean"}


def _encoded(values: Sequence[Any], kind: str) -> Matrix:
    """Give numbers as they are and categories by their number in sorted order, None as NaN."""
    if _is_number(kind):
        return in_single(np.array([np.nan if value is None else float(value) for value in values]))
    known = {value: n for n, value in enumerate(sorted({str(v) for v in values if v is not None}))}
    return np.array([np.nan if v is None else known[str(v)] for v in values], dtype=np.float32)
