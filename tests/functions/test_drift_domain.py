"""The domain classifier beside a check: one job asked for, its answer in a later report, never a wait."""

import gzip
import io
import json
import tarfile
from datetime import timedelta
from typing import Any

import pytest

from driftwheel.ledger.domains import Domains
from driftwheel.steps import drift_check as steps

from .conftest import World
from .test_drift_check import NOW, capture, live, rides
from .test_drift_reference import declare

__all__ = ["live"]

ASKED = {"kind": "manual", "model": "rides"}
ANSWER = {
    "verdict": "drift",
    "sentence": "domain classifier: rows can be told apart, mostly by temp (90%)",
    "importances": [{"name": "temp", "share": 0.9}],
}


def check(world: World, minutes: int) -> Any:
    module = world.load("drift_check")
    at = NOW + timedelta(minutes=minutes)
    ledger = steps.Ledger.of(world.table)
    found = steps.survey(ASKED, ledger, module.objects, world.artifacts, at, module.jobs)
    return world.read(found.checked[0].report_uri.removeprefix(f"s3://{world.artifacts}/"))


def jobs_of(world: World) -> list[Any]:
    client = world.client("sagemaker")
    names = [one["TrainingJobName"] for one in client.list_training_jobs()["TrainingJobSummaries"]]
    return [client.describe_training_job(TrainingJobName=name) for name in sorted(names)]


def status(world: World, monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    """Let the service say so of any job: moto's end as soon as they are made."""
    client = world.load("drift_check").jobs.client
    monkeypatch.setattr(client, "describe_training_job", lambda **_: said)


def answer(world: World, name: str, document: Any) -> None:
    row = Domains(world.table).get("rides")
    assert row is not None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        body = json.dumps(document).encode()
        member = tarfile.TarInfo(name)
        member.size = len(body)
        tar.addfile(member, io.BytesIO(body))
    world.put(world.artifacts, row.output_uri.removeprefix(f"s3://{world.artifacts}/"), packed.getvalue())


@pytest.fixture
def declared(live: World) -> World:
    declare(live, domain_classifier=True)
    capture(live, [ride | ({"temp": "warm"} if ride["id"] == 5 else {}) for ride in rides(1_000, 15, seed=4)])
    return live


def test_a_check_asks_for_one_job_on_its_rows_and_a_later_report_has_the_answer(
    declared: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = check(declared, 0)
    (job,) = jobs_of(declared)
    status(declared, monkeypatch, TrainingJobStatus="InProgress")
    check(declared, 0)
    at_work = check(declared, 60)
    answer(declared, "domain.json", ANSWER)
    status(declared, monkeypatch, TrainingJobStatus="Completed")
    answered = check(declared, 120)

    assert first["domain_classifier"] is None
    assert at_work["domain_classifier"]["state"] == "asked"
    assert answered["domain_classifier"] | ANSWER == answered["domain_classifier"]
    assert answered["domain_classifier"]["at"] == NOW.isoformat()
    assert job["EnableNetworkIsolation"] is True
    uris = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in job["InputDataConfig"]
    }
    assert uris["train"].endswith("/runs/rides/r1/preprocessing/train.parquet")
    key = uris["window"].removeprefix(f"s3://{declared.artifacts}/")
    body = declared.client("s3").get_object(Bucket=declared.artifacts, Key=key)["Body"].read()
    question, *rows = map(json.loads, gzip.decompress(body).splitlines())
    assert question["kinds"] == {"city": "category", "temp": "number"}
    assert len(rows) == 1_000
    assert sum(temp is None for _, temp in rows) == 1, "what is no number is shown as missing"
    assert len(jobs_of(declared)) == 2, "the next one, asked for once the first had ended"


@pytest.mark.parametrize(
    ("said", "name", "reason"),
    [
        ({"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: no"}, "", "AlgorithmError: no"),
        ({}, "", "gone"),
        ({}, "model.pkl", "no part of"),
    ],
)
def test_a_job_without_an_answer_is_told_as_one_and_the_check_goes_on(
    declared: World, monkeypatch: pytest.MonkeyPatch, said: Any, name: str, reason: str
) -> None:
    check(declared, 0)
    if name:
        answer(declared, name, ANSWER)
    if said:  # else moto says that the job completed
        status(declared, monkeypatch, **said)

    report = check(declared, 60)

    assert report["severity"] == "major"
    assert report["domain_classifier"]["state"] == "failed"
    assert reason in report["domain_classifier"]["reason"]


def test_without_the_declaration_no_job_is_asked_for(live: World) -> None:
    capture(live, rides(1_000, shift=15, seed=4))

    assert check(live, 0)["domain_classifier"] is None
    assert jobs_of(live) == []
