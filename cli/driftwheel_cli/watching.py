"""Following a run: what its execution did, state by state, from Step Functions' own history."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

ENDS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}

FAULTS = re.compile(
    r"(Lambda\w*|Task\w*|Activity\w*)(Failed|TimedOut|StartFailed|SubmitFailed|ScheduleFailed)"
)

UNSTARTED_SECONDS = 60
"""The ledger knows a run a moment before Step Functions does; longer means it never started."""


@dataclass(frozen=True)
class StateEvent:
    """One thing that happened.

    ``entered`` and ``exited`` name their state; ``fault`` is one failed attempt of the state that was entered
    last (the state machine may retry it); ``ended`` is the execution's end and has the status as ``state``.
    ``seconds`` is the time since the state was entered, for ``ended`` since the start. ``output`` is the
    whole run as the state left it.
    """

    kind: Literal["entered", "exited", "fault", "ended"]
    state: str
    at: datetime
    seconds: float
    output: dict[str, Any] | None = None
    error: str = ""
    cause: str = ""


def watch_run(
    stepfunctions: Any,
    execution_arn: str,
    *,
    poll_seconds: float = 1.0,
    follow: bool = True,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[StateEvent]:
    """Give every event of an execution from its start, and go on until it ends.

    With ``follow`` false it stops where the history stops now. Raises ClientError when there is no such
    execution.
    """
    reader = _Reader()
    waited = 0.0
    while True:
        try:
            history = list(_history(stepfunctions, execution_arn))
        except ClientError as error:
            missing = error.response["Error"]["Code"] == "ExecutionDoesNotExist"
            if not (missing and follow and waited < UNSTARTED_SECONDS):
                raise
            history = []
        for event in reader.read(history):
            yield event
            if event.kind == "ended":
                return
        if not follow:
            return
        pause(poll_seconds)
        waited += poll_seconds


class _Reader:
    """Turns history events into ours, each once."""

    def __init__(self) -> None:
        self._seen = 0
        self._began: datetime | None = None
        self._state, self._entered = "", None  # type: str, datetime | None

    def read(self, history: list[dict[str, Any]]) -> Iterator[StateEvent]:
        for event in history:
            if event["id"] <= self._seen:
                continue
            self._seen = event["id"]
            at = event["timestamp"]
            self._began = self._began or at
            found = self._one(event, at)
            if found is not None:
                yield found

    def _one(self, event: dict[str, Any], at: datetime) -> StateEvent | None:
        kind = event["type"]
        if kind in ENDS:
            details = _details(event)
            return StateEvent(
                "ended",
                ENDS[kind],
                at,
                _seconds(self._began, at),
                _document(details.get("output")),
                details.get("error", ""),
                details.get("cause", ""),
            )
        if kind.endswith("StateEntered"):
            self._state, self._entered = event["stateEnteredEventDetails"]["name"], at
            return StateEvent("entered", self._state, at, 0.0)
        if kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            output = _document(details.get("output"))
            return StateEvent("exited", details["name"], at, _seconds(self._entered, at), output)
        if FAULTS.fullmatch(kind):
            details = _details(event)
            error, cause = details.get("error", kind), details.get("cause", "")
            return StateEvent(
                "fault", self._state, at, _seconds(self._entered, at), error=error, cause=message_of(cause)
            )
        return None


@dataclass(frozen=True)
class Progress:
    """How far an execution is: the run as the last state left it, and the state it is in.

    ``faults`` are the failed attempts of that state so far, the last one being the newest.
    """

    document: dict[str, Any]
    state: str
    faults: tuple[StateEvent, ...] = ()


def progress_of(stepfunctions: Any, execution_arn: str) -> Progress:
    """Read how far an execution is."""
    described = stepfunctions.describe_execution(executionArn=execution_arn)
    found = Progress(_document(described.get("input")) or {}, "")
    for event in watch_run(stepfunctions, execution_arn, follow=False):
        if event.kind == "entered":
            found = Progress(found.document, event.state)
        elif event.kind == "exited" and event.output:
            found = Progress(event.output, found.state)
        elif event.kind == "fault":
            found = replace(found, faults=(*found.faults, event))
        elif event.kind == "ended":
            found = Progress(found.document, "")
    return found


def message_of(cause: str) -> str:
    """Take the sentence out of what Lambda reports as JSON.

    >>> message_of('{"errorMessage": "no rows", "errorType": "TrainingFailed"}')
    'no rows'
    """
    document = _document(cause)
    return str(document["errorMessage"]) if document and "errorMessage" in document else cause


def _history(stepfunctions: Any, execution_arn: str) -> Iterator[dict[str, Any]]:
    request = {"executionArn": execution_arn, "maxResults": 1000, "includeExecutionData": True}
    while True:
        page = stepfunctions.get_execution_history(**request)
        yield from page["events"]
        if not page.get("nextToken"):
            return
        request["nextToken"] = page["nextToken"]


def _details(event: dict[str, Any]) -> dict[str, Any]:
    """The one ``…EventDetails`` member an event has."""
    return next((v for k, v in event.items() if k.endswith("EventDetails") and isinstance(v, dict)), {})


def _document(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _seconds(since: datetime | None, at: datetime) -> float:
    return (at - since).total_seconds() if since is not None else 0.0
