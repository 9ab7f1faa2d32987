"""Training: fit, keep the best trees, judge challenger and champion on the same rows, publish by manifest."""

import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.quality import Metric
from driftwheel.errors import ArtifactInvalid, DriftwheelError
from driftwheel.jobs import artifact, code
from driftwheel.jobs.boosting import Fitted, Interruption, Stopped, fit, refit
from driftwheel.jobs.checkpoints import Checkpoints, fingerprint
from driftwheel.jobs.container import Container, Hyperparameters
from driftwheel.jobs.evidence import Champion, request_change, write_json, write_predictions
from driftwheel.jobs.failure import report_failure
from driftwheel.jobs.model import Golden, Model, open_model, read_golden
from driftwheel.jobs.tables import HoldoutRow, Table, read_holdout, read_raw, read_table
from driftwheel.recipe.row import load_recipe

INPUTS = {
    "train": "train.parquet",
    "validation": "validation.parquet",
    "recipe": "recipe.json",
    "params": "params.json",
    "golden": "golden.jsonl",
}
"""Channel → its file."""

LIVE_METRICS: dict[str, Metric] = {"binary": "auc", "regression": "rmse"}
"""Kind of target → the metric its live quality is watched by."""

PROBE_RECORDS = 20

STOPPED = 143
"""128 + SIGTERM: a stopped training must never look Completed."""


def main() -> int:
    """Run the job and return the process's exit code; a failure leaves its reason in the failure file."""
    container: Container | None = None
    interruption = Interruption()
    interruption.listen()
    try:
        container = Container.from_env()
        train(container, Hyperparameters.from_arguments(sys.argv[1:]), interruption)
    except Stopped:
        print("stopped: a checkpoint is kept, no model is published", flush=True)
        return STOPPED
    except Exception as error:  # noqa: BLE001  # whatever it is, SageMaker must be told why
        report_failure(container, error)
        return 1
    return 0


