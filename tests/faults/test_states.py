# ruff: noqa: N803
"""Every Task state of the shipped machine against every error, generated from the ASL and run in memory."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bench.faults import Faults
from tests.bench.machine import Machine, definition
from tests.bench.world import ASKING, LARGE, Queued, World
from tests.oracle.in_memory import assert_world

TASKS = {name: state for name, state in definition()["States"].items() if state["Type"] == "Task"}
STEPS = {
    name: Machine._step(state) if "Parameters" in state else state["Resource"]
    for name, state in TASKS.items()
}
WAITING = {STEPS[name] for name, state in TASKS.items() if "Parameters" in state}
REACHED = [name for name in TASKS if name != "RecordFailure"]
DECIDING = {"DataArrival", "Preprocessing", "TrainingLaunch", "EvaluationGate", "Approval"}
"""States without whose answer no model may serve: what Spark prepared is read from its files."""
TRANSIENT = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]
ENDED = ["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError"]


class Broken(World):
    """A world whose functions fail, state by state, by the names Lambda reports."""

    def __init__(self, state: str = "") -> None:
        super().__init__(Faults())
        self.more = {"PreprocessingLaunch": LARGE, "Approval": ASKING}.get(state, "")
        self.errors: dict[str, list[str]] = {}
        self.answers: dict[str, Any] = {}
        self.machine.send_task_success = self._called_back  # type: ignore[method-assign]

    broken = 0

    def _invoke(self, step: str, payload: Any) -> Any:
        names = self.errors.get(step, [])
        Broken.broken += bool(names) or step in self.answers
        if names:
            raise type(names.pop(0), (Exception,), {})("said so")
        answer = super()._invoke(step, payload)
        return answer if step in WAITING else self.answers.pop(step, answer)

    def _called_back(self, *, taskToken: str, output: str) -> dict[str, Any]:
        """Answer a state that waits: with nonsense, where a test told so."""
        (state,) = {one.state for one in self.machine.running() if one.token == taskToken} or {""}
        answer = self.answers.pop(STEPS.get(state, ""), json.loads(output))
        return Machine.send_task_success(self.machine, taskToken=taskToken, output=json.dumps(answer))


@pytest.fixture(autouse=True)
def _counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    Broken.broken = 0
    yield
    record_property("count faults in memory: function failed or answered nonsense", Broken.broken)


def turned(world: Broken) -> Broken:
    world.register(world.more)
    world.drop("parcels", "a.csv", b"first")
    world.drain()
    world.tick(10)
    world.settle()
    return world


def only(world: Broken) -> tuple[str, str]:
    [execution] = world.machine.executions.values()
    return execution.status, execution.error


@pytest.mark.case("SF-01")
@pytest.mark.case("SF-08")
@pytest.mark.parametrize("error", [*TRANSIENT, *ENDED])
@pytest.mark.parametrize("state", REACHED)
def test_an_error_that_passes_costs_one_more_call_and_has_one_effect(state: str, error: str) -> None:
    world = Broken(state)
    world.errors[STEPS[state]] = [error]

    turned(world)

    assert only(world) == ("SUCCEEDED", "")
    assert not world.errors[STEPS[state]], f"{state} was never entered"
    assert len(world.sagemaker.jobs) == len(world.sagemaker.models) == 1
    assert_world(world)


@pytest.mark.case("SF-02")
@pytest.mark.parametrize("state", [name for name in REACHED if name != "RecordOutcome"])
def test_a_fault_of_its_own_is_not_retried_and_ends_where_it_is_told(state: str) -> None:
    world = Broken(state)
    world.errors[STEPS[state]] = ["ArtifactInvalid"]

    turned(world)

    assert only(world) == ("FAILED", "ArtifactInvalid")
    [run] = world.ledger.runs.of_model("parcels")
    assert (run.status, run.outcome) == ("failed", "ArtifactInvalid: said so")
    assert world.alerts["parcels", run.run_id] == 1
    assert_world(world)


@pytest.mark.case("SF-01")
@pytest.mark.parametrize("error", [*TRANSIENT, *ENDED])
def test_an_error_that_passes_while_a_failure_is_recorded_hides_nothing(error: str) -> None:
    world = Broken()
    world.errors = {"data_arrival": ["ArtifactInvalid"], STEPS["RecordFailure"]: [error]}

    turned(world)

    assert only(world) == ("FAILED", "ArtifactInvalid")
    assert not world.errors[STEPS["RecordFailure"]]
    [run] = world.ledger.runs.of_model("parcels")
    assert (run.status, world.alerts["parcels", run.run_id]) == ("failed", 1)
    assert_world(world)


@pytest.mark.case("SF-04")
@pytest.mark.case("SF-08")
@pytest.mark.parametrize("error", ["Lambda.ServiceException", "Lambda.Unknown"])
@pytest.mark.parametrize("state", [name for name in REACHED if name != "RecordOutcome"])
def test_where_retries_end_the_run_fails_and_a_person_may_repeat_it(state: str, error: str) -> None:
    world = Broken(state)
    world.errors[STEPS[state]] = [error] * 6 if error == "Lambda.ServiceException" else [error] * 2
    turned(world)
    assert only(world) == ("FAILED", error)
    assert_world(world)

    world.arrivals.append(Queued({"kind": "manual", "model": "parcels"}, world.now))
    world.settle()

    assert [run.status for run in world.ledger.runs.of_model("parcels")] == ["promoted", "failed"]
    assert_world(world)


@pytest.mark.case("SF-05")
@pytest.mark.parametrize("answer", [{}, None, {"outcome": None}, {"outcome": 7}, "text", [1]])
@pytest.mark.parametrize("state", REACHED)
def test_an_answer_of_another_shape_never_ends_in_states_runtime(state: str, answer: Any) -> None:
    world = Broken(state)
    world.answers[STEPS[state]] = answer

    turned(world)

    assert not world.answers, f"{state} was never answered for"
    assert not only(world)[1].startswith("States.")
    assert (world.ledger.champions.get("parcels") is None) or state not in DECIDING
    assert_world(world)


@pytest.mark.case("SF-10")
@pytest.mark.parametrize("state", TASKS)
def test_an_execution_aborted_in_any_state_leaves_no_job_no_lease_and_the_champion(state: str) -> None:
    world = turned(Broken(state))
    champion = world.ledger.champions.get("parcels")
    if state == "RecordFailure":
        world.errors["data_arrival"] = ["ArtifactInvalid"]
    world.drop("parcels", "b.csv", b"second")
    world.drain()
    world.tick(10)
    while not any(one.state == state for one in world.machine.running()):
        assert world.work(), f"{state} was never entered"
    [execution] = world.machine.running()
    if STEPS[state] in WAITING:
        world.machine.advance(execution)
    assert (execution.state, execution.status) == (state, "RUNNING")
    world.machine.abort(execution)

    world.settle()

    assert_world(world)
    assert world.ledger.champions.history("parcels")[-1] == champion
    statuses = [run.status for run in world.ledger.runs.of_model("parcels")]
    assert statuses[-1] == "promoted"
    assert "running" not in statuses


def test_every_task_of_the_machine_is_in_the_matrix() -> None:
    assert set(TASKS) - set(REACHED) == {"RecordFailure"}
