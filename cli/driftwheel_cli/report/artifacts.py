"""What a run left under its prefix, and the drift report that started it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.layout import RunLayout, S3Uri, drift_prefix

Document = dict[str, Any]


@dataclass(frozen=True)
class Artifacts:
    """The documents of one run; what it never came to, or did not keep, is None."""

    run: Document
    verdict: Document | None = None
    profile: Document | None = None
    training: Document | None = None
    drift: Document | None = None


def read_artifacts(reader: Objects, artifact_bucket: str, model: str, run_id: str) -> Artifacts:
    """Read a run's documents; raises ArtifactInvalid when it has no ``run.json``: it has not ended."""
    place = RunLayout(artifact_bucket, model, run_id)
    run: Document = reader.read_json(place.record)
    return Artifacts(
        run=run,
        verdict=_read(reader, place.step("evaluation_gate") / "evaluation.json"),
        profile=_read(reader, place.step("preprocessing") / "profile.json"),
        training=_read(reader, place.step("evaluation_gate") / "metrics.json"),
        drift=_drift(reader, artifact_bucket, run),
    )


def _drift(reader: Objects, bucket: str, run: Document) -> Document | None:
    """Find the last drift report before a run that drift started; its stamp is part of its key."""
    if run["started"]["kind"] != "drift":
        return None
    started = datetime.fromisoformat(run["started"]["at"]).strftime("%Y%m%dT%H%M%SZ")
    reports = [
        entry["Key"]
        for entry in reader.list(bucket, drift_prefix(run["model"], ""))
        if entry["Key"].endswith("/report.json") and entry["Key"].split("/")[-2] <= started
    ]
    if not reports:
        return None
    place = S3Uri(bucket, max(reports))
    found = _read(reader, place)
    return found and found | {"page_uri": str(place).replace("report.json", "drift.html")}


def _read(reader: Objects, uri: S3Uri) -> Document | None:
    if not reader.exists(uri):
        return None
    document: Document = reader.read_json(uri)
    return document
