"""Deployment and TrainingLaunch: the requests they send, in order, and what they refuse."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from driftwheel.aws.objects import Objects
from driftwheel.deployment.verification import WORKING
from driftwheel.errors import (
    ArtifactInvalid,
    CapacityExceeded,
    ChampionMoved,
    LeaseLost,
    NameTaken,
    TrainingFailed,
)
from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Run
from driftwheel.steps.approval import ask
from driftwheel.steps.deployment import Clients, Site, alarm_requests, deploy
from driftwheel.steps.training_launch import launch
from driftwheel.steps.waiting import Waiting
from tests.bench.artifacts import packed
from tests.security.boundary import acting_as, judge_fake
from tests.security.iam import KEY, VPC

from .conftest import World
from .test_job_callback import Recorder

RUN_ID = "0f3c5a9be17d2468"
NAME = f"driftwheel-flights-{RUN_ID}"
RESTED = datetime(2026, 1, 2, 3, 0, 0, 1, tzinfo=UTC)
SITE = Site(
    "driftwheel",
    "driftwheel-artifacts",
    "arn:aws:iam::123456789012:role/driftwheel-sagemaker",
    KEY,
    VPC,
    "arn:aws:sns:us-east-1:123456789012:alerts",
)
Events = Callable[[str], dict[str, Any]]


def waiting(event: dict[str, Any]) -> Waiting:
    return Waiting(event["task_token"], event["execution_arn"], "2026-01-02T03:04:05+00:00")


def trained(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """Put the archive of the event's run where its training job wrote it, and let the gate have seen it."""
    event["run"]["evaluation_gate"]["manifest_sha256"], archive = packed("the judged model")
    world.put(world.artifacts, key_of(event), archive)
    return event


def key_of(event: dict[str, Any]) -> str:
    return S3Uri.parse(event["run"]["training_launch"]["model_data_url"]).key


def start(world: World, event: dict[str, Any], sagemaker: Recorder) -> str:
    run = Run.model_validate(event["run"])
    with acting_as("deployment"):
        clients = Clients(sagemaker, Recorder(), Objects(boto3.client("s3")))
    sagemaker.role, clients.cloudwatch.role = ("deployment", "sagemaker"), ("deployment", "monitoring")
    with acting_as("deployment"):
        table = Table(boto3.resource("dynamodb").Table("ledger"))
    return deploy(run, waiting(event), SITE, clients, Tokens(table), Champions(table), Leases(table))


@pytest.fixture
def leased(world: World) -> World:
    Leases(world.table).acquire("flights", RUN_ID, now=0, seconds=60)
    return world


def champion(sequence: int) -> ChampionRow:
    return ChampionRow("flights", sequence, "other", "e", "old", "s3://m", "arn", "s3://b", "now", "better")


def serves(config: str, status: str = "InService") -> dict[str, Any]:
    return {
        "EndpointName": "driftwheel-flights",
        "EndpointStatus": status,
        "EndpointConfigName": config,
        "LastModifiedTime": RESTED,
    }


def test_the_first_deployment_creates_model_config_and_endpoint_in_that_order(
    leased: World, event: Events
) -> None:
    sagemaker = Recorder(describe_endpoint="ValidationException")

    assert start(leased, trained(leased, event("deployment")), sagemaker) == NAME

    assert [name for name, _ in sagemaker.calls] == [
        "create_model",
        "create_endpoint_config",
        "describe_endpoint",
        "create_endpoint",
    ]
    (parked,) = Tokens(leased.table).all()
    assert (parked.detail["endpoint_config"], parked.detail["sequence"]) == (NAME, 1)


def test_a_later_deployment_updates_the_endpoint_under_alarms(leased: World, event: Events) -> None:
    sagemaker = Recorder(describe_endpoint=serves("old"))

    start(leased, trained(leased, event("deployment")), sagemaker)

    (update,) = sagemaker.asked("update_endpoint")
    alarms = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert alarms == [{"AlarmName": "driftwheel-flights-5xx"}, {"AlarmName": "driftwheel-flights-latency"}]
    (parked,) = Tokens(leased.table).all()
    assert datetime.fromisoformat(parked.detail["seen_modified"]) == RESTED
    told = [alarm["AlarmActions"] for alarm in alarm_requests("driftwheel-flights", SITE.alert_topic_arn)]
    assert told == [[SITE.alert_topic_arn]] * 2
    assert sagemaker.asked("create_endpoint") == []


