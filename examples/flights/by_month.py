"""A year of flights, month by month: a winter model kept, retrained every month, or when the check says so.

Real data, and the product's own parts: preprocessing, the training job as a process, the drift check on
captured traffic, the policy and the gate. Only SageMaker and the clock are missing.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import months
from monthly_results import DRIFT, MONTHLY, NEVER, QUALITY, Asked, Month, draw, table

from driftwheel.algorithms.request import TrainingJob
from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.digest import digest
from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.quality import auc
from driftwheel.gate.decision import evaluate
from driftwheel.gate.verdict import Verdict
from driftwheel.jobs.code import bundle
from driftwheel.jobs.evidence import Champion, write_predictions
from driftwheel.jobs.model import Model, open_model
from driftwheel.jobs.tables import read_holdout
from driftwheel.spec import Drift, ModelSpec, load_spec
from driftwheel.triggers.policy import decide
from driftwheel.triggers.state import Situation, Start

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIRST, LAST = 3, 12
PER_REQUEST = 200
MEMORY_MB = 1_200


def specification() -> ModelSpec:
    """Read the example's model.yaml; a month is a window, and each may retrain.

    The holdout is always the newest rows, also of the scheduled trainings: months later nobody would judge
    them by last winter.
    """
    spec = load_spec((HERE / "model.yaml").read_text(encoding="utf-8"))
    triggers = spec.triggers.model_copy(update={"drifted_windows": 1, "of_windows": 1})
    split = spec.split.model_copy(update={"rollover": "always"})
    return spec.model_copy(update={"triggers": triggers, "split": split})


@dataclass(frozen=True, eq=False)
class Trained:
    """A model trained on all months up to ``until``, and what its job left."""

    until: int
    folder: Path
    model: Model
    baseline: dict[str, Any]
    seconds: float


def trained(spec: ModelSpec, until: int, place: Path) -> Trained:
    """Train on January to ``until``; a model trained before, on the same terms, is used again."""
    terms = spec.model_dump(mode="json", exclude={"drift", "triggers", "deployment", "evaluation"})
    folder = place / f"until-{until:02d}-{digest(terms, until, bundle()[0])}"
    began = time.monotonic()
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for month in range(1, until + 1):
            for role, year in (("source", months.flights()), ("enrich-0", months.weather())):
                path = place / f"{role}-{month:02d}.csv"
                if not path.exists():
                    months.write_month(year, month, path)
                files.append(DataFile(role, path.name, path))
        prepared = prepare(spec, Inputs(files=files), folder, memory_mb=MEMORY_MB)
        if prepared.outcome != "ready":
            raise RuntimeError(f"months 1 to {until} were refused: {prepared.problem or prepared.refused}")
        _train(spec, folder)
        (folder / "done").write_text(f"{time.monotonic() - began:.1f}")
    return Trained(
        until,
        folder,
        open_model(folder / "model"),
        json.loads((folder / "output" / "data" / "baseline.json").read_bytes()),
        float((folder / "done").read_text()),
    )


def _train(spec: ModelSpec, folder: Path) -> None:
    """Run the training job's own archive as SageMaker's container does."""
    sha256, archive = bundle()
    code = folder / "code"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(code, filter="data")
    job = TrainingJob(
        "by-month",
        spec.model,
        folder.name,
        "",
        sha256,
        spec.target.kind,
        spec.evaluation.metric,
        tuple(spec.evaluation.slices),
    )
    strings = spec.training.hyperparameter_strings(job)
    arguments = [
        part
        for name, value in strings.items()
        if not name.startswith("sagemaker_")
        for part in (f"--{name}", value)
    ]
    channels = ("train", "validation", "recipe", "params", "golden", "holdout")
    environment = {
        **os.environ,
        **{f"SM_CHANNEL_{name.upper()}": str(folder) for name in channels},
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / "output" / "data"),
        "SM_OUTPUT_DIR": str(folder / "output"),
        "SM_CHECKPOINT_DIR": str(folder / "checkpoints"),
        "PYTHONPATH": str(code),
    }
    with (folder / "job.log").open("w") as log:
        done = subprocess.run(  # our own archive
            [sys.executable, "train.py", *arguments],
            cwd=code,
            env=environment,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"training failed, see {folder / 'job.log'}")


@cache
def asked(month: int) -> tuple[list[dict[str, Any]], list[int | None]]:
    """Give a month's flights as requests, by time, and what came true."""
    count = sum(1 for _ in months.flights().of([month]))
    dice = random.Random(month)  # noqa: S311  # only the order before sorting
    records, labels = zip(*months.requests(range(month, month + 1), count, dice), strict=True)
    return list(records), list(labels)


