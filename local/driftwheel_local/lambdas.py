"""AWS Lambda on this machine: real processes under AWS's runtime client, configured by moto's records."""

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from driftwheel_local import packaging
from driftwheel_local.async_invocations import AsyncInvocations, Event
from driftwheel_local.clock import Clock
from driftwheel_local.function_logs import FunctionLogs
from driftwheel_local.functions import Function, function_of
from driftwheel_local.metrics import MetricSink
from driftwheel_local.queues import QueuePollers
from driftwheel_local.stack_clients import StackClients
from driftwheel_local.worker_pool import WorkerPool
from driftwheel_local.workers import Answer, Sandbox

SYNCHRONOUS_LIMIT_BYTES = 6_291_456
ASYNCHRONOUS_LIMIT_BYTES = 1_048_576
"""Raised by AWS from 256 KB in October 2025."""
WORKERS = 8
"""Each takes 30 to 150 MB; more would not run faster on a developer's machine."""
_ARN = re.compile(r"arn:aws[^:]*:lambda:(?P<region>[^:]+):(?P<account>\d{12}):function:.+")


class FunctionNotFoundError(LookupError):
    """When no function has that name or ARN."""


class PayloadTooLargeError(ValueError):
    """When an event is larger than AWS takes for its kind of invocation."""


class InvalidPayloadError(ValueError):
    """When an event is no JSON document."""


@dataclass(frozen=True)
class Invocation:
    """What Invoke answers: `function_error` is None or "Unhandled"; `log` the lines of this call."""

    status_code: int
    payload: bytes
    function_error: str | None
    log: str
    request_id: str = ""


class LambdaRunner:
    """Run functions that moto's Lambda backend knows. Every method may be called from any thread.

    `environment` is the stack's (endpoint, credentials, region) and is read when needed, so that the
    endpoint may be put into it after the server listens. Asynchronous events wait `retry_seconds` before
    their first and second retry (AWS: one and two minutes) on `clock`, and survive a restart below `root`.
    """

    def __init__(
        self,
        build_root: Path,
        root: Path,
        environment: Mapping[str, str],
        clock: Clock,
        *,
        workers: int = WORKERS,
        retry_seconds: tuple[float, float] = (1.0, 2.0),
        put_metric: MetricSink | None = None,
    ) -> None:
        self._put_metric = put_metric
        self.clients = StackClients(environment)
        self.clock = clock
        self._environment = environment
        self._unpacked = root / "lambda" / "code"
        self._logs = FunctionLogs(root / "logs", self.clients, clock)
        temporary = root / "lambda" / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # of workers that ended with a stack that was killed
        sandbox = Sandbox(packaging.runtime(build_root), temporary, environment, self._logs, clock)
        self._pool = WorkerPool(sandbox, workers)
        self.pollers = QueuePollers(self._invoke_for_queue, clock)
        self._events = AsyncInvocations(
            root / "lambda" / "events",
            self.function,
            self._run,
            clients=self.clients,
            clock=clock,
            retry_seconds=retry_seconds,
        )

    def invoke(self, function_name_or_arn: str, payload: bytes, *, asynchronous: bool = False) -> Invocation:
        """Run a function, or with `asynchronous` only accept the event (202).

        Raises FunctionNotFoundError, PayloadTooLargeError, InvalidPayloadError, ThrottledError. A function
        that fails is no exception here: its error is in the answer.
        """
        function = self.function(function_name_or_arn)
        payload = payload or b"{}"
        kind = "Event" if asynchronous else "RequestResponse"
        limit = ASYNCHRONOUS_LIMIT_BYTES if asynchronous else SYNCHRONOUS_LIMIT_BYTES
        if len(payload) > limit:
            raise PayloadTooLargeError(
                f"{len(payload)} byte payload is too large for the {kind} invocation type "
                f"(limit {limit} bytes)"
            )
        try:
            json.loads(payload)
        except ValueError as error:
            raise InvalidPayloadError(f"Could not parse request body into json: {error}") from error
        request_id = str(uuid.uuid4())
        if asynchronous:
            self._events.put(Event(request_id, function.arn, payload, self.clock.now()))
            return Invocation(202, b"", None, "", request_id)
        answer = self._run(function, request_id, payload)
        return Invocation(200, answer.payload, answer.function_error, answer.log, request_id)

    def function(self, function_name_or_arn: str) -> Function:
        """Answer a function's present configuration. Raises FunctionNotFoundError."""
        backend = self._backend(function_name_or_arn)
        try:
            record = backend.get_function(function_name_or_arn)
        except UnknownFunctionException as error:
            raise FunctionNotFoundError(error.message) from error
        return function_of(record, backend, self._unpacked)

    def recover(self) -> int:
        """Take up the asynchronous events that a former stack of this root had accepted; answer how many.

        Call it when the functions exist again.
        """
        return self._events.recover()

    def settle(self) -> None:
        """Wait until every accepted event has ended and every log line is in CloudWatch (tests, the demo)."""
        self._events.settle()
        self._logs.flush()

    def flush_logs(self) -> None:
        """Wait until every log line so far is in CloudWatch."""
        self._logs.flush()

    def workers(self) -> tuple[int, int]:
        """Answer how many worker processes are (busy, idle)."""
        return self._pool.counts()

    def close(self) -> None:
        """Kill every worker; accepted events stay on disk for `recover`."""
        self.pollers.close()
        self._events.close()
        self._pool.close()
        self._logs.close()

    def _backend(self, function_name_or_arn: str) -> Any:
        found = _ARN.fullmatch(function_name_or_arn)
        account = found["account"] if found else DEFAULT_ACCOUNT_ID
        region = found["region"] if found else self._environment.get("AWS_DEFAULT_REGION", "us-east-1")
        return lambda_backends[account][region]

    def _invoke_for_queue(self, function_arn: str, payload: bytes) -> tuple[bytes, str | None]:
        done = self.invoke(function_arn, payload)
        return done.payload, done.function_error

    def _run(self, function: Function, request_id: str, payload: bytes) -> Answer:
        began = self.clock.monotonic()
        with self._pool.worker(function) as worker:
            answer = worker.invoke(request_id, payload)
        self._count(function, self.clock.monotonic() - began, failed=answer.function_error is not None)
        return answer

    def _count(self, function: Function, seconds: float, *, failed: bool) -> None:
        """Publish what Lambda does of each call.

        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
        """
        if self._put_metric is None:
            return
        named = {"FunctionName": function.name}
        self._put_metric("AWS/Lambda", "Invocations", 1.0, "Count", named)
        self._put_metric("AWS/Lambda", "Errors", float(failed), "Count", named)
        self._put_metric("AWS/Lambda", "Duration", seconds * 1_000, "Milliseconds", named)
