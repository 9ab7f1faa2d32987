"""Restoration as the deployment function's schedule wakes it: what is put right, what is told, when not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.runs import RunRow, Runs
from driftwheel.ledger.table import Table
from driftwheel.spec import load_spec
from driftwheel.steps.restoration import Ledger, Restored, fault_of, restore_all
from tests.security.boundary import acting_as

from .conftest import Context, World
from .test_job_callback import Recorder
from .test_record_outcome import Topic

SPEC = Path("examples/flights/model.yaml").read_text(encoding="utf-8")
NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
ENDPOINT, CONFIG = "driftwheel-flights", "driftwheel-flights-old"
GONE = "ValidationException"
Look = Callable[..., list[Restored]]


@pytest.fixture
def sagemaker() -> Recorder:
    return Recorder(describe_endpoint={})


@pytest.fixture
def look(world: World, sagemaker: Recorder) -> Look:
    """Look at all endpoints once, with the deployment function's rights."""
    register(world)
    sagemaker.role = ("deployment", "sagemaker")
    with acting_as("deployment"):
        ledger = Ledger.of(Table(boto3.resource("dynamodb").Table("ledger")))
    return lambda now=NOW: restore_all("driftwheel", sagemaker, ledger, now)


def register(world: World, when_deleted: str = "alert") -> None:
    spec = load_spec(SPEC)
    deployment = spec.deployment.model_copy(update={"when_deleted": when_deleted})
    Models(world.table).register(spec.model_copy(update={"deployment": deployment}), version="v", at="now")


def crown(world: World) -> ChampionRow:
    row = ChampionRow("flights", 1, "r0", ENDPOINT, CONFIG, "s3://m", "arn", "s3://b", "now", "better")
    Champions(world.table).move(row)
    return row


def described(status: str, config: str = CONFIG) -> dict[str, Any]:
    return {"EndpointName": ENDPOINT, "EndpointStatus": status, "EndpointConfigName": config}


def changes(sagemaker: Recorder) -> list[str]:
    return [name for name, _ in sagemaker.calls if not name.startswith("describe")]


@pytest.mark.case("DE-07")
@pytest.mark.case("DE-12")
@pytest.mark.parametrize(
    ("config", "status", "lease_seconds", "moved"),
    [
        ("other", "InService", 0, [CONFIG]),
        ("other", "InService", 86_400 * 900_000, []),
        ("other", "Updating", 0, []),
        (CONFIG, "InService", 0, []),
    ],
)
def test_an_endpoint_left_on_another_config_goes_back_to_the_champion_when_nobody_is_at_work(
    world: World,
    look: Look,
    sagemaker: Recorder,
    config: str,
    status: str,
    lease_seconds: int,
    moved: list[str],
) -> None:
    crown(world)
    Leases(world.table).acquire("flights", "r1", now=0, seconds=lease_seconds)
    sagemaker.answers["describe_endpoint"] = described(status, config)

    look()

    assert [request["EndpointConfigName"] for request in sagemaker.asked("update_endpoint")] == moved
    assert changes(sagemaker) == ["update_endpoint"] * len(moved)


@pytest.mark.case("DE-11")
def test_an_endpoint_whose_first_deployment_failed_is_removed_and_leaves_no_champion(
    world: World, look: Look, sagemaker: Recorder
) -> None:
    sagemaker.answers["describe_endpoint"] = described("Failed")

    (restored,) = look()

    assert sagemaker.asked("delete_endpoint") == [{"EndpointName": ENDPOINT}]
    assert "there is no champion" in restored.sentence
    assert restored.alert is None  # the run that failed has told it
    assert Champions(world.table).get("flights") is None


@pytest.mark.case("DE-11")
@pytest.mark.parametrize("status", ["Creating", "InService", "Deleting"])
def test_a_first_endpoint_that_has_not_failed_is_left_alone(
    look: Look, sagemaker: Recorder, status: str
) -> None:
    sagemaker.answers["describe_endpoint"] = described(status)

    assert look() == []
    assert changes(sagemaker) == []


@pytest.mark.case("DE-11")
@pytest.mark.parametrize("status", ["InService", "OutOfService"])
@pytest.mark.parametrize(
    ("run", "lease_seconds", "removed"),
    [
        ("failed", 0, True),
        ("aborted", 0, True),
        ("failed", 60, False),  # another run is at work
        ("running", 0, False),
        ("", 0, False),  # nobody knows the run: the table may be lost
    ],
)
def test_an_endpoint_whose_run_ended_without_a_champion_is_removed(
    world: World, look: Look, sagemaker: Recorder, status: str, run: Any, lease_seconds: int, removed: bool
) -> None:
    if run:
        runs = Runs(world.table)
        runs.start(RunRow("flights", "old", "running", "arrival", "new", "t0", "arn", 1))
        if run != "running":
            runs.end("flights", "old", run, "said so", "t1")
    if lease_seconds:
        Leases(world.table).acquire("flights", "r1", now=int(NOW.timestamp()), seconds=lease_seconds)
    sagemaker.answers["describe_endpoint"] = described(status)

    said = [restored.sentence for restored in look()]

    assert changes(sagemaker) == ["delete_endpoint"] * removed
    sentence = f"flights: endpoint {ENDPOINT} serves no champion: the run that made it ended without one"
    assert said == [f"{sentence}: it is removed"] * removed