@pytest.mark.case("SE-04")
@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        (packed("another model, whole in itself")[1], "not the one that was judged"),
        (packed("the judged model")[1][:200], "cannot be unpacked"),
        (None, "is missing"),
    ],
    ids=["another", "cut", "gone"],
)
def test_an_archive_that_was_replaced_after_the_gate_is_refused_and_the_champion_serves_on(
    leased: World, event: Events, replaced: bytes | None, reason: str
) -> None:
    sagemaker, asked = Recorder(describe_endpoint=serves("old")), trained(leased, event("deployment"))
    if replaced is None:
        leased.client("s3").delete_object(Bucket=leased.artifacts, Key=key_of(asked))
    else:
        leased.put(leased.artifacts, key_of(asked), replaced)

    with pytest.raises(ArtifactInvalid, match=reason):
        start(leased, asked, sagemaker)

    assert sagemaker.calls == []
    assert Tokens(leased.table).all() == []


@pytest.mark.case("SE-04")
def test_a_model_whose_digest_nobody_recorded_is_not_deployed(leased: World, event: Events) -> None:
    sagemaker, asked = Recorder(), trained(leased, event("deployment"))
    asked["run"]["evaluation_gate"]["manifest_sha256"] = ""

    with pytest.raises(ArtifactInvalid, match="recorded no digest"):
        start(leased, asked, sagemaker)

    assert sagemaker.calls == []


@pytest.mark.case("SE-04")
def test_the_model_carries_the_digest_to_its_container_and_to_the_champions_row(
    leased: World, event: Events
) -> None:
    sagemaker, asked = Recorder(describe_endpoint="ValidationException"), trained(leased, event("deployment"))

    start(leased, asked, sagemaker)

    (model,), (parked,) = sagemaker.asked("create_model"), Tokens(leased.table).all()
    recorded = packed("the judged model")[0]
    assert model["PrimaryContainer"]["Environment"]["MANIFEST_SHA256"] == recorded
    assert parked.detail["manifest_sha256"] == recorded


@pytest.mark.case("DE-07")
@pytest.mark.parametrize(
    "described",
    [{"EndpointConfigName": NAME}, {"PendingDeploymentSummary": {"EndpointConfigName": NAME}}],
)
def test_a_retried_deployment_does_not_update_twice(
    leased: World, event: Events, described: dict[str, Any]
) -> None:
    sagemaker = Recorder(describe_endpoint=serves("old", "Updating") | described)

    start(leased, trained(leased, event("deployment")), sagemaker)

    assert sagemaker.asked("update_endpoint") == []
    assert len(Tokens(leased.table).all()) == 1


@pytest.mark.case("DE-07")
def test_a_retried_deployment_goes_on_with_the_model_and_config_it_made(leased: World, event: Events) -> None:
    made = {"ExecutionRoleArn": SITE.role_arn}
    sagemaker = Recorder(
        create_model="ValidationException",
        describe_model=made,
        create_endpoint_config="ValidationException",
        describe_endpoint_config={"EndpointConfigName": NAME},
        describe_endpoint=serves("old"),
    )

    assert start(leased, trained(leased, event("deployment")), sagemaker) == NAME
    assert len(sagemaker.asked("update_endpoint")) == 1


@pytest.mark.case("DE-11")
@pytest.mark.case("DE-12")
@pytest.mark.parametrize(("status", "deleted"), [("Failed", 1), ("Deleting", 0)])
def test_an_endpoint_that_failed_is_cleared_away_and_made_anew(
    leased: World, event: Events, status: str, deleted: int
) -> None:
    sagemaker = Recorder(describe_endpoint=serves("old", status))
    with pytest.raises(CapacityExceeded, match="is being deleted"):
        start(leased, trained(leased, event("deployment")), sagemaker)
    assert len(sagemaker.asked("delete_endpoint")) == deleted
    assert sagemaker.asked("update_endpoint") == []

    sagemaker.answers["describe_endpoint"] = "ValidationException"
    start(leased, trained(leased, event("deployment")), sagemaker)

    assert len(sagemaker.asked("create_endpoint")) == 1


@pytest.mark.case("DE-08")
def test_a_run_whose_champion_moved_meanwhile_does_not_deploy(leased: World, event: Events) -> None:
    Champions(leased.table).move(champion(1))
    sagemaker = Recorder()

    with pytest.raises(ChampionMoved):
        start(leased, trained(leased, event("deployment")), sagemaker)

    assert sagemaker.calls == []


@pytest.mark.case("SF-12")
def test_a_run_without_its_lease_does_not_deploy(world: World, event: Events) -> None:
    with pytest.raises(LeaseLost):
        start(world, trained(world, event("deployment")), Recorder())


