"""A person decides: approve, reject, retrain, roll back."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel.deployment.rollback import rollback_request
from driftwheel.errors import ChampionMoved, DeploymentFailed, RollbackRefused
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.rollbacks import record_rollback
from driftwheel.ledger.tokens import Parked
from driftwheel.steps.rollback import Clients, Ledger, Waiter, roll_back, target_of
from driftwheel_cli import following, verdicts

from .conftest import RUN, SECTIONS, T0, Recorder, World

PACKAGE = SECTIONS["evaluation_gate"]["model_package_arn"]
EARLIER = "e" * 16
FAR = 4_000_000_000
PROBE = {"records": [{"x": 1}], "scores": [0.25]}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (verdicts, following):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(following, "SETTLE_SECONDS", 0.05)


@pytest.fixture
def asking(world: World) -> World:
    """A run that waits for a person."""
    world.register()
    run = world.start_run()
    world.stack.tokens.park(
        Parked(PACKAGE, "model_package", "token", "flights", RUN, 1, run.execution_arn, T0, {})
    )
    world.fakes["sagemaker"] = Recorder()
    return world


@pytest.mark.parametrize(("command", "status"), [("approve", "Approved"), ("reject", "Rejected")])
def test_a_persons_word_goes_into_the_registry(asking: World, command: str, status: str) -> None:
    result = asking.call(command, RUN[:6], "--reason", "checked")

    assert result.exit_code == 0, result.output
    assert asking.fakes["sagemaker"].asked("update_model_package") == [
        {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": status, "ApprovalDescription": "checked"}
    ]


def test_a_run_that_asks_nothing_is_not_approved(world: World) -> None:
    world.register()
    world.start_run()
    world.end_run("rejected", "0.02 worse")

    result = world.call("approve", RUN)

    assert result.exit_code == 1
    assert "does not wait for a person; it ended rejected: 0.02 worse" in result.stderr


def ending(world: World, status: Any, outcome: str) -> None:
    """Let the registry's answer end the run."""

    def update(**_: Any) -> dict[str, Any]:
        world.end_run(status, outcome)
        return {}

    world.fakes["sagemaker"].answers["update_model_package"] = update


def test_a_question_whose_run_has_ended_is_not_answered(asking: World) -> None:
    asking.end_run("rejected", "nobody approved it in time")

    assert "nobody approved it in time" in asking.call("approve", RUN).stderr
    assert asking.fakes["sagemaker"].calls == []


@pytest.mark.parametrize(("ends", "code"), [("promoted", 0), ("failed", 1)])
def test_approving_may_wait_for_the_runs_end(asking: World, ends: Any, code: int) -> None:
    ending(asking, ends, "so it ended")

    result = asking.call("approve", RUN, "--wait")

    assert result.exit_code == code
    assert ("so it ended" in result.stderr) is bool(code)


def test_rejecting_and_waiting_is_well_when_the_run_ends_rejected(asking: World) -> None:
    ending(asking, "rejected", "a person rejected it")

    assert asking.call("reject", RUN, "--wait").exit_code == 0


def test_following_a_run_that_asks_a_person_says_how_to_answer(asking: World) -> None:
    ending(asking, "promoted", "so it ended")
    at = datetime.now(UTC)
    events = [
        {
            "id": 1,
            "type": "TaskStateEntered",
            "timestamp": at,
            "stateEnteredEventDetails": {"name": "Approval"},
        },
        {"id": 2, "type": "ExecutionSucceeded", "timestamp": at, "executionSucceededEventDetails": {}},
    ]
    asking.fakes["stepfunctions"] = Recorder(get_execution_history={"events": events})

    assert f"driftwheel approve {RUN}" in asking.call("approve", RUN, "--wait").stderr


def test_a_run_whose_end_nobody_wrote_down_is_said(asking: World) -> None:
    result = asking.call("approve", RUN, "--wait")

    assert result.exit_code == 1
    assert "the ledger still says running" in result.stderr


def test_retraining_nudges_the_trigger(world: World, messages: Callable[[], list[Any]]) -> None:
    world.register()

    assert world.call("retrain", "flights").exit_code == 0
    assert messages() == [{"kind": "manual", "model": "flights"}]


def test_retraining_beside_a_run_at_work_is_refused(world: World, messages: Callable[[], list[Any]]) -> None:
    world.register()
    world.stack.ledger.leases.acquire("flights", RUN, now=0, seconds=FAR)

    result = world.call("retrain", "flights")

    assert result.exit_code == 1
    assert RUN in result.stderr
    assert messages() == []


