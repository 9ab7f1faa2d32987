"""What people hear when telling them fails: later, and not again and again."""

from datetime import datetime
from typing import Any

import pytest

from driftwheel.ledger.leases import Leases
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.runs import Runs
from tests.bench.faults import Killed, refused
from tests.bench.world import World
from tests.oracle.in_memory import assert_world

from .test_states import Broken, only, turned


def failed(world: Broken) -> Broken:
    """Let a run fail in its training."""
    world.errors["training_launch"] = ["ArtifactInvalid"]
    return turned(world)


def tick(world: World, times: int = 1) -> list[int]:
    """Let the schedules' ticks come; give how often people were told after each."""
    told = []
    for _ in range(times):
        world.tick(300)
        world.drain()
        told.append(sum(world.alerts.values()))
    return told


@pytest.mark.case("SF-06")
def test_an_alert_that_sns_refuses_hides_no_error_and_is_told_once_when_sns_is_back() -> None:
    world = Broken()
    world.sns_refuses = True

    failed(world)

    [execution] = world.machine.executions.values()
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "ArtifactInvalid", "said so")
    assert tick(world, 2) == [0, 0]
    world.sns_refuses = False
    assert tick(world, 3) == [1, 1, 1]
    assert "ArtifactInvalid: said so" in world.said[0]
    assert_world(world)


@pytest.mark.case("SF-06")
def test_a_run_that_ended_well_does_not_fail_because_sns_refuses() -> None:
    world = Broken()
    world.sns_refuses = True
    world.register()
    world.drop("parcels", "a.csv", b"worse")
    world.drain()
    world.tick(10)
    world.settle()

    assert only(world) == ("SUCCEEDED", "")
    [run] = world.ledger.runs.of_model("parcels")
    assert run.status == "rejected"
    assert world.counts["invoked record_outcome"] == 1
    world.sns_refuses = False
    assert tick(world, 2) == [1, 1]
    assert_world(world)


@pytest.mark.case("SF-06")
@pytest.mark.parametrize("error", [Killed("between"), refused("ThrottlingException", "UpdateItem")])
def test_what_was_told_but_not_noted_is_told_once_more_at_most(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    inner, errors = Outbox.told, [error]

    def told(outbox: Outbox, alert: Alert, now: datetime) -> Any:
        if errors:
            raise errors.pop()
        return inner(outbox, alert, now)

    monkeypatch.setattr(Outbox, "told", told)
    world = failed(Broken())

    assert not errors
    assert only(world) == ("FAILED", "ArtifactInvalid")
    assert sum(world.alerts.values()) == 2
    assert tick(world, 3) == [2, 2, 2]
    assert_world(world)


@pytest.mark.case("SF-06")
def test_a_function_that_ends_before_it_tells_is_made_up_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Broken()
    inner, kills = world.send_message, [Killed("before it is told")]

    def send(**request: Any) -> None:
        inner(**request)
        if "run_finished" in request["MessageBody"] and kills:
            raise kills.pop()

    monkeypatch.setattr(world, "send_message", send)
    failed(world)

    assert not kills
    assert sum(world.alerts.values()) == 1
    assert tick(world, 3) == [1, 1, 1]
    assert_world(world)


@pytest.mark.case("SF-06")
@pytest.mark.parametrize(("part", "call"), [(Runs, "end"), (Leases, "release")], ids=["index", "lease"])
def test_a_failure_handler_that_dynamodb_throttles_hides_no_error_and_people_hear_of_the_run(
    monkeypatch: pytest.MonkeyPatch, part: type, call: str
) -> None:
    inner, errors = getattr(part, call), [refused("ThrottlingException", "UpdateItem")]

    def throttled(*given: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return inner(*given, **named)

    monkeypatch.setattr(part, call, throttled)
    world = failed(Broken())

    assert not errors
    [execution] = world.machine.executions.values()
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "ArtifactInvalid", "said so")
    assert world.counts["invoked record_outcome"] == 1
    assert tick(world, 2) == [1, 1]
    assert_world(world)


@pytest.mark.case("SF-06")
@pytest.mark.parametrize(("body", "first"), [(b"1", "promoted"), (b"worse", "rejected")])
def test_a_run_that_ended_and_whose_last_step_failed_is_not_told_of_as_failed(
    monkeypatch: pytest.MonkeyPatch, body: bytes, first: str
) -> None:
    inner, errors = Leases.release, [refused("ThrottlingException", "UpdateItem")]

    def throttled(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return inner(*given)

    monkeypatch.setattr(Leases, "release", throttled)
    world = Broken()
    world.register()
    world.drop("parcels", "a.csv", body)
    world.drain()
    world.tick(10)
    world.settle()

    tick(world, 2)

    assert not errors
    [run] = world.ledger.runs.of_model("parcels")
    assert run.status == first
    assert [said for said in world.said if " failed. " in said] == []
    assert len(world.said) == (first == "rejected")
    assert_world(world)
