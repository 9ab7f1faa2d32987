"""Gradient boosting, round by round: metrics in XGBoost's own words, early stopping, checkpoints, SIGTERM."""

import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FrameType

import numpy as np
import xgboost as xgb

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.checkpoints import Checkpoints, Progress
from driftwheel.jobs.container import Hyperparameters
from driftwheel.jobs.single import Floats
from driftwheel.jobs.tables import Table

CHECKPOINT_ROUNDS = 10
"""A spot interruption costs at most so many rounds."""

OBJECTIVES = {"binary": "binary:logistic", "regression": "reg:squarederror"}


class Stopped(Exception):
    """When SIGTERM arrived: SageMaker is stopping the job or takes the spot instance away."""


class Interruption:
    """Remembers SIGTERM until it is safe to act on it."""

    def __init__(self) -> None:
        self._arrived = False

    def listen(self) -> None:
        """Catch SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._remember)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._arrived = True

    @property
    def arrived(self) -> bool:
        """Whether SIGTERM came."""
        return self._arrived

    def check(self) -> None:
        """Raise Stopped when SIGTERM came."""
        if self._arrived:
            raise Stopped


@dataclass(frozen=True, eq=False)
class Fitted:
    """The trees up to the best round; ``validation_scores`` are of trees that had not seen those rows."""

    booster: xgb.Booster
    validation_scores: Floats
    rounds: int
    best_round: int
    best_score: float
    resumed_from: int


def fit(
    train: Table,
    validation: Table,
    names: Sequence[str],
    types: Sequence[str],
    settings: Hyperparameters,
    *,
    cpus: int,
    checkpoints: Checkpoints,
    interruption: Interruption,
) -> Fitted:
    """Fit until the validation metric has not improved for ``early_stopping_rounds``.

    Going on from a checkpoint gives the trees an uninterrupted training gives, unless rows or columns are
    sampled: XGBoost does not save its random generators (``seed_per_iteration`` does not help, measured with
    3.2.0), so later rounds then draw anew. Raises Stopped after saving when SIGTERM comes, ArtifactInvalid
    when the validation split cannot be measured.
    """
    data = {
        "train": _matrix(train, names, types, cpus, settings.half_life_days),
        "validation": _matrix(validation, names, types, cpus),
    }
    evaluated = [(matrix, name) for name, matrix in data.items()]
    found = checkpoints.resume()
    trees, progress = found or (None, Progress())
    resumed_from = progress.rounds
    booster = xgb.Booster(
        booster_parameters(settings, cpus),
        cache=list(data.values()),
        model_file=str(trees) if trees else None,
    )
    while progress.rounds < settings.rounds and not _exhausted(progress, settings):
        round_ = progress.rounds
        booster.update(data["train"], round_)
        line = booster.eval_set(evaluated, round_)
        print(line, flush=True)
        progress = _advance(progress, _score(line, settings.eval_metric), settings.eval_metric)
        if interruption.arrived or progress.rounds % CHECKPOINT_ROUNDS == 0:
            checkpoints.save(booster, progress)
        interruption.check()
    assert progress.best_score is not None
    best = booster[: progress.best_round + 1]
    return Fitted(
        booster=best,
        validation_scores=np.asarray(best.predict(data["validation"]), dtype=np.float64),
        rounds=progress.rounds,
        best_round=progress.best_round,
        best_score=progress.best_score,
        resumed_from=resumed_from,
    )


def refit(
    fitted: Fitted,
    tables: Sequence[Table],
    names: Sequence[str],
    types: Sequence[str],
    settings: Hyperparameters,
    *,
    cpus: int,
    interruption: Interruption,
) -> Fitted:
    """Grow the best number of rounds again on all ``tables``: the newest rows must do more than stop it.

    Where data drifts, the validation rows are the ones most like tomorrow's. Raises Stopped when SIGTERM
    comes; a resumed job starts this second pass anew, it is the shorter one.
    """
    whole = Table(
        np.concatenate([table.features for table in tables]),
        np.concatenate([table.labels for table in tables]),
        np.concatenate([table.times for table in tables if table.times is not None])
        if settings.half_life_days
        else None,
    )
    data = _matrix(whole, names, types, cpus, settings.half_life_days)
    booster = xgb.Booster(booster_parameters(settings, cpus), cache=[data])
    for round_ in range(fitted.best_round + 1):
        booster.update(data, round_)
        interruption.check()
    return replace(fitted, booster=booster)


def booster_parameters(settings: Hyperparameters, cpus: int) -> dict[str, object]:
    """Join the owner's parameters with ours; ours win."""
    return {
        **settings.booster,
        "objective": OBJECTIVES[settings.kind],
        "eval_metric": settings.eval_metric,
        "tree_method": "hist",
        "seed": settings.seed,
        "nthread": cpus,
        "verbosity": 1,
    }


def weights_of(times: Floats, half_life_days: float) -> Floats:
    """Weigh each row 2^(-age / half-life), its age in days before the newest; the mean of all is 1.

    So ``min_child_weight`` means what it means without weights. A row without a time counts as the oldest.

    >>> weights_of(np.array([10.0, 20.0, np.nan]), 10).round(3).tolist()
    [0.75, 1.5, 0.75]
    """
    dated = np.isfinite(times)
    known = np.where(dated, times, times[dated].min(initial=np.inf) if dated.any() else 0.0)
    weights = np.exp2((known - known.max()) / half_life_days)
    return np.asarray(weights / weights.mean())


def _matrix(
    table: Table, names: Sequence[str], types: Sequence[str], cpus: int, half_life_days: float = 0.0
) -> xgb.DMatrix:
    weights = weights_of(table.times, half_life_days) if half_life_days and table.times is not None else None
    return xgb.DMatrix(
        table.features,
        label=table.labels,
        weight=weights,
        feature_names=list(names),
        feature_types=list(types),
        enable_categorical=True,
        nthread=cpus,
    )


def _exhausted(progress: Progress, settings: Hyperparameters) -> bool:
    return progress.rounds - 1 - progress.best_round >= settings.early_stopping_rounds


def _score(line: str, metric: str) -> float:
    return float(line.rsplit(f"validation-{metric}:", 1)[1])


def _advance(progress: Progress, score: float, metric: str) -> Progress:
    if not math.isfinite(score):
        raise ArtifactInvalid(
            f"validation {metric} is no number: does the validation split hold both classes?"
        )
    best = progress.best_score
    better = best is None or (score > best if metric == "auc" else score < best)
    following = replace(progress, rounds=progress.rounds + 1)
    return replace(following, best_round=progress.rounds, best_score=score) if better else following
