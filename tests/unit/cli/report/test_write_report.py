"""A run's page is made of what lies under its prefix, and of the drift report that started it."""

from pathlib import Path
from typing import Any

import pytest

from driftwheel.errors import ArtifactInvalid
from driftwheel_cli.report import write_report

ROOT = "s3://artifacts/runs/flights/ab12"
REPORT = {
    "sentence": "Major drift: the right one",
    "rows": 1,
    "baseline_rows": 2,
    "tests_made": 3,
    "significance": 0.01,
    "features": [],
}


class Stored(dict[str, Any]):
    def exists(self, uri: object) -> bool:
        return str(uri) in self

    def read_json(self, uri: object) -> Any:
        if str(uri) not in self:
            raise ArtifactInvalid(f"{uri} is missing")
        return self[str(uri)]

    def list(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        start = f"s3://{bucket}/"
        return [{"Key": uri.removeprefix(start)} for uri in self if uri.startswith(f"{start}{prefix}")]


def run(kind: str) -> dict[str, Any]:
    return {
        "model": "flights",
        "run_id": "ab12",
        "started": {"kind": kind, "reason": "asked", "at": "2026-01-02T10:00:00+00:00"},
        "record_outcome": {"status": "refused", "sentence": "no rows", "at": "2026-01-02T10:00:09"},
    }


def write(stored: Stored, folder: Path) -> str:
    path = write_report(stored, "artifacts", "flights", "ab12", folder / "run.html")  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_one_runs_prefix_is_read_and_its_absent_parts_are_named(tmp_path: Path) -> None:
    stored = Stored({f"{ROOT}/run.json": run("manual"), f"{ROOT}/preprocessing/profile.json": PROFILE})

    page = write(stored, tmp_path)

    assert "12,345" in page
    assert "never reached the gate" in page


PROFILE = {"rows": {"read": 12345}}


def test_the_last_drift_report_before_the_run_is_the_one_that_started_it(tmp_path: Path) -> None:
    stored = Stored({f"{ROOT}/run.json": run("drift")})
    for stamp, words in (
        ("20260101T000000Z", "an old one"),
        ("20260102T095959Z", "the right one"),
        ("20260103T000000Z", "a later one"),
    ):
        sentence = {"sentence": f"Major drift: {words}"}
        stored[f"s3://artifacts/drift/flights/{stamp}/report.json"] = REPORT | sentence
        stored[f"s3://artifacts/drift/flights/{stamp}/constraint_violations.json"] = {}

    page = write(stored, tmp_path)

    assert "the right one" in page
    assert "s3://artifacts/drift/flights/20260102T095959Z/drift.html" in page
    assert "an old one" not in page
    assert "a later one" not in page


def test_a_run_that_has_not_ended_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"run\.json is missing"):
        write(Stored(), tmp_path)