class Year:
    """Twelve months of traffic, and what any model says about it."""

    def __init__(self, spec: ModelSpec, place: Path) -> None:
        self.spec, self.place = spec, place
        self._scores: dict[tuple[int, int], Any] = {}
        self._reports: dict[tuple[int, int, int, float], DriftReport] = {}

    def scores(self, model: Trained, month: int) -> Any:
        """Answer a month's requests."""
        key = model.until, month
        if key not in self._scores:
            self._scores[key], _ = model.model.scores_or_nan(asked(month)[0])
        return self._scores[key]

    def auc(self, model: Trained, month: int) -> float:
        """Measure a month once all its labels are there; a cancelled flight never gets one."""
        labels = np.array([np.nan if label is None else label for label in asked(month)[1]])
        scores, known = self.scores(model, month), np.isfinite(labels)
        value, _ = auc(scores[known], labels[known])
        assert value is not None
        return value

    def report(self, model: Trained, month: int, drift: Drift, reference: int = 0) -> DriftReport:
        """Check a month's captured traffic against the model's baseline, or against another month."""
        key = model.until, month, reference, drift.major_share
        if key not in self._reports:
            baseline = self._moved(model, reference) if reference else model.baseline
            self._reports[key] = check(
                baseline, self._window(model, month, baseline), drift.limits, self._units()
            )
        return self._reports[key]

    def _moved(self, model: Trained, month: int) -> dict[str, Any]:
        """Take a month of traffic as the reference, with the model's own weights."""
        window = self._window(model, month, model.baseline)
        assert window.prediction is not None
        assert window.label is not None
        label = model.baseline["label"] | {"summary": window.label.to_json()}
        moved = {"prediction": window.prediction.to_json(), "label": label}
        return {**model.baseline, **window.summary.to_json(), **moved}

    def _units(self) -> dict[str, str]:
        return {name: column.unit for name, column in self.spec.columns.items() if column.unit}

    def _window(self, model: Trained, month: int, baseline: dict[str, Any]) -> Any:
        records, labels = asked(month)
        scores = self.scores(model, month)
        lines, named = [], ["inference_id,label"]
        for start in range(0, len(records), PER_REQUEST):
            name = f"m{month}-{start}"
            batch = slice(start, start + PER_REQUEST)
            answer = {"predictions": [{"score": float(score)} for score in scores[batch]]}
            lines.append(_captured(name, {"records": records[batch]}, answer))
            named += [
                f"{name}/{n}," + str(label) for n, label in enumerate(labels[batch]) if label is not None
            ]
        reader = LabelReader()
        reader.read(iter(["\n".join(named).encode() + b"\n"]), "labels.csv")
        return read_window(baseline, model.model.recipe, [("capture", ["\n".join(lines).encode()])], reader)


def _captured(name: str, given: dict[str, Any], answer: dict[str, Any]) -> str:
    """Write one request as SageMaker's data capture does."""
    sides = {
        f"endpoint{side}": {
            "observedContentType": "application/json",
            "mode": side.upper(),
            "data": json.dumps(body),
            "encoding": "JSON",
        }
        for side, body in (("Input", given), ("Output", answer))
    }
    about = {"eventId": name, "inferenceId": name, "inferenceTime": "2013-01-01T00:00:00Z"}
    return json.dumps({"captureData": sides, "eventMetadata": about, "eventVersion": "0"})


def judged(spec: ModelSpec, challenger: Trained, champion: Trained) -> Verdict:
    """Let the gate compare both models on the challenger's holdout: the newest rows of its months."""
    rows = read_holdout(challenger.folder / "holdout.jsonl.gz")
    records = [row.record for row in rows]
    theirs, _ = champion.model.scores_or_nan(records)
    ours, _ = challenger.model.scores_or_nan(records)
    path = challenger.folder / f"against-{champion.until:02d}.csv.gz"
    write_predictions(path, rows, ours, Champion("scored", theirs), spec.evaluation.slices)
    return evaluate(path, spec.evaluation, spec.target.kind, seed=spec.training.seed, champion_expected=True)


@dataclass
class Keeper:
    """One way to keep a model: its champion, and what it did each month.

    With ``major_share: 1`` moved inputs alone are never major: only a clear loss of quality retrains.
    """

    name: str
    spec: ModelSpec
    champion: Trained
    trainings: int = 0
    promoted: int = 0
    months: list[Month] = field(default_factory=list)

    def live(self, month: int, year: Year) -> None:
        """Serve a month, then decide at its end."""
        value, report = year.auc(self.champion, month), year.report(self.champion, month, self.spec.drift)
        reason, verdict = "", None
        if self._wants(month, report) and month < LAST:
            challenger = trained(self.spec, month, year.place)
            verdict = judged(self.spec, challenger, self.champion)
            self.trainings += 1
            reason = f"{verdict.decision}: {verdict.sentence}"
            if verdict.decision == "promote":
                self.champion = challenger
                self.promoted += 1
        self.months.append(Month(month, value, report, verdict.decision if verdict else "", reason))
        print(
            f"{self.name} {month:2d}: AUC {value:.3f}, {report.sentence} {reason}",
            file=sys.stderr,
            flush=True,
        )

    def _wants(self, month: int, report: DriftReport) -> bool:
        if self.name in {NEVER, MONTHLY}:
            return self.name == MONTHLY
        severity: Any = report.severity if report.severity in {"minor", "major"} else None
        situation = Situation(
            now=datetime(2013 + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp(),
            drift=severity,
            labelled_rows=int(report.window["labelled_rows"]),
            fault=report.sentence if report.blocks_retraining else "",
        )
        return isinstance(decide(situation, self.spec), Start)


def main(arguments: Sequence[str] | None = None) -> int:
    """Let the year pass in four ways; print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".driftwheel" / "by-month")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "flights-by-month.svg")
    parser.add_argument("--last", type=int, default=LAST, help="the last month to live through")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    year = Year(specification(), given.folder)
    winter = trained(year.spec, FIRST - 1, given.folder)
    costly = year.spec.model_copy(update={"drift": year.spec.drift.model_copy(update={"major_share": 1.0})})
    keepers = [Keeper(name, year.spec, winter) for name in (NEVER, MONTHLY, DRIFT)]
    keepers.append(Keeper(QUALITY, costly, winter))
    for month in range(FIRST, given.last + 1):
        for keeper in keepers:
            keeper.live(month, year)
    against = [
        Asked(
            month,
            year.report(winter, month, year.spec.drift),
            year.report(winter, month, year.spec.drift, reference=month - 1),
        )
        for month in range(FIRST, given.last + 1)
    ]
    lived = {keeper.name: keeper.months for keeper in keepers}
    print(table(lived, against, {keeper.name: (keeper.trainings, keeper.promoted) for keeper in keepers}))
    given.figure.write_text(draw(lived), encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s, figure {given.figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
