"""Where a person decides: a run waits for an answer, and a champion of before comes back by command."""

import json
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel_cli.main import cli

from .conftest import ROOT, SPEC, Loop, Parcels

sys.path.insert(0, str(ROOT / "sam"))

from aws_check import still_billed, take_down  # a script, not a package

ASKS = SPEC.replace("slices: [depot]}", "slices: [depot], approval: required, minimum_gain: -0.2}")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, parcels: Parcels) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("people"))
    loop.up()
    loop.drop("models/parcels/model.yaml", ASKS.encode())
    loop.drop("data/parcels/a.csv", parcels.csv(parcels.rows(2_000)))
    yield loop
    loop.down()


def command(loop: Loop, *arguments: str) -> int:
    answer = cli.main(["--local", str(loop.folder), *arguments], standalone_mode=False)
    return answer if isinstance(answer, int) else 0


def waiting(loop: Loop, number: int) -> str:
    """Wait until the newest of so many runs waits for a person; give its id."""
    client = loop.client("sagemaker")

    def asks() -> bool:
        parked = [one.run_id for one in loop.tokens.all() if one.kind == "model_package"]
        return len(loop.runs()) == number and parked == [loop.runs()[0].run_id]

    loop.until(asks, 60, f"run {number} asks a person")
    newest = client.list_model_packages(
        ModelPackageGroupName=loop.endpoint_name, SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"][0]
    assert newest["ModelApprovalStatus"] == "PendingManualApproval"
    return loop.runs()[0].run_id


def test_an_approved_run_deploys(asked: Loop) -> None:
    run_id = waiting(asked, 1)
    assert asked.ledger.champions.get("parcels") is None

    assert command(asked, "approve", run_id, "--reason", "looks right") == 0

    run = asked.ended(1)
    assert (run.run_id, run.status) == (run_id, "promoted")
    states = asked.client("stepfunctions").get_execution_history(executionArn=run.execution_arn)["events"]
    assert sum(event["type"].endswith("StateEntered") for event in states) == 11


def test_the_checkup_finds_nothing_wrong_with_the_local_stack(
    asked: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(asked, "doctor", "--json") == 0

    assert [f for f in json.loads(capsys.readouterr().out) if f["state"] != "ok"] == []


def test_a_rejected_run_leaves_the_champion(asked: Loop, parcels: Parcels) -> None:
    before = asked.ledger.champions.get("parcels")
    asked.drop("data/parcels/b.csv", parcels.csv(parcels.rows(4_000)))
    run_id = waiting(asked, 2)

    assert command(asked, "reject", run_id, "--reason", "not this week") == 0

    run = asked.ended(2)
    assert run.status == "rejected"
    assert "not this week" in run.outcome
    assert asked.ledger.champions.get("parcels") == before


def test_the_registry_itself_may_approve_and_a_rollback_brings_the_first_champion_back(
    asked: Loop, parcels: Parcels
) -> None:
    first = asked.ledger.champions.get("parcels")
    assert first is not None
    asked.drop("data/parcels/c.csv", parcels.csv(parcels.rows(5_000)))
    waiting(asked, 3)
    client = asked.client("sagemaker")
    newest = client.list_model_packages(
        ModelPackageGroupName=asked.endpoint_name, SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"][0]
    client.update_model_package(
        ModelPackageArn=newest["ModelPackageArn"], ModelApprovalStatus="Approved", ApprovalDescription="ok"
    )
    assert asked.ended(3).status == "promoted"

    assert command(asked, "rollback", "parcels", "--reason", "complaints") == 0

    back = asked.ledger.champions.get("parcels")
    assert back is not None
    assert (back.run_id, back.sequence) == (first.run_id, first.sequence + 2)
    serving = client.describe_endpoint(EndpointName=back.endpoint)
    assert serving["EndpointConfigName"] == first.endpoint_config
    assert len(asked.predict(parcels.rows(2), "after-rollback")) == 2


def test_the_stack_keeps_what_people_decided(asked: Loop) -> None:
    reasons = " ".join(decision.reason for decision in asked.ledger.decisions.of_model("parcels"))

    assert "not this week" in reasons
    assert "complaints" in reasons


def busy(loop: Loop, name: str) -> Callable[[], str]:
    """Start a processing job that would work for an hour; answers its status when called."""
    sagemaker = loop.client("sagemaker")
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn="arn:aws:iam::123456789012:role/sagemaker",
        AppSpecification={
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
            "ContainerEntrypoint": ["python3", "-c", "import time; time.sleep(3600)"],
        },
        ProcessingResources={"ClusterConfig": cluster},
    )

    def status() -> str:
        return str(sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])

    return status


@pytest.mark.case("OP-01")
def test_what_the_loop_made_is_taken_down_until_nothing_is_billed(asked: Loop) -> None:
    if asked.ledger.champions.get("parcels") is None:  # tried by itself: nothing was approved yet
        assert command(asked, "approve", waiting(asked, 1), "--reason", "looks right") == 0
        asked.ended(1)
    names, key = asked.names, "arn:aws:kms:us-east-1:123456789012:key/shared"
    retained = [
        {"ResourceType": "AWS::KMS::Key", "PhysicalResourceId": key},
        *(
            {"ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": bucket["Name"]}
            for bucket in asked.client("s3").list_buckets()["Buckets"]
        ),
        {"ResourceType": "AWS::DynamoDB::Table", "PhysicalResourceId": names["table"]},
        {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": names["arrival_queue_url"]},
    ]
    pages = SimpleNamespace(paginate=lambda **_: [{"StackResourceSummaries": retained}])
    told: list[str] = []
    theirs = {
        "cloudformation": SimpleNamespace(get_paginator=lambda _: pages),
        "kms": SimpleNamespace(schedule_key_deletion=lambda **request: told.append(request["KeyId"])),
    }

    def client(service: str) -> Any:
        return theirs.get(service) or asked.client(service)

    asked.judged = False
    processing = busy(asked, "driftwheel-busy")

    billed = still_billed(client, "driftwheel")
    assert any(line.startswith("endpoint ") for line in billed)
    assert "processing job driftwheel-busy (InProgress)" in billed

    said = list(take_down(client, "driftwheel", lambda: told.append("stack")))

    asked.until(lambda: processing() == "Stopped", 60, "the job stops")
    left = still_billed(client, "driftwheel")
    assert told == ["stack", key]
    assert f"endpoint {asked.endpoint_name}" in said
    assert "processing job driftwheel-busy stopped" in said
    assert not [line for line in left if not line.startswith(("schedule ", "alarm "))], left
    assert not [line for line in left if line.endswith(("-5xx", "-latency"))], left
    with pytest.raises(ClientError, match="Could not find"):
        asked.client("sagemaker").describe_endpoint(EndpointName=asked.endpoint_name)
