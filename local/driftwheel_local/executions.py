"""One execution in moto's interpreter, with AWS's idea of when it is over and what it answers."""

import copy
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import EvaluationDetails, ExecutionDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.backend.execution_worker_comm import ExecutionWorkerCommunication
from moto.stepfunctions.parser.utils import TMP_THREADS

from driftwheel_local.states import ExecutionClosed, ExecutionRecord, StateMachines, payload_text, utc_text

# moto's interpreter is only partly annotated.
_Execution: Any = Execution
_ExecutionWorker: Any = ExecutionWorker
_EventManager: Any = EventManager
log = logging.getLogger(__name__)


class LocalExecution(_Execution):  # type: ignore[misc]
    """An execution that closes exactly once, at the moment AWS would call it closed.

    moto waits for the interpreter to notice an abort; here StopExecution closes the execution first, freezes
    its history and then releases whatever it waits for.
    """

    world: StateMachines
    history: list[dict[str, Any]] | None = None
    _closing: threading.Lock

    @classmethod
    def create(cls, world: StateMachines, *, input_text: str, **fields: Any) -> "LocalExecution":
        """Make an execution that is not started yet."""
        execution = cls(
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=input_text,
            sm_type="STANDARD",
            **fields,
        )
        execution.world = world
        execution._closing = threading.Lock()
        return execution

    @classmethod
    def restored(
        cls, world: StateMachines, state_machine: Any, record: Mapping[str, Any], region: str, account: str
    ) -> "LocalExecution":
        """Rebuild a closed execution from what `describe` and its history said before a restart."""
        execution = cls.create(
            world,
            name=record["name"],
            role_arn=state_machine.roleArn,
            exec_arn=record["executionArn"],
            account_id=account,
            region_name=region,
            state_machine=state_machine,
            start_date=record["startDate"],
            input_text=record["input"],
        )
        execution.exec_status = ExecutionStatus(record["status"])
        execution.stop_date = record["stopDate"]
        execution.output = record["output"]
        execution.error = record["error"]
        execution.cause = record["cause"]
        execution.history = list(record["history"])
        world.known.add(execution.exec_arn)
        return execution

    def start(self) -> None:
        """Run the state machine on its own threads, after RUNNING is written down and announced."""
        self.exec_status = ExecutionStatus.RUNNING
        worker: Any = self._get_start_execution_worker()
        self.exec_worker = worker
        self.world.opened(self.describe())
        worker.start()

    def stop(self, stop_date: datetime, error: str | None, cause: str | None) -> None:
        """Abort: close now, then make the interpreter's threads give up."""
        if not self.close(ExecutionStatus.ABORTED, error=error, cause=cause):
            return
        worker, self.exec_worker = self.exec_worker, None
        if worker is not None and worker.env is not None:
            worker.env.set_stop(stop_date=stop_date, cause=cause, error=error)
        self.world.waits.ring()

    def close(
        self,
        status: ExecutionStatus,
        *,
        output: Any = None,
        error: str | None = None,
        cause: str | None = None,
    ) -> bool:
        """Set the final status once and tell the world; False when another thread did it before."""
        with self._closing:
            if self.exec_status is not ExecutionStatus.RUNNING:
                return False
            # ListExecutions and the event promise stop >= start, also when the clock's resolution is coarse.
            self.stop_date = max(self.world.clock.now(), self.start_date + timedelta(milliseconds=1))
            self.output = payload_text(output) if status is ExecutionStatus.SUCCEEDED else None
            self.error, self.cause = error, cause
            self.history = self._frozen_history(status)
            self.exec_status = status
        self.world.closed(self.describe() | {"history": self.history})
        return True

    def events(self) -> list[dict[str, Any]]:
        """List the history events so far, oldest first."""
        if self.history is not None:
            return self.history
        worker: Any = self.exec_worker
        return [] if worker is None or worker.env is None else worker.env.event_manager.get_event_history()

    def describe(self) -> dict[str, Any]:
        """Answer DescribeExecution's members; input and output are JSON text, exactly as on AWS."""
        return {
            "executionArn": self.exec_arn,
            "stateMachineArn": self.state_machine_arn,
            "name": self.name,
            "status": self.status,
            "startDate": self.start_date,
            "stopDate": self.stop_date,
            "input": self.execution_input,
            "output": self.output,
            "error": self.error,
            "cause": self.cause,
        }

    def get_start_execution_details(self) -> ExecutionDetails:
        """Give `$$.Execution` its members, StartTime as AWS writes it."""
        return ExecutionDetails(
            arn=self.exec_arn,
            name=self.name,
            role_arn=self.role_arn,
            inpt=self.input_data,
            start_time=utc_text(self.start_date),
        )

    def _frozen_history(self, status: ExecutionStatus) -> list[dict[str, Any]]:
        worker = self.exec_worker
        if worker is None or worker.env is None:
            return []
        manager, context = worker.env.event_manager, copy.copy(worker.env.event_history_context)
        if status is ExecutionStatus.ABORTED:
            context.source_event_id = 0
            detail = {"error": self.error, "cause": self.cause}
            details = cast("Any", {"executionAbortedEventDetails": detail})
            manager.add_event(context, HistoryEventType.ExecutionAborted, details)
        if status is ExecutionStatus.TIMED_OUT:
            details = cast("Any", {"executionTimedOutEventDetails": {}})
            manager.add_event(context, HistoryEventType.ExecutionTimedOut, details)
        events = manager.get_event_history()
        return [event | {"type": str(event["type"].value)} for event in events]

    def _get_start_execution_worker(self) -> ExecutionWorker:
        return _Worker(
            evaluation_details=EvaluationDetails(
                aws_execution_details=self._get_start_aws_execution_details(),
                execution_details=self.get_start_execution_details(),
                state_machine_details=self.get_start_state_machine_details(),
            ),
            exec_comm=_Report(self),
            cloud_watch_logging_session=None,
            activity_store=self._activity_store,
        )