@pytest.fixture
def trigger(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """What the trigger does with the nudge."""
    does: list[Callable[[], None]] = []
    queue = world.stack.client("sqs")
    send = queue.send_message

    def sent(**request: Any) -> Any:
        answer = send(**request)
        for step in does:
            step()
        return answer

    monkeypatch.setattr(queue, "send_message", sent)
    monkeypatch.setitem(world.fakes, "sqs", queue)
    return does


def test_retraining_and_waiting_follows_the_new_run(world: World, trigger: list[Callable[[], None]]) -> None:
    world.register()
    trigger += [lambda: world.start_run() and None, world.end_run]

    result = world.call("retrain", "flights", "--wait")

    assert result.exit_code == 0, result.output
    assert f"run {RUN} ended promoted" in result.stdout


def test_retraining_the_same_data_says_what_the_trigger_answered(
    world: World, trigger: list[Callable[[], None]]
) -> None:
    world.register()

    def refuse() -> None:
        at = datetime.now(UTC).isoformat()
        answer = Decision("flights", at[:10], "a", "trigger", "refuse", "run x ended promoted", {"at": at})
        world.stack.ledger.decisions.record(answer)

    trigger.append(refuse)

    result = world.call("retrain", "flights", "--wait")

    assert result.exit_code == 1
    assert "no run: run x ended promoted" in result.stderr


def test_retraining_without_an_answer_ends_in_time(world: World) -> None:
    world.register()

    result = world.call("retrain", "flights", "--wait", "--timeout", "1")

    assert result.exit_code == 1
    assert "no run of flights within 1 s" in result.stderr


class Endpoint(Recorder):
    """An endpoint that takes ``looks`` looks to serve what it was asked for."""

    def __init__(
        self, config: str, *, looks: int = 2, undone: bool = False, behind: timedelta = timedelta()
    ) -> None:
        super().__init__(describe_endpoint=self.describe, update_endpoint=self.update)
        self.serves, self.wanted, self.looks, self.undone = config, config, looks, undone
        self.changed, self.behind = datetime(2026, 1, 1, tzinfo=UTC), behind

    def update(self, **request: Any) -> dict[str, Any]:
        self.wanted = request["EndpointConfigName"]
        return {}

    def describe(self, **_: Any) -> dict[str, Any]:
        busy = self.serves != self.wanted and self.looks > 0
        self.looks -= busy
        if not busy and self.serves != self.wanted:
            self.changed = datetime.now(UTC) - self.behind
            self.serves = self.serves if self.undone else self.wanted
        return {
            "EndpointStatus": "Updating" if busy else "InService",
            "EndpointConfigName": self.serves,
            "LastModifiedTime": self.changed,
            "ProductionVariants": [
                {"VariantName": "serving", "CurrentWeight": 1.0, "CurrentInstanceCount": 1}
            ],
        }


def answers(score: float) -> Callable[..., dict[str, Any]]:
    body = json.dumps({"predictions": [{"score": score}]}).encode()
    return lambda **_: {"Body": BytesIO(body)}


@pytest.fixture
def promoted(world: World) -> World:
    """Two champions: the second serves."""
    world.register()
    world.champion(1, EARLIER)
    world.champion(2, RUN)
    world.put(f"runs/flights/{EARLIER}/evaluation_gate/probe.json", PROBE)
    world.fakes["sagemaker"] = Endpoint(f"driftwheel-flights-{RUN}")
    world.fakes["sagemaker-runtime"] = Recorder(invoke_endpoint=answers(0.25))
    return world


def roll(world: World) -> Any:
    ledger = Ledger.of(world.stack.table)
    clients = Clients(world.fakes["sagemaker"], world.fakes["sagemaker-runtime"], world.stack.objects)
    stands, target = target_of("flights", ledger.champions)
    waiter = Waiter(lambda: datetime.now(UTC), lambda _: None)
    return roll_back(stands, target, "complaints", "artifacts", clients, ledger, waiter)


@pytest.mark.case("DE-10")
def test_a_rollback_moves_endpoint_and_pointer_and_is_written_down(
    promoted: World, messages: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftwheel_cli.serving.sleep", lambda _: None)

    back = promoted.json("rollback", "flights", "--reason", "complaints")

    assert (back["run_id"], back["sequence"]) == (EARLIER, 3)
    champion = promoted.stack.ledger.champions.get("flights")
    assert champion is not None
    assert champion.endpoint_config == f"driftwheel-flights-{EARLIER}"
    (request,) = promoted.fakes["sagemaker"].asked("update_endpoint")
    assert request == rollback_request(name="driftwheel-flights", config_name=f"driftwheel-flights-{EARLIER}")
    assert "AutoRollbackConfiguration" not in request["DeploymentConfig"]
    (decision,) = promoted.stack.ledger.decisions.of_model("flights")
    assert decision.outcome == "rolled_back"
    assert "complaints" in decision.reason
    assert promoted.stack.ledger.leases.get("flights") is None
    assert messages() == [{"kind": "reconsider", "model": "flights"}]


@pytest.mark.case("DE-10")
def test_a_rollback_that_died_before_the_pointer_is_finished_by_the_next(promoted: World) -> None:
    promoted.fakes["sagemaker"] = Endpoint(f"driftwheel-flights-{EARLIER}")

    back = roll(promoted)

    assert back.sequence == 3
    assert promoted.fakes["sagemaker"].asked("update_endpoint") == []


@pytest.mark.case("DE-10")
def test_the_decision_of_a_rollback_can_be_told_from_the_champions_alone(promoted: World) -> None:
    roll(promoted)
    ledger = Ledger.of(promoted.stack.table)
    (written,) = ledger.decisions.of_model("flights")
    key = ("DECISION#flights", f"{written.at}#{written.id}")
    assert promoted.stack.table.delete(*key, condition="#id = :id", values={"id": written.id})

    assert record_rollback("flights", ledger.champions, ledger.decisions)
    assert ledger.decisions.of_model("flights") == [written]
    assert not record_rollback("flights", ledger.champions, ledger.decisions)


@pytest.mark.case("DE-10")
def test_a_rollback_that_broke_off_before_its_decision_is_written_down_before_the_next_champion(
    promoted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives its lease back, so that the next may come before the reconciler does (walk 126)."""
    with monkeypatch.context() as patch:
        patch.setattr(Decisions, "record", refuse)
        with pytest.raises(ClientError):
            roll(promoted)
    champion = promoted.stack.ledger.champions.get("flights")
    assert champion is not None
    assert (champion.run_id, champion.sequence) == (EARLIER, 3)
    promoted.put(f"runs/flights/{RUN}/evaluation_gate/probe.json", PROBE)
    promoted.fakes["sagemaker"] = Endpoint(f"driftwheel-flights-{EARLIER}")

    roll(promoted)

    decisions = promoted.stack.ledger.decisions.of_model("flights")
    assert sorted(decision.numbers["sequence"] for decision in decisions) == [3, 4]


def refuse(*_: Any) -> None:
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "said so"}}, "PutItem")


@pytest.mark.case("DE-03")
@pytest.mark.parametrize("behind", [timedelta(), timedelta(days=1)], ids=["our clock", "a day behind it"])
def test_an_endpoint_that_undoes_the_rollback_keeps_the_pointer(promoted: World, behind: timedelta) -> None:
    promoted.fakes["sagemaker"] = Endpoint(f"driftwheel-flights-{RUN}", undone=True, behind=behind)

    with pytest.raises(DeploymentFailed, match="serves driftwheel-flights-0f3c"):
        roll(promoted)

    champion = promoted.stack.ledger.champions.get("flights")
    assert champion is not None
    assert champion.sequence == 2
    assert promoted.stack.ledger.leases.get("flights") is None


def test_an_earlier_model_that_answers_other_scores_does_not_become_champion(promoted: World) -> None:
    promoted.fakes["sagemaker-runtime"] = Recorder(invoke_endpoint=answers(0.9))

    with pytest.raises(DeploymentFailed, match=r"scored 0\.9"):
        roll(promoted)


def test_a_champion_that_moved_meanwhile_stays(promoted: World) -> None:
    def move(**_: Any) -> dict[str, Any]:
        promoted.champion(3, "f" * 16)
        return answers(0.25)()

    promoted.fakes["sagemaker-runtime"] = Recorder(invoke_endpoint=move)

    with pytest.raises(ChampionMoved):
        roll(promoted)


def test_a_champion_made_before_the_lease_was_ours_stops_the_rollback(promoted: World) -> None:
    ledger = Ledger.of(promoted.stack.table)
    clients = Clients(
        promoted.fakes["sagemaker"], promoted.fakes["sagemaker-runtime"], promoted.stack.objects
    )
    stands, target = target_of("flights", ledger.champions)
    promoted.champion(3, "f" * 16)

    with pytest.raises(ChampionMoved, match="look again"):
        roll_back(
            stands,
            target,
            "",
            "artifacts",
            clients,
            ledger,
            Waiter(lambda: datetime.now(UTC), lambda _: None),
        )

    assert promoted.fakes["sagemaker"].calls == []


def test_a_rollback_beside_a_run_at_work_is_refused(promoted: World) -> None:
    promoted.stack.ledger.leases.acquire("flights", "c" * 16, now=0, seconds=FAR)

    result = promoted.call("rollback", "flights")

    assert result.exit_code == 1
    assert f"run {'c' * 16} of flights is at work" in result.stderr
    assert promoted.fakes["sagemaker"].calls == []


@pytest.mark.case("DE-10")
def test_a_deleted_config_is_named(promoted: World) -> None:
    promoted.fakes["sagemaker"].answers["describe_endpoint_config"] = "ValidationException"

    with pytest.raises(RollbackRefused, match="was deleted"):
        roll(promoted)


def test_only_a_champion_of_before_can_come_back(promoted: World) -> None:
    promoted.start_run("a" * 16)
    promoted.start_run()

    never = promoted.call("rollback", "flights", "--to", "a" * 16)
    already = promoted.call("rollback", "flights", "--to", RUN)

    assert f"never champion of flights; earlier champions: {EARLIER}" in never.stderr
    assert "is the champion of flights already" in already.stderr
    assert never.exit_code == already.exit_code == 1


def test_the_first_champion_has_nothing_to_go_back_to(world: World) -> None:
    world.register()

    assert "no champion yet" in world.call("rollback", "flights").stderr
    world.champion()
    assert "the only champion" in world.call("rollback", "flights").stderr
