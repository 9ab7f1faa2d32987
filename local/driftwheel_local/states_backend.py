"""Step Functions' API rules that moto's backend does not have: names, sizes, idempotency, tokens, stop."""

import base64
import binascii
import copy
import json
import uuid
from collections.abc import Mapping
from typing import Any, cast

from moto.core.exceptions import AWSError
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from driftwheel_local import tokens
from driftwheel_local.definitions import definition_faults
from driftwheel_local.executions import LocalExecution
from driftwheel_local.states import (
    INTERRUPTED_CAUSE,
    INTERRUPTED_ERROR,
    MAX_CAUSE_CHARACTERS,
    MAX_ERROR_CHARACTERS,
    MAX_PAYLOAD_BYTES,
    StateMachines,
    name_fault,
)

_HISTORY_PAGE = 100
_HISTORY_PAGE_MAX = 1000


# moto's annotations describe its own subset of the arguments; ours are AWS's.
_Moto: Any = StepFunctionsParserBackend


def _refuse(code: str, message: str) -> AWSError:
    return AWSError(message, exception_type=code, status=400)


class LocalStepFunctionsBackend(_Moto):  # type: ignore[misc]
    """moto's executing backend with the refusals and answers of AWS."""

    # Set by patches.patch_stepfunctions: moto itself creates the backends, one per account and region.
    world: StateMachines

    def create_state_machine(self, name: str, definition: str, roleArn: str, **options: Any) -> StateMachine:  # noqa: N803
        """Create a state machine; the same request again answers the same ARN, another one is refused."""
        fault = name_fault(name)
        if fault:
            raise _refuse("InvalidName", fault)
        if options.get("sm_type") == "EXPRESS":
            raise _refuse(
                "StateMachineTypeNotSupported", "the local runtime runs STANDARD state machines only"
            )
        _check_definition(definition)
        existing = next((machine for machine in self.state_machines if machine.name == name), None)
        if existing is not None and (existing.definition, existing.roleArn) != (definition, roleArn):
            raise _refuse("StateMachineAlreadyExists", f"State Machine Already Exists: '{existing.arn}'")
        return cast(
            "StateMachine",
            super().create_state_machine(name=name, definition=definition, roleArn=roleArn, **options),
        )

    def update_state_machine(self, arn: str, definition: str | None = None, **options: Any) -> StateMachine:
        """Change a state machine; running executions keep the definition they started with."""
        if definition is not None:
            _check_definition(definition)
        return cast("StateMachine", super().update_state_machine(arn, definition, **options))

    def start_execution(
        self,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,  # noqa: ARG002 - moto's signature
    ) -> LocalExecution:
        """Start an execution, or answer the running one with the same name and input."""
        text = "{}" if execution_input is None else execution_input
        if len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise _refuse(
                "ValidationException",
                "1 validation error detected: Value at 'input' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_PAYLOAD_BYTES}",
            )
        if name is not None and (fault := name_fault(name)):
            raise _refuse("InvalidName", fault)
        try:
            json.loads(text)
        except ValueError as broken:
            raise _refuse(
                "InvalidExecutionInput", f"Invalid State Machine Execution Input: '{broken}'"
            ) from broken
        with self.world.lock:
            machine = self.describe_state_machine(state_machine_arn)
            name = name or str(uuid.uuid4())
            for known in machine.executions:
                if known.name == name:
                    if known.status == "RUNNING" and known.execution_input == text:
                        return cast("LocalExecution", known)
                    raise _refuse(
                        "ExecutionAlreadyExists", f"Execution Already Exists: '{known.execution_arn}'"
                    )
            execution = LocalExecution.create(
                self.world,
                name=name,
                role_arn=machine.roleArn,
                exec_arn=self._execution_arn(machine, name),
                account_id=self.account_id,
                region_name=self.region_name,
                state_machine=_snapshot(machine),
                start_date=self.world.clock.now(),
                input_text=text,
            )
            machine.executions.append(cast("Any", execution))
            execution.start()
        return execution

    def stop_execution(
        self, execution_arn: str, error: str | None = None, cause: str | None = None
    ) -> LocalExecution:
        """Abort an execution; a closed one keeps its status, as on AWS."""
        _check_lengths(error, cause)
        execution = cast("LocalExecution", self.describe_execution(execution_arn))
        execution.stop(stop_date=self.world.clock.now(), error=error, cause=cause)
        return execution

    def send_task_success(self, task_token: str, outcome: str) -> None:
        """Give a waiting task its output."""
        if len(outcome.encode()) > MAX_PAYLOAD_BYTES:
            raise _refuse(
                "ValidationException",
                f"Value at 'output' failed to satisfy constraint: length at most {MAX_PAYLOAD_BYTES}",
            )
        try:
            json.loads(outcome)
        except ValueError as broken:
            raise _refuse("InvalidOutput", f"Invalid Output: '{broken}'") from broken
        self._settle(task_token, tokens.Succeeded(outcome))

    def send_task_failure(self, task_token: str, error: str | None = None, cause: str | None = None) -> None:
        """Fail a waiting task with an error name and a cause."""
        _check_lengths(error, cause)
        self._settle(task_token, tokens.Failed(error, cause))

    def send_task_heartbeat(self, task_token: str) -> None:
        """Tell that a waiting task is alive."""
        try:
            self.world.tokens.beat(task_token)
        except tokens.TokenRefusedError as refused:
            raise _refuse(refused.code, refused.message) from refused

    def history_page(
        self, execution_arn: str, limit: int | None, next_token: str | None, *, newest_first: bool
    ) -> dict[str, Any]:
        """Answer one page of GetExecutionHistory."""
        events = cast("LocalExecution", self.describe_execution(execution_arn)).events()
        if newest_first:
            events = events[::-1]
        start = _page_start(next_token)
        size = min(limit or _HISTORY_PAGE, _HISTORY_PAGE_MAX)
        page: dict[str, Any] = {"events": events[start : start + size]}
        if start + size < len(events):
            page["nextToken"] = base64.b64encode(str(start + size).encode()).decode()
        return page

    def restore_executions(self, records: list[Mapping[str, Any]]) -> list[str]:
        """Bring back executions written down before a restart; list the state machines that are gone.

        The interpreter cannot resume a record still RUNNING: it becomes ABORTED, with a cause that says so,
        and its status change is published.
        """
        machines = {machine.arn: machine for machine in self.state_machines}
        missing: list[str] = []
        for record in sorted(records, key=lambda kept: kept["startDate"]):
            machine = machines.get(record["stateMachineArn"])
            if machine is None:
                missing.append(record["stateMachineArn"])
                continue
            if any(known.name == record["name"] for known in machine.executions):
                continue
            final, interrupted = dict(record), record["status"] == "RUNNING"
            if interrupted:
                final |= {
                    "status": "ABORTED",
                    "stopDate": self.world.clock.now(),
                    "error": INTERRUPTED_ERROR,
                    "cause": INTERRUPTED_CAUSE,
                }
            execution = LocalExecution.restored(self.world, machine, final, self.region_name, self.account_id)
            machine.executions.append(cast("Any", execution))
            if interrupted:
                self.world.closed(execution.describe() | {"history": execution.history})
        return sorted(set(missing))

    def _settle(self, task_token: str, outcome: tokens.Succeeded | tokens.Failed) -> None:
        try:
            self.world.tokens.settle(task_token, outcome)
        except tokens.TokenRefusedError as refused:
            raise _refuse(refused.code, refused.message) from refused

    def _execution_arn(self, machine: StateMachine, name: str) -> str:
        place = f"{self.partition}:states:{self.region_name}:{self.account_id}"
        return f"arn:{place}:execution:{machine.name}:{name}"