@pytest.mark.case("DE-11")
def test_a_first_endpoint_that_failed_waits_for_the_run_that_is_at_work(
    world: World, look: Look, sagemaker: Recorder
) -> None:
    Leases(world.table).acquire("flights", "r1", now=int(NOW.timestamp()), seconds=60)
    sagemaker.answers["describe_endpoint"] = described("Failed")

    assert look() == []
    assert changes(sagemaker) == []


@pytest.mark.case("DE-12")
@pytest.mark.parametrize("found", [GONE, described("Failed")])
def test_a_deleted_endpoint_is_told_once_a_day_and_stays_deleted_unless_its_model_says_otherwise(
    world: World, look: Look, sagemaker: Recorder, found: Any
) -> None:
    crown(world)
    sagemaker.answers["describe_endpoint"] = found

    told = [look(now)[0].alert is not None for now in (NOW, NOW, datetime(2026, 1, 3, tzinfo=UTC))]

    assert told == [True, False, True]
    assert "when_deleted: redeploy" in look()[0].sentence
    assert changes(sagemaker) == []


@pytest.mark.case("DE-12")
def test_a_deleted_endpoint_is_deployed_again_where_its_model_says_so(
    world: World, look: Look, sagemaker: Recorder
) -> None:
    register(world, "redeploy")
    crown(world)
    sagemaker.answers["describe_endpoint"] = GONE

    (restored,) = look()

    (request,) = sagemaker.asked("create_endpoint")
    assert (request["EndpointName"], request["EndpointConfigName"]) == (ENDPOINT, CONFIG)
    assert {"Key": "driftwheel:stack", "Value": "driftwheel"} in request["Tags"]
    assert restored.alert is not None
    assert Decisions(world.table).of_model("flights")[0].outcome == "deleted"


@pytest.mark.case("DE-12")
def test_an_endpoint_that_failed_is_cleared_away_first(world: World, look: Look, sagemaker: Recorder) -> None:
    register(world, "redeploy")
    crown(world)
    sagemaker.answers["describe_endpoint"] = described("Failed")

    look()

    assert changes(sagemaker) == ["delete_endpoint"]


@pytest.mark.case("DE-12")
def test_without_its_config_a_champion_cannot_come_back_and_a_person_is_told(
    world: World, look: Look, sagemaker: Recorder
) -> None:
    register(world, "redeploy")
    crown(world)
    sagemaker.answers |= {"describe_endpoint": GONE, "describe_endpoint_config": GONE}

    (restored,) = look()

    assert "driftwheel retrain flights" in restored.sentence
    assert restored.alert is not None
    assert changes(sagemaker) == []


@pytest.mark.case("DE-04")
@pytest.mark.parametrize("status", ["OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_only_a_person_can_mend_is_told(
    world: World, look: Look, sagemaker: Recorder, status: str
) -> None:
    register(world, "redeploy")
    crown(world)
    sagemaker.answers["describe_endpoint"] = described(status)

    assert look()[0].alert is not None
    assert changes(sagemaker) == []


def test_no_capacity_is_tried_again_later(world: World, look: Look, sagemaker: Recorder) -> None:
    register(world, "redeploy")
    crown(world)
    sagemaker.answers |= {"describe_endpoint": GONE, "create_endpoint": "ResourceLimitExceeded"}

    (restored,) = look()

    assert "later" in restored.sentence
    assert restored.alert is None
    assert Leases(world.table).get("flights") is None


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_an_endpoint_that_moves_is_no_fault(world: World, status: str) -> None:
    assert fault_of(crown(world), described(status, "other")) is None


@pytest.mark.case("DE-12")
def test_the_handler_tells_a_person(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    register(world)
    crown(world)
    app = world.load("deployment")
    published: list[dict[str, Any]] = []
    inner = app.sns.publish
    monkeypatch.setattr(app.sns, "publish", lambda **given: published.append(given) or inner(**given))

    answers = [app.handler({"kind": "restore"}, context) for _ in range(2)]

    assert [set(answer) for answer in answers] == [{"flights"}] * 2
    assert [message["Subject"] for message in published] == ["flights: its endpoint is not as it should be"]


@pytest.mark.case("SF-06")
def test_news_that_sns_refuses_is_told_at_a_later_tick(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world)
    crown(world)
    app = world.load("deployment")
    topic = Topic(ClientError({"Error": {"Code": "InternalError", "Message": "down"}}, "Publish"))
    monkeypatch.setattr(app, "sns", topic)
    monkeypatch.setattr("driftwheel.ledger.outbox.HELD", timedelta(microseconds=1))

    took = [(app.handler({"kind": "restore"}, context), len(topic.took))[1] for _ in range(3)]

    assert took == [0, 1, 1]
    assert topic.took == ["flights: its endpoint is not as it should be"]


@pytest.mark.case("SF-06")
def test_what_lies_in_the_outbox_is_told_though_sagemaker_cannot_be_asked(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(world)
    Outbox(world.table).put(Alert("flights#r1#failed", "flights: run failed", "said so"), NOW)
    app = world.load("deployment")
    topic = Topic()
    monkeypatch.setattr(app, "sns", topic)
    monkeypatch.setattr(app, "restore_all", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        app.handler({"kind": "restore"}, context)

    assert topic.took == ["flights: run failed"]
