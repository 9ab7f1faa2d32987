"""JobCallback as shipped, with SageMaker and Step Functions answering what a case needs."""

import io
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from driftwheel.aws.objects import Objects
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.leases import HELD_SECONDS, Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.outbox import Outbox
from driftwheel.ledger.runs import RunRow, Runs
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Kind, Parked, Tokens
from driftwheel.spec import load_spec
from driftwheel.steps.job_callback import Clients, Ledger, wake
from tests.bench import ledger_table
from tests.security.boundary import acting_as, judge_fake, xform_back

from .conftest import World

SPEC = Path("examples/flights/model.yaml").read_bytes()
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:driftwheel-model-loop:flights-r1"
JOB = "arn:aws:sagemaker:us-east-1:123456789012:training-job/driftwheel-flights-r1"
ENDPOINT = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/driftwheel-flights"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/driftwheel-flights/1"
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
PROBE = {"records": [{"x": 1}], "scores": [0.25]}
Wake = Callable[[dict[str, Any]], list[str]]


class Recorder(SimpleNamespace):
    """A client whose calls are kept; an answer that is an error code is raised.

    ``role`` is the step whose rights the calls are held to, and the service's name.
    """

    def __init__(self, **answers: Any) -> None:
        super().__init__(answers=answers, calls=[], role=None)

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            if self.role:
                judge_fake(*self.role, xform_back(operation), request)
            self.calls.append((operation, request))
            answer = self.answers.get(operation, {})
            if isinstance(answer, str):
                raise ClientError({"Error": {"Code": answer, "Message": "said so"}}, operation)
            return answer

        return call

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.calls if name == operation]


def answer_probe(**_: Any) -> dict[str, Any]:
    return {"Body": io.BytesIO(json.dumps({"predictions": [{"score": 0.25}]}).encode())}


@pytest.fixture
def sagemaker() -> Recorder:
    return Recorder()


@pytest.fixture
def states() -> Recorder:
    return Recorder()


@pytest.fixture
def wake_up(world: World, sagemaker: Recorder, states: Recorder) -> Wake:
    runtime = SimpleNamespace(invoke_endpoint=answer_probe)
    sagemaker.role, states.role = ("job_callback", "sagemaker"), ("job_callback", "states")
    with acting_as("job_callback"):
        objects = Objects(world.client("s3"))
        clients = Clients(sagemaker, runtime, states, world.client("sqs"), world.queue)
        ledger = Ledger.of(Table(boto3.resource("dynamodb").Table("ledger")))
    world.put(world.artifacts, "runs/flights/r1/probe.json", json.dumps(PROBE).encode())
    Runs(world.table).start(RunRow("flights", "r1", "running", "arrival", "new", "t0", EXECUTION, 1))
    Leases(world.table).acquire("flights", "r1", now=0, seconds=60)
    states.answers.setdefault("describe_execution", {"status": "RUNNING"})
    return lambda event: wake(event, clients, ledger, objects, NOW)


def park(world: World, arn: str, kind: Any, **detail: Any) -> Tokens:
    tokens = Tokens(world.table)
    tokens.park(
        Parked(arn, kind, "token", "flights", "r1", 1, EXECUTION, "2026-01-02T03:50:00+00:00", detail)
    )
    return tokens


def champion(sequence: int, run_id: str) -> ChampionRow:
    names = ("endpoint", "endpoint_config", "model_data_url", "model_package_arn", "baseline_uri")
    at, why = f"2026-01-0{sequence}T00:00:00+00:00", f"champion {sequence}"
    return ChampionRow("flights", sequence, run_id, **dict.fromkeys(names, "x"), promoted_at=at, reason=why)