@pytest.mark.case("SF-12")
def test_nobody_overtakes_a_run_between_its_look_at_the_lease_and_its_update(
    leased: World, event: Events
) -> None:
    """Its lease has expired, and nobody has taken it yet: another run asks for it just before the update."""
    asked = trained(leased, event("deployment"))
    now = int(datetime.fromisoformat(waiting(asked).now).timestamp())

    class Late(Recorder):
        def update_endpoint(self, **_: Any) -> dict[str, Any]:
            assert Leases(leased.table).acquire("flights", "other", now=now + 60, seconds=60) is None
            return {}

    assert start(leased, asked, Late(describe_endpoint=serves("old"))) == NAME


@pytest.mark.case("DE-08")
def test_a_busy_endpoint_is_waited_for(leased: World, event: Events) -> None:
    class Busy(Recorder):
        def update_endpoint(self, **_: Any) -> None:
            message = "Cannot update in-progress endpoint"
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": message}}, "UpdateEndpoint"
            )

    with pytest.raises(CapacityExceeded, match="in-progress"):
        start(leased, trained(leased, event("deployment")), Busy(describe_endpoint=serves("old")))


@pytest.mark.case("DE-08")
@pytest.mark.parametrize("status", sorted(WORKING))
def test_while_another_update_is_under_way_nothing_is_asked_and_nobody_waits(
    leased: World, event: Events, status: str
) -> None:
    """A wait parked now would be woken by the end of that update, and take it for a rollback of its own."""
    under_way = {"PendingDeploymentSummary": {"EndpointConfigName": "theirs"}}
    sagemaker = Recorder(describe_endpoint=serves("old", status) | under_way)

    with pytest.raises(CapacityExceeded, match=f"endpoint driftwheel-flights is {status}"):
        start(leased, trained(leased, event("deployment")), sagemaker)

    assert sagemaker.asked("update_endpoint") == []
    assert Tokens(leased.table).all() == []


def train(world: World, event: dict[str, Any], sagemaker: Recorder) -> str:
    run = Run.model_validate(event["run"])
    sagemaker.role = ("training_launch", "sagemaker")
    with acting_as("training_launch"):
        objects = Objects(world.client("s3"))
        tokens = Tokens(Table(boto3.resource("dynamodb").Table("ledger")))
    return launch(run, waiting(event), SITE, ("abc", b"code"), objects, tokens, sagemaker)


def test_the_token_is_parked_under_the_jobs_arn_and_the_code_written_once(
    world: World, event: Events
) -> None:
    sagemaker = Recorder()

    for _ in range(2):
        assert train(world, event("training_launch"), sagemaker) == NAME

    (parked,) = Tokens(world.table).all()
    assert parked.arn == f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{NAME}"
    listed = world.client("s3").list_objects_v2(Bucket=world.artifacts, Prefix="code/")
    assert [entry["Key"] for entry in listed["Contents"]] == ["code/abc/sourcedir.tar.gz"]


@pytest.mark.case("SE-14")
def test_the_training_request_is_isolated_encrypted_bounded_and_tagged(world: World, event: Events) -> None:
    sagemaker = Recorder()
    train(world, event("training_launch"), sagemaker)

    (request,) = sagemaker.asked("create_training_job")
    assert request["EnableNetworkIsolation"] is True
    assert (
        request["OutputDataConfig"]["KmsKeyId"]
        == request["ResourceConfig"]["VolumeKmsKeyId"]
        == SITE.kms_key_arn
    )
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 3600
    assert {"Key": "driftwheel:run-id", "Value": RUN_ID} in request["Tags"]


@pytest.mark.case("SM-09")
@pytest.mark.case("EV-09")
def test_a_job_of_the_same_specification_is_attached_to(world: World, event: Events) -> None:
    first = Recorder()
    train(world, event("training_launch"), first)
    (made,) = first.asked("create_training_job")

    used = Recorder(create_training_job="ResourceInUse", describe_training_job=made)

    assert train(world, event("training_launch"), used) == NAME


@pytest.mark.case("SM-08")
@pytest.mark.case("SM-11")
def test_a_job_whose_name_is_taken_but_which_is_not_to_be_seen_yet_is_waited_for(
    world: World, event: Events
) -> None:
    unseen = Recorder(create_training_job="ResourceInUse", describe_training_job="ResourceNotFound")

    with pytest.raises(CapacityExceeded, match="not to be seen yet"):
        train(world, event("training_launch"), unseen)


