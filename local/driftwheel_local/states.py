"""Step Functions' rules around moto's interpreter: lifecycle, status events, limits, errors, scaled waits."""

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Protocol

import boto3
from botocore.config import Config

from driftwheel_local.clock import Clock
from driftwheel_local.metrics import MetricSink
from driftwheel_local.tokens import TaskTokens
from driftwheel_local.waits import Waits

log = logging.getLogger(__name__)

# UTF-8 bytes of an input, an output or a task result (Step Functions quotas, "input or result data size").
MAX_PAYLOAD_BYTES = 262_144
# EventBridge leaves input and output out of a status event above this size (aws.md 1.7).
MAX_EVENT_BYTES = 248 * 1024
MAX_ERROR_CHARACTERS = 256
MAX_CAUSE_CHARACTERS = 32_768
INTERRUPTED_ERROR = "States.Runtime"
INTERRUPTED_CAUSE = (
    "The local stack stopped while this execution was running. Its interpreter cannot resume; start it again."
)

_FORBIDDEN_IN_NAMES = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")


class ExecutionClosed(SystemExit):
    """When the execution a thread works for is already over: ends the thread without a trace.

    A SystemExit, because moto's interpreter catches Exception and would turn it into a state's failure.
    """


class ExecutionRecord(Protocol):
    """Where executions are written down, so that they outlive the process."""

    def execution_started(self, execution: Mapping[str, Any]) -> None:
        """Keep a new execution; called before StartExecution answers."""

    def history_event(self, execution_arn: str, event: Mapping[str, Any]) -> None:
        """Keep one event of a running execution's history."""

    def execution_closed(self, execution: Mapping[str, Any]) -> None:
        """Keep a closed execution with its history."""


def payload_text(value: Any) -> str:
    """Write a state's data as compact JSON, the form whose UTF-8 bytes count against the payload limit.

    Dates of AWS API answers become ISO 8601 text as in Step Functions; other foreign types are a TypeError.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_foreign)


def _foreign(value: Any) -> str:
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError(f"a state's data cannot hold a {type(value).__name__}")


def utc_text(moment: datetime) -> str:
    """Write an instant as Step Functions does: `2019-03-26T20:14:13.192Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_within_quota(value: Any) -> bool:
    """Tell whether a value fits into one state's data (262,144 bytes of UTF-8 JSON)."""
    text = value if isinstance(value, str) else payload_text(value)
    return len(text.encode()) <= MAX_PAYLOAD_BYTES


def name_fault(name: str) -> str | None:
    """Say why an execution or state machine name is refused; None for a good one."""
    if not name or len(name) > 80:
        return f"Value '{name}' at 'name' failed to satisfy constraint: length between 1 and 80"
    if _FORBIDDEN_IN_NAMES.search(name):
        return f"Invalid Name: '{name}'"
    return None


class TaskClients:
    """The boto3 clients with which tasks call this very stack, made once: making one costs 10 to 50 ms."""

    def __init__(self, endpoint_url: Callable[[], str]) -> None:
        self._endpoint_url = endpoint_url
        self._making = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}

    def get(self, service: str, region: str) -> Any:
        """Answer the client of a service."""
        with self._making:
            if (service, region) not in self._clients:
                session: Any = boto3.session.Session()
                self._clients[service, region] = session.client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint_url(),
                    aws_access_key_id="local",
                    aws_secret_access_key="local",  # noqa: S106
                    # The state's Retry retries, not the SDK; a Lambda may take its 15 minutes.
                    config=Config(
                        parameter_validation=False,
                        retries={"total_max_attempts": 1},
                        read_timeout=960,
                        max_pool_connections=64,
                    ),
                )
            return self._clients[service, region]


class StateMachines:
    """What every execution shares: clock, waits, tokens, and whom to tell about a change of status.

    `time_scale` multiplies the waits of Retry (IntervalSeconds) and of Wait states only: 0.01 makes a
    100 s back-off last 1 s. Task and heartbeat timeouts keep AWS's seconds on `clock`.
    """

    def __init__(
        self,
        clock: Clock,
        publish: Callable[[dict[str, Any]], None],
        endpoint_url: Callable[[], str],
        *,
        time_scale: float = 1.0,
        put_metric: MetricSink | None = None,
        record: ExecutionRecord | None = None,
    ) -> None:
        self.clock = clock
        self.publish = publish
        self.clients = TaskClients(endpoint_url)
        self.time_scale = time_scale
        self.put_metric = put_metric
        self.record = record
        self.waits = Waits(clock)
        self.tokens = TaskTokens(clock, self.waits, lambda arn: arn in self.known)
        self.known: set[str] = set()
        self.lock = threading.RLock()

    def opened(self, execution: Mapping[str, Any]) -> None:
        """Write down a new execution and announce RUNNING."""
        self.known.add(execution["executionArn"])
        if self.record is not None:
            self.record.execution_started(execution)
        self._announce(execution)

    def closed(self, execution: Mapping[str, Any]) -> None:
        """Write down how an execution ended and announce its status."""
        if self.record is not None:
            self.record.execution_closed(execution)
        self._announce(execution)
        self.waits.ring()

    def pause(self, seconds: float, running: Callable[[], bool]) -> None:
        """Sleep through a back-off or a Wait state, scaled; ExecutionClosed when the execution ends first."""
        self.waits.until(lambda: not running(), seconds * self.time_scale)
        if not running():
            raise ExecutionClosed

    def _announce(self, execution: Mapping[str, Any]) -> None:
        status = execution["status"]
        self._count(status, execution)
        self.publish(status_change(execution))
        log.info("execution %s is %s", execution["name"], status)

    def _count(self, status: str, execution: Mapping[str, Any]) -> None:
        if self.put_metric is None:
            return
        name = {
            "RUNNING": "ExecutionsStarted",
            "SUCCEEDED": "ExecutionsSucceeded",
            "FAILED": "ExecutionsFailed",
            "TIMED_OUT": "ExecutionsTimedOut",
            "ABORTED": "ExecutionsAborted",
        }[status]
        machine = {"StateMachineArn": execution["stateMachineArn"]}
        self.put_metric("AWS/States", name, 1.0, "Count", machine)
        if execution["stopDate"] is not None:
            spent = (execution["stopDate"] - execution["startDate"]).total_seconds() * 1000
            self.put_metric("AWS/States", "ExecutionTime", spent, "Milliseconds", machine)


def status_change(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Build the 'Step Functions Execution Status Change' event of an execution (aws.md 1.7)."""
    detail: dict[str, Any] = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": execution["status"],
        "startDate": _milliseconds(execution["startDate"]),
        "stopDate": _milliseconds(execution["stopDate"]),
        "error": execution["error"],
        "cause": execution["cause"],
    }
    for field in ("input", "output"):
        text = execution[field]
        included = text is None or len(json.dumps(text)) <= MAX_EVENT_BYTES
        detail[field] = text if included else None
        detail[f"{field}Details"] = None if text is None else {"included": included}
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": detail,
        "resources": [execution["executionArn"]],
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
