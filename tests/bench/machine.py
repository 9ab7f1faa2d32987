# ruff: noqa: N803, BLE001, A002
"""The shipped state machine, stepped by hand: its own Retry, Catch and Choice, without its waits."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .faults import Faults, Killed, refused

ROOT = Path(__file__).parents[2]
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:driftwheel-model-loop"


def definition() -> dict[str, Any]:
    """Read the ASL with each function's ARN replaced by its step's name."""
    text = (ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8")

    def step(match: re.Match[str]) -> str:
        return re.sub("(?<!^)(?=[A-Z])", "_", match.group(1)).lower()

    found: dict[str, Any] = json.loads(re.sub(r"\$\{(\w+?)FunctionArn\}", step, text))
    return found


@dataclass
class Execution:
    """One execution: where it is, what it carries, the token it waits for, how long its history is."""

    name: str
    arn: str
    data: dict[str, Any]
    state: str
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    token: str = ""
    entered: int = 0
    events: int = 2
    tries: Counter[int] = field(default_factory=Counter)
    answer: tuple[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class Machine:
    """Executions, and the Step Functions client the product talks to."""

    def __init__(
        self,
        faults: Faults,
        invoke: Callable[[str, Any], Any],
        ended: Callable[..., None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.executions: dict[str, Execution] = {}
        self.largest_payload = 0
        self._states = definition()["States"]
        self._start = definition()["StartAt"]
        self._faults, self._invoke, self._ended, self._now = faults, invoke, ended, now
        self._lock = threading.RLock()

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:
        arn = stateMachineArn.replace(":stateMachine:", ":execution:") + f":{name}"

        def execute() -> dict[str, Any]:
            with self._lock:
                known = self.executions.get(name)
                if known is not None:
                    raise refused("ExecutionAlreadyExists", "StartExecution")
                self.executions[name] = Execution(name, arn, json.loads(input), self._start)
                self._note(
                    self.executions[name], "TaskStateEntered", stateEnteredEventDetails={"name": self._start}
                )
                self.largest_payload = max(self.largest_payload, len(input.encode()))
                return {"executionArn": arn}

        answer: dict[str, Any] = self._faults.call(
            "StartExecution", execute, "states", stateMachineArn=stateMachineArn
        )
        return answer

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        def execute() -> dict[str, Any]:
            with self._lock:
                found = self.executions.get(executionArn.rpartition(":")[2])
                if found is None:
                    raise refused("ExecutionDoesNotExist", "DescribeExecution")
                return {"status": found.status, "input": json.dumps(found.data)}

        answer: dict[str, Any] = self._faults.call(
            "DescribeExecution", execute, "states", executionArn=executionArn
        )
        return answer

    def get_execution_history(self, *, executionArn: str, **_: Any) -> dict[str, Any]:
        return {"events": list(self.executions[executionArn.rpartition(":")[2]].history)}

    def _note(self, execution: Execution, kind: str, **details: Any) -> None:
        event = {"id": len(execution.history) + 1, "type": kind, "timestamp": self._now()}
        execution.history.append(event | details)

    def send_task_success(self, *, taskToken: str, output: str) -> dict[str, Any]:
        return self._answer(taskToken, ("success", json.loads(output)), "SendTaskSuccess")

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> dict[str, Any]:
        return self._answer(taskToken, (error, cause), "SendTaskFailure")

    def send_task_heartbeat(self, *, taskToken: str) -> dict[str, Any]:
        def execute() -> dict[str, Any]:
            with self._lock:
                self._waiting(taskToken, "SendTaskHeartbeat")
                return {}

        answer: dict[str, Any] = self._faults.call(
            "SendTaskHeartbeat", execute, "states", taskToken=taskToken
        )
        return answer

    def _answer(self, token: str, answer: tuple[str, Any], operation: str) -> dict[str, Any]:
        def execute() -> dict[str, Any]:
            with self._lock:
                self._waiting(token, operation).answer = answer
                return {}

        found: dict[str, Any] = self._faults.call(operation, execute, "states", taskToken=token)
        return found

    def _waiting(self, token: str, operation: str) -> Execution:
        for execution in self.executions.values():
            if execution.token == token and execution.status == "RUNNING" and execution.answer is None:
                return execution
        raise refused("TaskTimedOut", operation)

    def running(self) -> list[Execution]:
        return [execution for execution in list(self.executions.values()) if execution.status == "RUNNING"]

    def abort(self, execution: Execution, status: str = "ABORTED") -> None:
        """End it from outside, as StopExecution does."""
        execution.status, execution.token = status, ""
        self._ended(execution)

    def advance(self, execution: Execution) -> bool:
        """Do what the execution can do now; False while it only waits. One worker at a time may do this."""
        state = self._states[execution.state]
        if state["Type"] == "Choice":
            chosen = self._chosen(state, execution.data)
            if chosen is None:
                execution.status, execution.error = "FAILED", "States.Runtime"
                self._ended(execution)
            else:
                self._enter(execution, chosen)
            return True
        if state["Type"] == "Fail":
            failure = execution.data["failure"]
            execution.error, execution.cause = failure["Error"], failure["Cause"]
            execution.status = "FAILED"
            self._ended(execution)
            return True
        if not state["Resource"].endswith(".waitForTaskToken"):
            self._attempt(execution, state, state["Resource"], execution.data, waits=False)
            return True
        if execution.answer is not None:
            with self._lock:
                kind, value = execution.answer
                execution.answer, execution.token = None, ""
            if kind == "success":
                self._leave(execution, state, value)
            else:
                self._failed(execution, state, kind, value)
            return True
        if execution.token:
            return False
        execution.entered += 1
        execution.token = f"{execution.arn}#{execution.entered}"
        payload = {"run": execution.data, "task_token": execution.token, "execution_arn": execution.arn}
        self._attempt(execution, state, self._step(state), payload, waits=True)
        return True

    @staticmethod
    def _step(state: dict[str, Any]) -> str:
        return str(state["Parameters"]["FunctionName"])

    def _attempt(
        self, execution: Execution, state: dict[str, Any], step: str, payload: Any, *, waits: bool
    ) -> None:
        execution.events += 3  # scheduled, started, and how it ended
        try:
            answer = self._invoke(step, payload)
        except Killed:
            self._attempt_failed(execution, state, "Lambda.Unknown", "the process ended")
        except Exception as error:  # every fault of a function reaches the state machine by its class name
            self._attempt_failed(execution, state, type(error).__name__, str(error))
        else:
            if not waits:
                self._leave(execution, state, answer)

    def _attempt_failed(self, execution: Execution, state: dict[str, Any], error: str, cause: str) -> None:
        """Fail the state, unless its wait was ended while its function was still at work."""
        with self._lock:
            if execution.answer is None:
                self._failed(execution, state, error, cause)

    def _leave(self, execution: Execution, state: dict[str, Any], answer: Any) -> None:
        execution.data = execution.data | {state["ResultPath"].removeprefix("$."): answer}
        self.largest_payload = max(self.largest_payload, len(json.dumps(execution.data).encode()))
        if state.get("End"):
            execution.status = "SUCCEEDED"
            return
        self._enter(execution, state["Next"])

    def _enter(self, execution: Execution, name: str) -> None:
        execution.state, execution.tries, execution.token = name, Counter(), ""
        self._note(execution, "TaskStateEntered", stateEnteredEventDetails={"name": name})
        execution.events += 2  # one state exited, one entered

    def _failed(self, execution: Execution, state: dict[str, Any], error: str, cause: str) -> None:
        execution.token, execution.answer = "", None
        self._note(execution, "TaskFailed", taskFailedEventDetails={"error": error, "cause": cause})
        for number, retrier in enumerate(state.get("Retry", [])):
            if error in retrier["ErrorEquals"]:
                execution.tries[number] += 1
                if execution.tries[number] <= retrier["MaxAttempts"]:
                    return
                break
        for catcher in state.get("Catch", []):
            if error in catcher["ErrorEquals"] or "States.ALL" in catcher["ErrorEquals"]:
                name = catcher["ResultPath"].removeprefix("$.")
                execution.data = execution.data | {name: {"Error": error, "Cause": cause}}
                self._enter(execution, catcher["Next"])
                return
        execution.status, execution.error, execution.cause = "FAILED", error, cause
        self._ended(execution)

    @classmethod
    def _chosen(cls, state: dict[str, Any], data: dict[str, Any]) -> str | None:
        """Name the next state; None where Step Functions would end in States.Runtime."""
        try:
            chosen = (one["Next"] for one in state["Choices"] if cls._holds(one, data))
            return str(next(chosen, state["Default"]))
        except LookupError:
            return None

    @classmethod
    def _holds(cls, rule: dict[str, Any], data: dict[str, Any]) -> bool:
        if "And" in rule:
            return all(cls._holds(one, data) for one in rule["And"])
        value: Any = data
        for name in rule["Variable"].removeprefix("$.").split("."):
            present = isinstance(value, dict) and name in value
            if not present and "IsPresent" not in rule:
                raise LookupError(rule["Variable"])
            value = value[name] if present else None
        if "IsPresent" in rule:
            return bool(present == rule["IsPresent"])
        return bool(value == rule["StringEquals"])