class _Worker(_ExecutionWorker):  # type: ignore[misc]
    """A worker whose environment exists before its thread does, so that it can always be stopped."""

    def start(self) -> None:
        self.env = super()._get_evaluation_environment()
        execution = cast("_Report", self._execution_communication).execution
        self.env.event_manager = _History(execution.world.record, execution.exec_arn)
        super().start()

    def _get_evaluation_environment(self) -> Environment:
        return cast("Environment", self.env or super()._get_evaluation_environment())

    def _execution_logic(self) -> None:
        try:
            super()._execution_logic()
        except Exception as fault:
            # Not a state's fault (those are caught inside) but the interpreter's: say so, never hang.
            log.exception("moto's interpreter failed")
            report = cast("_Report", self._execution_communication)
            cause = f"{type(fault).__name__}: {fault}"
            report.execution.close(ExecutionStatus.FAILED, error="States.Runtime", cause=cause)


class _History(_EventManager):  # type: ignore[misc]
    """moto's event history, also written down event by event."""

    def __init__(self, record: ExecutionRecord | None, execution_arn: str) -> None:
        super().__init__()
        self._record = record
        self._execution_arn = execution_arn

    def _publish_history_event(self, **event: Any) -> None:
        super()._publish_history_event(**event)
        if self._record is not None:
            self._record.history_event(self._execution_arn, self._create_history_event(**event))


class _Report(ExecutionWorkerCommunication):
    """Translates the state in which the interpreter ended into the execution's status."""

    def __init__(self, execution: LocalExecution) -> None:
        self.execution = execution

    def terminated(self) -> None:
        worker = self.execution.exec_worker
        if self.execution.status != "RUNNING":
            return  # aborted meanwhile
        if worker is None or worker.env is None:
            raise RuntimeError(f"{self.execution.exec_arn} ended without having started")
        state = worker.env.program_state()
        if isinstance(state, ProgramEnded):
            self.execution.close(ExecutionStatus.SUCCEEDED, output=worker.env.states.get_input())
        elif isinstance(state, ProgramError):
            error = cast("dict[str, Any]", state.error or {})
            self.execution.close(ExecutionStatus.FAILED, error=error.get("error"), cause=error.get("cause"))
        elif isinstance(state, ProgramTimedOut):
            self.execution.close(ExecutionStatus.TIMED_OUT)
            self.execution.world.waits.ring()
        # The record is kept for ever; the interpreter's state and moto's list of ended threads need not be.
        self.execution.exec_worker = None
        TMP_THREADS.clear()


class ClosingEvent(threading.Event):
    """An Event whose wait also ends when its execution does, and whose timeout runs on the stack's clock."""

    def __init__(self, world: StateMachines, running: Callable[[], bool]) -> None:
        super().__init__()
        self._world = world
        self._running = running

    def set(self) -> None:
        """Set the flag and wake the waiting thread."""
        super().set()
        self._world.waits.ring()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the flag; ExecutionClosed when the execution ended first."""
        self._world.waits.until(lambda: self.is_set() or not self._running(), timeout)
        if not self._running() and not self.is_set():
            raise ExecutionClosed
        return self.is_set()


class ClockThread(threading.Thread):
    """A thread of the interpreter: ends silently with its execution, and joins on the stack's clock.

    The join is how moto waits for a state machine's TimeoutSeconds.
    """

    def __init__(self, world: StateMachines, **options: Any) -> None:
        super().__init__(**options)
        self._world = world
        self._finished = False

    def run(self) -> None:
        """Run the target, then wake whoever joins."""
        try:
            super().run()
        except ExecutionClosed:
            log.debug("thread %s ends with its execution", self.name)
        finally:
            self._finished = True
            self._world.waits.ring()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread or for `timeout` seconds of the clock."""
        if self._world.waits.until(lambda: self._finished, timeout):
            super().join()