def test_a_completed_job_ends_the_wait_with_what_was_described_not_with_the_event(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    tokens = park(world, JOB, "training_job", output_uri="s3://a/output.tar.gz", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {
        "TrainingJobStatus": "Completed",
        "TrainingJobArn": JOB,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://a/model.tar.gz"},
    }

    wake_up(
        {
            "detail-type": "SageMaker Training Job State Change",
            "resources": [JOB],
            "detail": {"TrainingJobStatus": "Failed"},
        }
    )

    (success,) = states.asked("send_task_success")
    assert json.loads(success["output"])["model_data_url"] == "s3://a/model.tar.gz"
    assert tokens.all() == []


@pytest.mark.case("SM-04")
@pytest.mark.case("SM-05")
@pytest.mark.parametrize(
    ("status", "secondary", "reason", "told"),
    [
        ("Failed", "Failed", "AlgorithmError: no rows", "AlgorithmError: no rows"),
        ("Stopped", "Stopped", "", "gave no reason"),
        ("Stopped", "MaxWaitTimeExceeded", "", "no spot machine was to be had in time"),
        ("Stopped", "MaxRuntimeExceeded", "", "longer than training.max_runtime_seconds"),
    ],
)
def test_a_job_that_ended_badly_fails_the_wait_and_quotes_the_reason(
    world: World,
    wake_up: Wake,
    sagemaker: Recorder,
    states: Recorder,
    status: str,
    secondary: str,
    reason: str,
    told: str,
) -> None:
    park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "FailureReason": reason,
    }

    wake_up({"kind": "reconcile"})

    (failure,) = states.asked("send_task_failure")
    assert failure["error"] == "TrainingFailed"
    assert told in failure["cause"]


SPARK_JOB = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/driftwheel-flights-r1"


def test_a_completed_spark_job_ends_its_wait_with_where_its_output_lies(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    tokens = park(world, SPARK_JOB, "processing_job", output_uri="s3://a/preprocessing")
    sagemaker.answers["describe_processing_job"] = {
        "ProcessingJobStatus": "Completed",
        "ProcessingJobArn": SPARK_JOB,
        "ProcessingStartTime": NOW - timedelta(seconds=90),
        "ProcessingEndTime": NOW,
    }

    wake_up({"detail-type": "SageMaker Processing Job State Change", "resources": [SPARK_JOB], "detail": {}})

    (success,) = states.asked("send_task_success")
    assert json.loads(success["output"]) == {
        "processing_job": "driftwheel-flights-r1",
        "processing_job_arn": SPARK_JOB,
        "output_uri": "s3://a/preprocessing",
        "seconds": 90,
    }
    assert tokens.all() == []


def test_a_spark_job_that_failed_fails_its_wait_with_what_it_said(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, SPARK_JOB, "processing_job", output_uri="s3://a/preprocessing")
    sagemaker.answers["describe_processing_job"] = {
        "ProcessingJobStatus": "Failed",
        "FailureReason": "AlgorithmError: exit code 1",
        "ExitMessage": "no space left",
    }

    wake_up({"kind": "reconcile"})

    (failure,) = states.asked("send_task_failure")
    assert failure["error"] == "PreprocessingFailed"
    assert "exit code 1; no space left" in failure["cause"]


def test_an_aborted_run_stops_its_spark_job(world: World, wake_up: Wake, sagemaker: Recorder) -> None:
    park(world, SPARK_JOB, "processing_job", output_uri="s3://a/preprocessing")
    sagemaker.answers["describe_processing_job"] = {"ProcessingJobStatus": "InProgress"}

    wake_up(
        {
            "detail-type": "Step Functions Execution Status Change",
            "detail": {"executionArn": EXECUTION, "name": "flights-r1", "status": "ABORTED"},
        }
    )

    assert sagemaker.asked("stop_processing_job") == [{"ProcessingJobName": "driftwheel-flights-r1"}]
    assert Tokens(world.table).all() == []


def failed(reason: str) -> dict[str, Any]:
    return {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason}


NO_SPOT_MACHINE = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxWaitTimeExceeded"}


@pytest.mark.case("SM-04")
@pytest.mark.parametrize(
    ("job", "said", "may_fall_back", "error"),
    [
        (failed("CapacityError: no m5"), "no m5", True, "CapacityExceeded"),
        (failed("InternalServerError: try again"), "try again", True, "CapacityExceeded"),
        (NO_SPOT_MACHINE, "no spot machine", True, "CapacityExceeded"),
        (failed("CapacityError: no m5"), "no m5", False, "TrainingFailed"),
        (NO_SPOT_MACHINE, "no spot machine", False, "TrainingFailed"),
        (NO_SPOT_MACHINE | {"TrainingStartTime": NOW}, "no spot machine", True, "TrainingFailed"),
        (failed("AlgorithmError: no rows"), "no rows", True, "TrainingFailed"),
        (failed("ClientError: no such object"), "no such object", True, "TrainingFailed"),
    ],
)
def test_only_want_of_a_machine_is_tried_again_on_the_next_instance_type(
    world: World,
    wake_up: Wake,
    sagemaker: Recorder,
    states: Recorder,
    job: dict[str, Any],
    said: str,
    *,
    may_fall_back: bool,
    error: str,
) -> None:
    tokens = park(
        world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c", may_fall_back=may_fall_back
    )
    sagemaker.answers["describe_training_job"] = job

    wake_up({"kind": "reconcile"})

    (failure,) = states.asked("send_task_failure")
    assert failure["error"] == error
    assert said in failure["cause"]
    assert tokens.all() == []


@pytest.mark.case("SM-08")
@pytest.mark.parametrize("answer", ["ResourceNotFound", {"TrainingJobStatus": "InProgress"}])
def test_the_reconciler_keeps_a_running_wait_alive(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder, answer: Any
) -> None:
    tokens = park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = answer

    wake_up({"kind": "reconcile"})

    assert len(states.asked("send_task_heartbeat")) == 1
    assert len(tokens.all()) == 1


@pytest.mark.case("EV-01")
def test_an_event_delivered_twice_completes_the_token_once(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {
        "TrainingJobStatus": "Completed",
        "TrainingJobArn": JOB,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://m"},
    }

    for _ in range(2):
        wake_up({"detail-type": "SageMaker Training Job State Change", "resources": [JOB], "detail": {}})

    assert len(states.asked("send_task_success")) == 1


@pytest.mark.case("SM-06")
def test_a_wait_that_nobody_holds_any_more_stops_its_job(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    tokens = park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {"TrainingJobStatus": "InProgress"}
    states.answers["send_task_heartbeat"] = "TaskTimedOut"
    states.answers["describe_execution"] = {"status": "FAILED"}

    wake_up({"kind": "reconcile"})

    assert sagemaker.asked("stop_training_job") == [{"TrainingJobName": "driftwheel-flights-r1"}]
    assert tokens.all() == []


@pytest.mark.case("SF-11")
def test_the_job_of_a_launcher_that_was_killed_is_left_to_its_retry(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    tokens = park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {"TrainingJobStatus": "InProgress"}
    states.answers["send_task_heartbeat"] = "TaskTimedOut"

    wake_up({"detail-type": "SageMaker Training Job State Change", "resources": [JOB], "detail": {}})

    assert sagemaker.asked("stop_training_job") == []
    assert [parked.token for parked in tokens.all()] == ["token"]


WANTED = {
    "endpoint": "driftwheel-flights",
    "endpoint_config": "new",
    "instance_count": 1,
    "limit_seconds": 3600,
    "sequence": 1,
    "model_data_url": "s3://m",
    "model_package_arn": PACKAGE,
    "baseline_uri": "s3://b",
    "probe_uri": "s3://driftwheel-artifacts/runs/flights/r1/probe.json",
    "reason": "better",
}


@pytest.mark.case("SM-08")
@pytest.mark.parametrize("missing", ["ValidationException", "ResourceNotFound"])
@pytest.mark.parametrize(("parked_at", "failed"), [("03:58:00", False), ("03:50:00", True)])
@pytest.mark.parametrize(("kind", "arn"), [("endpoint", ENDPOINT), ("model_package", PACKAGE)])
def test_what_was_just_asked_for_may_be_unknown_for_a_while(
    world: World,
    wake_up: Wake,
    sagemaker: Recorder,
    states: Recorder,
    kind: Kind,
    arn: str,
    parked_at: str,
    missing: str,
    *,
    failed: bool,
) -> None:
    at = f"2026-01-02T{parked_at}+00:00"
    tokens = Tokens(world.table)
    tokens.park(Parked(arn, kind, "token", "flights", "r1", 1, EXECUTION, at, WANTED))
    sagemaker.answers[f"describe_{kind}"] = missing

    wake_up({"kind": "reconcile"})

    assert [each["error"] for each in states.asked("send_task_failure")] == ["DeploymentFailed"] * failed
    assert bool(tokens.all()) != failed


def serving(config: str, status: str = "InService") -> dict[str, Any]:
    variant = {"VariantName": "serving", "CurrentWeight": 1.0, "CurrentInstanceCount": 1}
    return {
        "EndpointStatus": status,
        "EndpointConfigName": config,
        "ProductionVariants": [variant],
        "LastModifiedTime": datetime(2026, 1, 2, 3, 55, tzinfo=UTC),
    }


def endpoint_event() -> dict[str, Any]:
    return {"detail-type": "SageMaker Endpoint State Change", "resources": [ENDPOINT.lower()], "detail": {}}


def test_a_served_and_probed_challenger_becomes_champion(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, ENDPOINT, "endpoint", **WANTED)
    sagemaker.answers["describe_endpoint"] = serving("new")

    wake_up(endpoint_event())

    (success,) = states.asked("send_task_success")
    assert json.loads(success["output"])["outcome"] == "deployed"
    champion = Champions(world.table).get("flights")
    assert champion is not None
    assert (champion.sequence, champion.run_id, champion.endpoint_config) == (1, "r1", "new")


@pytest.mark.case("DE-03")
def test_a_silent_rollback_is_a_failed_deployment_and_no_champion(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, ENDPOINT, "endpoint", **WANTED)
    sagemaker.answers["describe_endpoint"] = serving("driftwheel-flights-old")

    wake_up(endpoint_event())

    (failure,) = states.asked("send_task_failure")
    assert failure["error"] == "DeploymentFailed"
    assert "serves driftwheel-flights-old, not new" in failure["cause"]
    assert Champions(world.table).get("flights") is None


def test_a_wrong_answer_to_the_probe_is_a_failed_deployment(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    wrong = json.dumps({"records": [{"x": 1}], "scores": [0.75]}).encode()
    world.put(world.artifacts, "runs/flights/r1/other.json", wrong)
    park(
        world,
        ENDPOINT,
        "endpoint",
        **WANTED | {"probe_uri": "s3://driftwheel-artifacts/runs/flights/r1/other.json"},
    )
    sagemaker.answers["describe_endpoint"] = serving("new")

    wake_up(endpoint_event())

    assert "scored 0.25, the trained model says 0.75" in states.asked("send_task_failure")[0]["cause"]
    assert Champions(world.table).get("flights") is None


@pytest.mark.case("SF-12")
def test_a_fenced_off_run_cannot_crown_its_model(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, ENDPOINT, "endpoint", **WANTED)
    sagemaker.answers["describe_endpoint"] = serving("new")
    Leases(world.table).acquire("flights", "r2", now=61, seconds=60)

    wake_up(endpoint_event())

    assert states.asked("send_task_failure")[0]["error"] == "LeaseLost"
    assert Champions(world.table).get("flights") is None


def overtake(world: World, *, at: str, seen: str = "") -> Tokens:
    """Let r1 be overtaken by r2, which asked for its own config at that minute."""
    lease = Leases(world.table).acquire("flights", "r2", now=61, seconds=60)
    assert lease is not None
    wanted = WANTED | {"endpoint_config": "newer", "seen_modified": seen}
    at, tokens = f"2026-01-02T{at}:00+00:00", Tokens(world.table)
    tokens.park(Parked(ENDPOINT, "endpoint", "other", "flights", "r2", lease.fence, EXECUTION, at, wanted))
    return tokens


@pytest.mark.case("SF-12")
@pytest.mark.parametrize("event", [endpoint_event(), {"kind": "reconcile"}], ids=["event", "tick"])
@pytest.mark.parametrize(
    "described",
    [serving("new", "Updating"), serving("newer", "Updating"), "ValidationException"],
    ids=["its own update", "its successor's", "gone"],
)
def test_a_run_that_was_overtaken_fails_at_once_by_name_and_its_successor_waits_on(
    world: World,
    wake_up: Wake,
    sagemaker: Recorder,
    states: Recorder,
    event: dict[str, Any],
    described: Any,
) -> None:
    park(world, ENDPOINT, "endpoint", **WANTED)
    tokens = overtake(world, at="03:59")
    sagemaker.answers["describe_endpoint"] = described

    wake_up(event)

    (failure,) = states.asked("send_task_failure")
    assert (failure["taskToken"], failure["error"]) == ("token", "LeaseLost")
    assert "run r1 of flights (fence 1) lost its lease; it is with run r2, fence 2" in failure["cause"]
    assert states.asked("send_task_heartbeat") == [{"taskToken": "other"}]
    assert [wait.run_id for wait in tokens.all()] == ["r2"]


@pytest.mark.case("DE-03")
@pytest.mark.case("DE-08")
@pytest.mark.parametrize(
    ("seen", "error"),
    [("2026-01-02T03:55:00+00:00", ""), ("2026-01-02T03:54:59+00:00", "DeploymentFailed")],
    ids=["nothing since", "rolled back"],
)
def test_the_end_of_an_update_before_ours_is_not_taken_for_the_end_of_ours(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder, seen: str, error: str
) -> None:
    """The endpoint came to rest at 03:55, after r2's function had begun (03:52), before it asked."""
    tokens = overtake(world, at="03:52", seen=seen)
    sagemaker.answers["describe_endpoint"] = serving("new")

    wake_up(endpoint_event())

    assert [failure["error"] for failure in states.asked("send_task_failure")] == [error] * bool(error)
    assert len(tokens.all()) == (not error)


@pytest.mark.case("DE-08")
def test_of_two_runs_held_at_the_champions_move_one_is_crowned_and_the_other_told(
    world: World,
    wake_up: Wake,
    sagemaker: Recorder,
    states: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one's lease ran out after it was held: the second has come as far before it goes on.

    The second one's event finds the first one's wait too, and tells it so.
    """
    together, arrived = threading.Barrier(2, timeout=30), threading.Event()

    def hold(point: str) -> None:
        if point == "before_champion_cas":
            arrived.set()
            together.wait()

    monkeypatch.setattr("driftwheel.ledger.champions.reached", hold)
    ledger_table.write_one_at_a_time(monkeypatch)
    tokens = park(world, ENDPOINT, "endpoint", **WANTED)
    sagemaker.answers["describe_endpoint"] = serving("new")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(wake_up, endpoint_event())
        assert arrived.wait(30)
        held = int(NOW.timestamp()) + HELD_SECONDS
        assert Leases(world.table).acquire("flights", "r2", now=held - 1, seconds=60) is None
        lease = Leases(world.table).acquire("flights", "r2", now=held, seconds=60)
        assert lease is not None
        sagemaker.answers["describe_endpoint"] = serving("newer")
        wanted = WANTED | {"endpoint_config": "newer"}
        parked_at = "2026-01-02T03:52:00+00:00"
        tokens.park(
            Parked(ENDPOINT, "endpoint", "other", "flights", "r2", lease.fence, EXECUTION, parked_at, wanted)
        )
        second = pool.submit(wake_up, endpoint_event())
        told = {"r1": first.result(60), "r2": second.result(60)}

    (row,) = Champions(world.table).history("flights")
    won, lost = ("r1", "r2") if row.run_id == "r1" else ("r2", "r1")
    overtaken, *told["r2"] = told["r2"]
    assert overtaken == f"{ENDPOINT}: LeaseLost"
    assert told[won] == [f"{ENDPOINT}: done"]
    assert told[lost] == [f"{ENDPOINT}: ChampionMoved"]
    (success,), (fenced, failure) = states.asked("send_task_success"), states.asked("send_task_failure")
    assert {"r1": "token", "r2": "other"}[won] == success["taskToken"]
    assert (fenced["taskToken"], fenced["error"]) == ("token", "LeaseLost")
    assert ({"r1": "token", "r2": "other"}[lost], failure["error"]) == (failure["taskToken"], "ChampionMoved")
    assert f"wanted sequence 1, champion is sequence 1 of run {won}" in failure["cause"]
    assert tokens.all() == []


@pytest.mark.case("DE-07")
def test_a_crash_after_the_champion_moved_is_healed_by_looking_again(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, ENDPOINT, "endpoint", **WANTED)
    sagemaker.answers["describe_endpoint"] = serving("new")
    states.answers["send_task_success"] = "InternalServerError"
    with pytest.raises(ClientError):
        wake_up(endpoint_event())

    states.answers.clear()
    wake_up({"kind": "reconcile"})

    assert len(Champions(world.table).history("flights")) == 1
    assert len(states.asked("send_task_success")) == 2


@pytest.mark.parametrize(("status", "ends"), [("Approved", "approved"), ("Rejected", "rejected")])
def test_the_registry_answers_for_a_person(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder, status: str, ends: str
) -> None:
    park(world, PACKAGE, "model_package")
    sagemaker.answers["describe_model_package"] = {
        "ModelApprovalStatus": status,
        "ApprovalDescription": "why",
    }

    wake_up({"detail-type": "SageMaker Model Package State Change", "resources": [PACKAGE], "detail": {}})

    assert json.loads(states.asked("send_task_success")[0]["output"]) == {
        "outcome": ends,
        "description": "why",
    }


def test_editing_a_pending_package_is_no_answer(
    world: World, wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    park(world, PACKAGE, "model_package")
    sagemaker.answers["describe_model_package"] = {"ModelApprovalStatus": "PendingManualApproval"}

    wake_up({"detail-type": "SageMaker Model Package State Change", "resources": [PACKAGE], "detail": {}})

    assert states.asked("send_task_success") == []


@pytest.mark.case("EV-10")
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("ExecutionDoesNotExist", "aborted"),
        ({"status": "TIMED_OUT"}, "failed"),
        ({"status": "RUNNING"}, "running"),
    ],
)
def test_the_reconciler_closes_runs_whose_end_nobody_heard_of(
    world: World, wake_up: Wake, states: Recorder, answer: Any, status: str
) -> None:
    Models(world.table).register(load_spec(SPEC, "model.yaml"), version="v", at="now")
    states.answers["describe_execution"] = answer

    for _ in range(2):
        wake_up({"kind": "reconcile"})

    assert Runs(world.table).of_model("flights")[0].status == status


@pytest.mark.case("SF-10")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("ExecutionDoesNotExist", "aborted. the execution was never started"),
        ({"status": "ABORTED"}, "aborted. the execution ended ABORTED before it could say why"),
        ({"status": "TIMED_OUT"}, "failed. the execution ended TIMED_OUT before it could say why"),
    ],
)
def test_people_hear_once_of_a_run_that_could_not_say_how_it_ended_and_what_to_do(
    world: World, wake_up: Wake, states: Recorder, answer: Any, said: str
) -> None:
    Models(world.table).register(load_spec(SPEC, "model.yaml"), version="v", at="now")
    states.answers["describe_execution"] = answer

    for _ in range(2):
        wake_up({"kind": "reconcile"})

    outbox = Outbox(world.table)
    (alert,) = outbox.take(NOW)  # at the next tick
    assert alert.message.splitlines()[0] == f"flights: run r1 {said}"
    assert re.fullmatch("You: driftwheel .*retrain flights", alert.message.splitlines()[1])
    outbox.told(alert, NOW)
    wake_up({"kind": "reconcile"})
    assert outbox.untold() == []


def test_of_a_run_that_said_how_it_ended_nobody_hears_again(
    world: World, wake_up: Wake, states: Recorder
) -> None:
    Runs(world.table).end("flights", "r1", "rejected", "loses", "t1")
    detail = {"executionArn": EXECUTION, "name": "flights-r1", "status": "FAILED"}

    wake_up({"detail-type": "Step Functions Execution Status Change", "detail": detail})

    assert Outbox(world.table).untold() == []


@pytest.mark.case("DE-10")
def test_a_rollback_whose_command_died_is_written_down_once(world: World, wake_up: Wake) -> None:
    Models(world.table).register(load_spec(SPEC, "model.yaml"), version="v", at="now")
    decisions = Decisions(world.table)
    for sequence, run_id in ((1, "r0"), (2, "r1"), (3, "r0")):
        assert decisions.of_model("flights") == []
        Champions(world.table).move(champion(sequence, run_id))
        said = wake_up({"kind": "reconcile"})

    (decision,) = decisions.of_model("flights")
    assert said == ["a rollback of flights: written down"]
    assert decision.numbers == {"from_run": "r1", "from_sequence": 2, "to_run": "r0", "sequence": 3}
    assert wake_up({"kind": "reconcile"}) == []
    assert decisions.of_model("flights") == [decision]


@pytest.mark.case("EV-10")
@pytest.mark.parametrize(("status", "freed"), [("SUCCEEDED", True), ("FAILED", True), ("RUNNING", False)])
def test_the_lease_of_a_run_that_has_ended_is_freed_once_its_execution_is_over(
    world: World, wake_up: Wake, states: Recorder, status: str, *, freed: bool
) -> None:
    Models(world.table).register(load_spec(SPEC, "model.yaml"), version="v", at="now")
    Runs(world.table).end("flights", "r1", "promoted", "better", "2026-01-02T03:00:00+00:00")
    states.answers["describe_execution"] = {"status": status}

    wake_up({"kind": "reconcile"})

    assert (Leases(world.table).get("flights") is None) == freed
    assert world.messages() == [{"kind": "run_finished", "model": "flights"}] * freed


@pytest.mark.case("DE-10")
def test_a_rollback_nobody_wrote_down_is_written_before_a_run_makes_the_next_champion(
    world: World, wake_up: Wake, sagemaker: Recorder
) -> None:
    for sequence, run_id in ((1, "r0"), (2, "rx"), (3, "r0")):
        Champions(world.table).move(champion(sequence, run_id))
    park(world, ENDPOINT, "endpoint", **WANTED | {"sequence": 4})
    sagemaker.answers["describe_endpoint"] = serving("new")

    wake_up(endpoint_event())

    assert [row.run_id for row in Champions(world.table).history("flights")] == ["r1", "r0", "rx", "r0"]
    (decision,) = Decisions(world.table).of_model("flights")
    assert (decision.outcome, decision.numbers["sequence"]) == ("rolled_back", 3)


@pytest.mark.case("EV-10")
def test_a_run_that_is_being_started_is_left_alone(world: World, wake_up: Wake, states: Recorder) -> None:
    Models(world.table).register(load_spec(SPEC, "model.yaml"), version="v", at="now")
    Leases(world.table).acquire("flights", "r1", now=int(NOW.timestamp()), seconds=300)
    states.answers["describe_execution"] = "ExecutionDoesNotExist"

    assert wake_up({"kind": "reconcile"}) == []
    assert Runs(world.table).of_model("flights")[0].status == "running"


@pytest.mark.case("SF-10")
def test_an_aborted_execution_stops_its_job_and_frees_its_lease(
    world: World, wake_up: Wake, sagemaker: Recorder
) -> None:
    tokens = park(world, JOB, "training_job", output_uri="s3://a/o", code_sha256="c")
    sagemaker.answers["describe_training_job"] = {"TrainingJobStatus": "InProgress"}
    detail = {"executionArn": EXECUTION, "name": "flights-r1", "status": "ABORTED"}

    wake_up({"detail-type": "Step Functions Execution Status Change", "detail": detail})

    assert sagemaker.asked("stop_training_job") == [{"TrainingJobName": "driftwheel-flights-r1"}]
    assert tokens.all() == []
    assert Leases(world.table).get("flights") is None
    assert Runs(world.table).of_model("flights")[0].status == "aborted"
    assert world.messages() == [{"kind": "run_finished", "model": "flights"}]


@pytest.mark.case("SF-10")
def test_a_model_package_whose_run_waits_no_longer_is_rejected(
    world: World, wake_up: Wake, sagemaker: Recorder
) -> None:
    tokens = park(world, PACKAGE, "model_package")
    sagemaker.answers["describe_model_package"] = {"ModelApprovalStatus": "PendingManualApproval"}
    detail = {"executionArn": EXECUTION, "name": "flights-r1", "status": "TIMED_OUT"}

    wake_up({"detail-type": "Step Functions Execution Status Change", "detail": detail})

    (update,) = sagemaker.asked("update_model_package")
    assert (update["ModelPackageArn"], update["ModelApprovalStatus"]) == (PACKAGE, "Rejected")
    assert "r1 waits no longer" in update["ApprovalDescription"]
    assert tokens.all() == []


def test_an_event_nobody_waits_for_changes_nothing(
    wake_up: Wake, sagemaker: Recorder, states: Recorder
) -> None:
    assert (
        wake_up({"detail-type": "SageMaker Training Job State Change", "resources": [JOB], "detail": {}})
        == []
    )
    assert sagemaker.calls == []
    assert states.calls == []


def test_the_shipped_event_is_handled_message_by_message(
    world: World, event: Callable[[str], Any], context: Any
) -> None:
    assert world.load("job_callback").handler(event("job_callback"), context) == {"batchItemFailures": []}


SECRET = "AKIA" + "PLANTEDINANEVENT"


@pytest.mark.case("EV-11")
@pytest.mark.case("SE-10")
def test_a_poison_message_comes_back_alone(
    world: World, event: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    batch = event("job_callback")
    batch["Records"][0]["body"] = "not JSON, but " + SECRET

    answer = world.load("job_callback").handler(batch, context)

    assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}
    lines = [vars(record) for record in caplog.records]
    (line,) = [one for one in lines if one["msg"] == "message comes back"]
    assert line["message_id"] == batch["Records"][0]["messageId"]
    assert line["reason"] == "the message is no JSON: Expecting value at character 0"
    assert SECRET not in str(lines)