def _snapshot(machine: StateMachine) -> StateMachine:
    """Keep the definition an execution starts with; its executions and backend hold locks and are shared."""
    return copy.deepcopy(machine, {id(machine.executions): [], id(machine.backend): machine.backend})


def _check_definition(definition: str) -> None:
    faults = definition_faults(definition)
    if faults:
        raise _refuse("InvalidDefinition", f"Invalid State Machine Definition: '{'; '.join(faults)}'")
    try:
        StepFunctionsParserBackend._validate_definition(definition=definition)  # noqa: SLF001
    except Exception as fault:
        # moto's own refusals carry an empty error code; a client must see InvalidDefinition.
        # moto repeats the whole definition behind its finding.
        message = str(getattr(fault, "message", fault)).split(" in definition '")[0]
        raise _refuse("InvalidDefinition", f"Invalid State Machine Definition: '{message}'") from fault


def _check_lengths(error: str | None, cause: str | None) -> None:
    for field, text, limit in (
        ("error", error, MAX_ERROR_CHARACTERS),
        ("cause", cause, MAX_CAUSE_CHARACTERS),
    ):
        if text is not None and len(text) > limit:
            raise _refuse(
                "ValidationException",
                f"Value at '{field}' failed to satisfy constraint: Member must have length at most {limit}",
            )


def _page_start(next_token: str | None) -> int:
    if not next_token:
        return 0
    try:
        return int(base64.b64decode(next_token))
    except (ValueError, binascii.Error):
        raise _refuse(
            "InvalidToken", f"Invalid Token: '{next_token}' is no nextToken of this operation"
        ) from None
