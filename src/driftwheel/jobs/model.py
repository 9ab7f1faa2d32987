"""A trained model as it serves: its own recipe turns a record into features, its trees into a score."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.artifact import check
from driftwheel.jobs.single import Floats, Matrix, in_single
from driftwheel.recipe.row import FieldError, RecipeUnknown, RowRecipe, load_recipe

Record = Mapping[str, object]

FEATURE_TOLERANCE = 1e-9
"""Golden features come from the batch engine; its logarithms and powers may differ in the last bit."""

SCORE_TOLERANCE = 1e-5
"""Golden scores may have been computed on another processor: 32-bit sums of leaves, in another order."""


class BadRecord(ValueError):
    """When a record cannot be scored; ``row`` counts from 0, ``field`` and ``message`` are the recipe's."""

    def __init__(self, row: int, error: FieldError) -> None:
        super().__init__(f"row {row}, field {error.field}: {error.message}")
        self.row, self.field, self.message = row, error.field, error.message


@dataclass(frozen=True, eq=False)
class Model:
    """Recipe and trees of one artifact."""

    recipe: RowRecipe
    booster: xgb.Booster
    manifest: Mapping[str, Any]

    def matrix(self, records: Sequence[Record]) -> Matrix:
        """Turn records into features (rows, features); raises BadRecord naming row and field."""
        features = self.recipe.features
        rows = []
        for row, record in enumerate(records):
            try:
                rows.append(features(record))
            except FieldError as error:
                raise BadRecord(row, error) from error
        return in_single(np.array(rows, dtype=np.float64)).reshape(len(rows), len(self.recipe.feature_names))

    def predict(self, matrix: Matrix) -> Floats:
        """Score features: probabilities for a binary target, values for a regression."""
        data = xgb.DMatrix(
            matrix,
            feature_names=list(self.recipe.feature_names),
            feature_types=list(self.recipe.feature_types),
            nthread=1,
        )
        return np.asarray(self.booster.predict(data), dtype=np.float64)

    def scores(self, records: Sequence[Record]) -> Floats:
        """Score records; raises BadRecord as ``matrix`` does."""
        return self.predict(self.matrix(records))

    def scores_or_nan(self, records: Sequence[Record]) -> tuple[Floats, dict[str, int]]:
        """Score what can be scored; NaN elsewhere, with the fields that were in the way and how often."""
        usable: list[int] = []
        rows: list[list[float | None]] = []
        problems: dict[str, int] = {}
        for row, record in enumerate(records):
            try:
                rows.append(self.recipe.features(record))
                usable.append(row)
            except FieldError as error:
                problems[error.field] = problems.get(error.field, 0) + 1
        found = np.full(len(records), np.nan)
        if usable:
            matrix = in_single(np.array(rows, dtype=np.float64)).reshape(len(rows), -1)
            found[usable] = self.predict(matrix)
        return found, problems


def open_model(folder: Path, manifest_sha256: str = "") -> Model:
    """Load an unpacked artifact and prove that it still says what it said when it was trained.

    ``manifest_sha256`` is what was recorded of its manifest; empty while it is being made. Raises
    ArtifactInvalid when a digest differs, a file cannot be read, or a golden record now gets another
    feature or another score.
    """
    manifest = check(folder, manifest_sha256)
    try:
        recipe = load_recipe(
            json.loads((folder / "recipe.json").read_bytes()),
            json.loads((folder / "params.json").read_bytes()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The parameters hold values of the data, and what Python says of them quotes those.
        why = str(error) if isinstance(error, RecipeUnknown) else type(error).__name__
        raise ArtifactInvalid(f"recipe.json and params.json do not fit this code: {why}") from error
    model = Model(recipe, load_booster(folder / "model.json", len(recipe.feature_names)), manifest)
    replay(model, read_golden(folder / "golden.jsonl"))
    return model


def load_booster(path: Path, features: int) -> xgb.Booster:
    """Read XGBoost JSON; raises ArtifactInvalid when it is damaged or wants another number of features."""
    booster = xgb.Booster()
    try:
        # The name ends with .json, so XGBoost's JSON reader is used whatever the bytes are.
        booster.load_model(str(path))
        wanted = booster.num_features()
    except (xgb.core.XGBoostError, ValueError, KeyError, TypeError) as error:
        raise ArtifactInvalid(f"{path.name} is not a model XGBoost can read") from error
    if wanted != features:
        raise ArtifactInvalid(f"{path.name} wants {wanted} features, the recipe makes {features}")
    return booster


@dataclass(frozen=True)
class Golden:
    """A record, the features the batch engine gave it, and (once trained) its score."""

    record: dict[str, Any]
    features: dict[str, float | None]
    score: float | None = None


def read_golden(path: Path) -> list[Golden]:
    """Read ``golden.jsonl``; raises ArtifactInvalid naming the line that is wrong."""
    return list(_golden(path))


def _golden(path: Path) -> Iterator[Golden]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            yield Golden(dict(entry["record"]), dict(entry["features"]), entry.get("score"))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactInvalid(f"{path.name} line {number} is no golden record") from error


def replay(model: Model, golden: Sequence[Golden]) -> None:
    """Recompute golden records; raises ArtifactInvalid naming the first feature or score that differs."""
    names = model.recipe.feature_names
    for row, example in enumerate(golden):
        try:
            found = model.recipe.features(example.record)
        except FieldError as error:
            raise ArtifactInvalid(f"golden record {row} is refused now: field {error.field}") from error
        for name, value in zip(names, found, strict=True):
            if name not in example.features or not _same(value, example.features[name], FEATURE_TOLERANCE):
                raise ArtifactInvalid(f"golden record {row}: feature {name} differs from the batch engine's")
    if not golden:
        return
    scores = model.scores([example.record for example in golden])
    for row, (example, score) in enumerate(zip(golden, scores.tolist(), strict=True)):
        if example.score is not None and not _same(score, example.score, SCORE_TOLERANCE):
            raise ArtifactInvalid(f"golden record {row}: its score differs from the one it had in training")


def _same(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is None and other is None
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
