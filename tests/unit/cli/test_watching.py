"""Executions are followed event by event, each once, until they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel_cli.sections import refusal_sentence, sentence
from driftwheel_cli.watching import StateEvent, progress_of, watch_run

from .conftest import SECTIONS, Recorder, World

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


def event(number: int, kind: str, **details: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "timestamp": BEGAN + timedelta(seconds=number), **details}


HISTORY = [
    event(1, "ExecutionStarted", executionStartedEventDetails={"input": "{}"}),
    event(2, "TaskStateEntered", stateEnteredEventDetails={"name": "TrainingLaunch"}),
    event(5, "TaskFailed", taskFailedEventDetails={"error": "CapacityExceeded", "cause": "no room"}),
    event(9, "TaskStateExited", stateExitedEventDetails={"name": "TrainingLaunch", "output": '{"a": 1}'}),
    event(11, "ExecutionFailed", executionFailedEventDetails={"error": "TrainingFailed", "cause": "x"}),
]


def growing(steps: list[int]) -> Any:
    """A history that is longer at each look, in pages of two events."""
    looks = iter(steps)
    length = 0

    def answer(*, nextToken: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803  # AWS's name
        nonlocal length
        if not nextToken:
            length = next(looks)
        start = int(nextToken or 0)
        more = {"nextToken": str(start + 2)} if start + 2 < length else {}
        return {"events": HISTORY[start : min(start + 2, length)]} | more

    return answer


def test_a_growing_history_gives_every_event_once_and_ends_with_the_execution() -> None:
    states = Recorder(get_execution_history=growing([0, 2, 2, 4, 5]))
    pauses: list[float] = []

    events = list(watch_run(states, "arn", poll_seconds=0.5, pause=pauses.append))

    assert [(e.kind, e.state, e.seconds) for e in events] == [
        ("entered", "TrainingLaunch", 0.0),
        ("fault", "TrainingLaunch", 3.0),
        ("exited", "TrainingLaunch", 7.0),
        ("ended", "FAILED", 10.0),
    ]
    assert events[1].error == "CapacityExceeded"
    assert events[2].output == {"a": 1}
    assert pauses == [0.5] * 4


def test_an_execution_that_is_not_there_yet_is_waited_for_and_then_given_up() -> None:
    states = Recorder(get_execution_history="ExecutionDoesNotExist")
    pauses: list[float] = []

    with pytest.raises(ClientError):
        list(watch_run(states, "arn", poll_seconds=10, pause=pauses.append))

    assert len(pauses) == 6


def test_a_real_execution_tells_states_times_and_sections(world: World) -> None:
    run = world.start_run()

    events = list(watch_run(world.stack.client("stepfunctions"), run.execution_arn, poll_seconds=0.05))

    told = [(e.kind, e.state) for e in events]
    assert told[:2] == [("entered", "DataArrival"), ("exited", "DataArrival")]
    assert told[-1] == ("ended", "SUCCEEDED")
    exited = [e for e in events if e.kind == "exited"]
    assert [bool(sentence(e.state, e.output)) for e in exited] == [True, False, True]
    assert all(isinstance(e, StateEvent) and e.seconds >= 0 for e in events)
    progress = progress_of(world.stack.client("stepfunctions"), run.execution_arn)
    assert progress.document["evaluation_gate"] == SECTIONS["evaluation_gate"]
    assert progress.state == ""


def test_the_gate_is_worded_with_its_reason_and_intervals() -> None:
    said = sentence("EvaluationGate", SECTIONS)

    assert said.startswith("promote: 0.03 better")
    assert "gain auc 0.0300 [0.0100, 0.0500]" in said


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ({"message": "empty", "key": "a.csv"}, "a.csv: empty"),
        (
            {"message": "m.", "key": "a.csv", "column": "c", "line": 0, "hint": "h"},
            "a.csv, column c, row 0: m; h",
        ),
        ({"code": "x"}, "x"),
    ],
)
def test_a_refusal_names_file_column_row_and_remedy(refusal: dict[str, Any], said: str) -> None:
    assert refusal_sentence(refusal) == said