@pytest.mark.case("SM-10")
def test_a_job_of_another_specification_is_somebody_elses(world: World, event: Events) -> None:
    theirs = {"RoleArn": "theirs", "HyperParameters": {}}

    with pytest.raises(NameTaken, match="somebody else made it"):
        train(
            world,
            event("training_launch"),
            Recorder(create_training_job="ResourceInUse", describe_training_job=theirs),
        )


@pytest.mark.case("SM-04")
@pytest.mark.parametrize(
    ("reasons", "attempt"),
    [
        ([], 0),
        ([""], 0),  # still at work: the attempt is attached to
        (["CapacityError: no capacity"], 1),
        (["InternalServerError: We encountered an internal error"], 1),
        (["CapacityError: none", "InternalServerError: none"], 2),
        (["MaxWaitTimeExceeded"], 1),
        (["AlgorithmError: no rows"], 0),
        (["ClientError: data not found"], 0),
    ],
)
def test_a_job_that_found_no_machine_is_followed_by_one_on_the_next_instance_type(
    world: World, event: Events, reasons: list[str], attempt: int
) -> None:
    sagemaker = Machines(reasons)
    given = with_instances(event("training_launch"), "ml.m5.large", "ml.m5.xlarge", "ml.m4.xlarge")

    name = train(world, given, sagemaker)

    assert name == [NAME, f"{NAME}-2", f"{NAME}-3"][attempt]
    (request,) = sagemaker.asked("create_training_job")
    wanted = ["ml.m5.large", "ml.m5.xlarge", "ml.m4.xlarge"][attempt]
    assert request["ResourceConfig"]["InstanceType"] == wanted
    (parked,) = Tokens(world.table).all()
    assert parked.arn.endswith(f"/{name}")
    assert parked.detail["may_fall_back"] == (attempt < 2)


@pytest.mark.case("SM-04")
def test_when_no_instance_type_is_left_the_run_fails_with_the_last_reason(
    world: World, event: Events
) -> None:
    sagemaker = Machines(["CapacityError: first", "CapacityError: last"])

    with pytest.raises(TrainingFailed, match=r"no instance type is left of .*CapacityError: last"):
        train(world, with_instances(event("training_launch"), "ml.m5.large", "ml.m5.xlarge"), sagemaker)

    assert sagemaker.asked("create_training_job") == []
    assert Tokens(world.table).all() == []


class Machines(Recorder):
    """SageMaker that knows one job for each reason; an empty reason is a job still at work.

    ``MaxWaitTimeExceeded`` is one that it stopped, without a reason.
    """

    def __init__(self, reasons: list[str]) -> None:
        super().__init__()
        names = [NAME, *(f"{NAME}-{number}" for number in range(2, 5))]
        self.reasons = dict(zip(names, reasons, strict=False))

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        judge_fake(
            "training_launch", "sagemaker", "DescribeTrainingJob", {"TrainingJobName": TrainingJobName}
        )
        if TrainingJobName not in self.reasons:
            error = {"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}
            raise ClientError(error, "DescribeTrainingJob")
        reason = self.reasons[TrainingJobName]
        if reason == "MaxWaitTimeExceeded":
            return {"TrainingJobStatus": "Stopped", "SecondaryStatus": reason}
        return {"TrainingJobStatus": "Failed" if reason else "InProgress", "FailureReason": reason}


def with_instances(event: dict[str, Any], first: str, *others: str) -> dict[str, Any]:
    event["run"]["spec"]["training"] |= {"instance": first, "fallback_instances": list(others)}
    return event


@pytest.mark.case("SM-03")
def test_no_capacity_is_named_so_that_the_state_machine_waits(world: World, event: Events) -> None:
    with pytest.raises(CapacityExceeded):
        train(world, event("training_launch"), Recorder(create_training_job="ResourceLimitExceeded"))


def test_the_question_says_what_to_do_and_by_when(world: World, event: Events) -> None:
    given = event("approval")

    question = ask(Run.model_validate(given["run"]), waiting(given), Tokens(world.table))

    assert "within 72 h" in question
    assert f"driftwheel approve {RUN_ID}" in question
    assert [parked.kind for parked in Tokens(world.table).all()] == ["model_package"]


@pytest.mark.parametrize("step", ["approval", "deployment"])
def test_the_handler_takes_its_shipped_event(leased: World, event: Events, context: Any, step: str) -> None:
    assert leased.load(step).handler(trained(leased, event(step)), context)
    assert len(Tokens(leased.table).all()) == 1