def train(container: Container, settings: Hyperparameters, interruption: Interruption) -> None:
    """Do the whole job; raises DriftwheelError for what a person can mend, Stopped on SIGTERM."""
    started = time.monotonic()
    container.check_inputs(INPUTS)
    files = {channel: container.file(channel, name) for channel, name in INPUTS.items()}
    recipe = load_recipe(json.loads(files["recipe"].read_bytes()), json.loads(files["params"].read_bytes()))
    names, types = list(recipe.feature_names), list(recipe.feature_types)
    splits = {
        name: read_table(files[name], names, timed=settings.half_life_days > 0)
        for name in ("train", "validation")
    }
    print(f"rows: train {len(splits['train'])}, validation {len(splits['validation'])}", flush=True)
    checkpoints = Checkpoints(
        container.checkpoints,
        fingerprint((settings, xgb.__version__), *(files[name] for name in ("train", "validation"))),
    )
    fitted = fit(
        splits["train"],
        splits["validation"],
        names,
        types,
        settings,
        cpus=container.cpus,
        checkpoints=checkpoints,
        interruption=interruption,
    )
    fitted = refit(
        fitted,
        list(splits.values()),
        names,
        types,
        settings,
        cpus=container.cpus,
        interruption=interruption,
    )
    fitted_at = time.monotonic()
    model = publish(container, settings, files, fitted)
    interruption.check()
    rows = read_holdout(container.file("holdout", "holdout.jsonl.gz"))
    records = [row.record for row in rows]
    scores, problems = model.scores_or_nan(records)
    champion = score_champion(container, rows, settings.champion_manifest_sha256)
    interruption.check()
    data = container.output_data
    data.mkdir(parents=True, exist_ok=True)
    write_predictions(data / "predictions.csv.gz", rows, scores, champion, settings.slices)
    probe = [number for number in range(len(rows)) if np.isfinite(scores[number])][:PROBE_RECORDS]
    write_json(
        data / "probe.json",
        {"records": [records[n] for n in probe], "scores": [float(scores[n]) for n in probe]},
    )
    importances = _importances(fitted.booster)
    write_json(
        data / "baseline.json", _baseline(files, settings, recipe, fitted, splits["validation"], importances)
    )
    write_json(
        data / "metrics.json",
        {
            "model": settings.model,
            "run_id": settings.run_id,
            "training_job": container.job_name,
            "rounds": fitted.rounds,
            "best_round": fitted.best_round,
            "resumed_from": fitted.resumed_from,
            f"validation_{settings.eval_metric}": fitted.best_score,
            "rows": {name: len(table) for name, table in splits.items()} | {"holdout": len(rows)},
            "holdout_sha256": artifact.file_sha256(container.file("holdout", "holdout.jsonl.gz")),
            "unscored_fields": problems,
            "champion": {"status": champion.status, "reason": champion.reason, "run_id": champion.run_id},
            "request_change": request_change(recipe, champion.recipe),
            "importances": importances,
            "manifest_sha256": artifact.file_sha256(container.model / artifact.MANIFEST),
            "versions": {"python": platform.python_version(), "xgboost": xgb.__version__},
            "seconds": {
                "fit": round(fitted_at - started, 3),
                "total": round(time.monotonic() - started, 3),
            },
            # Linux counts ru_maxrss in kibibytes.
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
    )
    print(f"done: best round {fitted.best_round}, champion {champion.status}", flush=True)


def publish(
    container: Container, settings: Hyperparameters, files: Mapping[str, Path], fitted: Fitted
) -> Model:
    """Write the model folder, manifest last, and open it the way the server will.

    Raises ArtifactInvalid when the row recipe does not reproduce the batch engine's golden features: such a
    model would answer differently from how it was trained. The manifest is then taken back.
    """
    folder = container.model
    folder.mkdir(parents=True, exist_ok=True)
    fitted.booster.save_model(str(folder / "model.json"))
    for channel in ("recipe", "params", "golden"):
        (folder / INPUTS[channel]).write_bytes(files[channel].read_bytes())
    copied = _copy_code(folder)
    manifest = {
        "version": 1,
        "model": settings.model,
        "run_id": settings.run_id,
        "kind": settings.kind,
        "code_sha256": settings.code_sha256,
        "xgboost": xgb.__version__,
        "feature_names": fitted.booster.feature_names,
        "feature_types": fitted.booster.feature_types,
    }
    written = ["model.json", "recipe.json", "params.json", "golden.jsonl", *copied]
    path = folder / artifact.MANIFEST
    try:
        # Opened once without golden scores, so that the model itself can give them.
        write_json(path, {**manifest, "files": artifact.describe(folder, written)})
        model = open_model(folder)
        _write_golden(folder / "golden.jsonl", model, read_golden(folder / "golden.jsonl"))
        write_json(path, {**manifest, "files": artifact.describe(folder, written)})
        return open_model(folder)
    except DriftwheelError:
        path.unlink(missing_ok=True)
        raise


def _copy_code(folder: Path) -> list[str]:
    """Copy the code this job runs from into the artifact: a model is served by the code it was made with."""
    home = Path(__file__).resolve().parents[2]
    copied = []
    for name in code.names():
        source, target = home / name, folder / "code" / name
        if not source.is_file():
            raise ArtifactInvalid(f"{name} is missing beside the job: start it from the code archive")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        copied.append(f"code/{name}")
    return copied


def _write_golden(path: Path, model: Model, golden: Sequence[Golden]) -> None:
    scores = model.scores([example.record for example in golden]).tolist() if golden else []
    scored = [replace(example, score=score) for example, score in zip(golden, scores, strict=True)]
    path.write_text("".join(json.dumps(vars(example), sort_keys=True) + "\n" for example in scored))


def score_champion(container: Container, rows: Sequence[HoldoutRow], manifest_sha256: str = "") -> Champion:
    """Score the holdout with the champion: its recipe, parameters and trees, proven by its golden records.

    Its code is not run: today's row function must reproduce the champion's own golden records, else the
    champion counts as unusable and a person decides. ``manifest_sha256`` is what the ledger says of it.
    """
    if "champion" not in container.channels:
        return Champion("absent")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "champion"
        try:
            artifact.extract(container.file("champion", "model.tar.gz"), folder, manifest_sha256)
            model = open_model(folder, manifest_sha256)
        except ArtifactInvalid as error:
            return Champion("unusable", np.full(len(rows), np.nan), str(error))
        scores, problems = model.scores_or_nan([row.record for row in rows])
        run_id = str(model.manifest.get("run_id", ""))
    if problems:
        fields = ", ".join(f"{name} ({count} rows)" for name, count in sorted(problems.items()))
        return Champion(
            "unusable", scores, f"its recipe refuses the holdout's {fields}", run_id, model.recipe
        )
    return Champion("scored", scores, run_id=run_id, recipe=model.recipe)


def _baseline(
    files: Mapping[str, Path],
    settings: Hyperparameters,
    recipe: Any,
    fitted: Fitted,
    validation: Table,
    importances: Mapping[str, float],
) -> dict[str, Any]:
    """Summarise what was learned from; predictions are of rows their trees had not seen."""
    columns = read_raw([files["train"], files["validation"]])
    watched = {name: kind for name, kind in recipe.column_types.items() if name in recipe.inputs}
    return build_baseline(
        {name: columns[name] for name in watched if name in columns},
        {name: kind for name, kind in watched.items() if name in columns},
        fitted.validation_scores,
        validation.labels,
        importances,
        sources=recipe.sources,
        metric=LIVE_METRICS[settings.kind],
    )


def _importances(booster: xgb.Booster) -> dict[str, float]:
    """Total gain of each feature: how much of the loss its splits removed; 0 for a feature never used."""
    gains: dict[str, Any] = booster.get_score(importance_type="total_gain")
    return {name: float(gains.get(name, 0.0)) for name in booster.feature_names or []}
