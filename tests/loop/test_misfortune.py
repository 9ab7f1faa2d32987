"""A stack that does what AWS may and no test can make it do: machines that are not there or are taken away,
answers that come late, events in both spellings and twice, sequencers of any length."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import SPEC, Loop, Parcels

NO_MACHINE = "CapacityError: Unable to provision requested ML compute capacity."
BEHAVIOUR = {
    "sagemaker": {
        "training_outcomes": [NO_MACHINE, "Interrupted", *["MaxWaitTimeExceeded"] * 2],
        "endpoint_spellings": ["event", "api"],
        "unseen_seconds": 0.2,
    },
    "events": {"repeated": 1.0},
    "s3": {"sequencer_digits": [18, 14, 20]},
}
ON_SPOT = SPEC.replace(
    "training: {algorithm: xgboost, rounds: 40, ",
    "training: {algorithm: xgboost, rounds: 200, early_stopping_rounds: 200, spot: true, "
    "max_runtime_seconds: 120, instance: ml.m5.large, fallback_instances: [ml.m5.xlarge], ",
)
"""It trains for long enough to be interrupted after a checkpoint."""


@pytest.fixture(scope="module")
def unlucky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("unlucky"))
    loop.behaviour = BEHAVIOUR
    loop.up()
    yield loop
    loop.down()


def jobs_of(loop: Loop, run_id: str) -> list[dict[str, Any]]:
    """The training jobs of a run, in their order."""
    sagemaker = loop.client("sagemaker")
    listed = sagemaker.list_training_jobs(SortOrder="Ascending", NameContains=run_id)
    names = [each["TrainingJobName"] for each in listed["TrainingJobSummaries"]]
    return [sagemaker.describe_training_job(TrainingJobName=name) for name in names]


def resumed_from(loop: Loop, job: dict[str, Any]) -> int:
    """The round that the training went on from, by its own metrics."""
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    output = key.replace("model.tar.gz", "output.tar.gz")
    body = loop.client("s3").get_object(Bucket=bucket, Key=output)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        metrics = tar.extractfile("metrics.json")
        assert metrics is not None
        return int(json.load(metrics)["resumed_from"])


@pytest.mark.case("SM-04")
@pytest.mark.case("SM-05")
@pytest.mark.case("SM-08")
@pytest.mark.case("EV-04")
def test_a_run_goes_on_with_the_next_machine_and_from_its_checkpoint_to_a_champion(
    unlucky: Loop, parcels: Parcels
) -> None:
    unlucky.drop("models/parcels/model.yaml", ON_SPOT.encode())
    rows = parcels.rows(1_500)
    for count in (300, 600, 1_500):  # three versions of one key: the last one counts
        newest = unlucky.drop("data/parcels/a.csv", parcels.csv(rows[:count]))

    run = unlucky.ended(1, 180)

    assert run.status == "promoted", run.outcome
    used = [row for row in unlucky.ledger.objects.of_model("parcels") if row.state == "used"]
    assert [row.version for row in used] == [newest]
    lengths = {len(row.sequencer) for row in unlucky.ledger.objects.of_model("parcels")}
    assert len(lengths) > 1
    first, second = jobs_of(unlucky, run.run_id)
    assert first["FailureReason"] == NO_MACHINE
    kinds = [job["ResourceConfig"]["InstanceType"] for job in (first, second)]
    assert kinds == ["ml.m5.large", "ml.m5.xlarge"]
    said = [each["Status"] for each in second["SecondaryStatusTransitions"]]
    assert said.count("Training") == 2
    assert said[said.index("Interrupted") :][:3] == ["Interrupted", "Starting", "Downloading"]
    assert resumed_from(unlucky, second) > 0
    assert len(unlucky.predict(parcels.rows(3), "hello")) == 3


@pytest.mark.case("SM-04")
@pytest.mark.case("SM-05")
def test_a_run_that_finds_no_spot_machine_of_any_type_fails_with_what_to_do_and_the_champion_stays(
    unlucky: Loop, parcels: Parcels
) -> None:
    before = unlucky.ledger.champions.get("parcels")

    unlucky.drop("data/parcels/b.csv", parcels.csv(parcels.rows(600)))

    run = unlucky.ended(2)
    assert run.status == "failed"
    assert "ended Stopped: no spot machine was to be had in time; training.spot: false" in run.outcome
    assert unlucky.ledger.champions.get("parcels") == before
    jobs = jobs_of(unlucky, run.run_id)
    assert [job["ResourceConfig"]["InstanceType"] for job in jobs] == ["ml.m5.large", "ml.m5.xlarge"]
    assert {job["SecondaryStatus"] for job in jobs} == {"MaxWaitTimeExceeded"}
    assert unlucky.predict(parcels.rows(1), "still-there")
