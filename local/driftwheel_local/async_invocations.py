"""Asynchronous invocation: an accepted event is retried, then sent where failures are kept.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html and
invocation-async-retain-records.html.
"""

import heapq
import itertools
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.clock import Clock
from driftwheel_local.functions import Function
from driftwheel_local.stack_clients import StackClients
from driftwheel_local.threads import start_daemon
from driftwheel_local.worker_pool import ThrottledError
from driftwheel_local.workers import Answer

_LOG = logging.getLogger(__name__)
DELIVERIES = 8
"""Events that run at once; more wait in the queue."""
THROTTLED_SECONDS = 1.0
THROTTLED_MAXIMUM_SECONDS = 300.0
"""AWS's back-off for throttles: from 1 second, doubled, to 5 minutes, for up to 6 hours."""
ERROR_MESSAGE_BYTES = 1_024
"""ErrorMessage of a dead letter holds the first 1 KB."""


@dataclass(frozen=True)
class Event:
    """One accepted event; times are the stack's clock."""

    request_id: str
    function_arn: str
    payload: bytes
    accepted: datetime
    failures: int = 0
    throttles: int = 0


class AsyncInvocations:
    """Lambda's internal event queue, kept below `folder` so that a killed stack loses no event."""

    def __init__(
        self,
        folder: Path,
        find: Callable[[str], Function],
        run: Callable[[Function, str, bytes], Answer],
        *,
        clients: StackClients,
        clock: Clock,
        retry_seconds: tuple[float, float],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob("*.part"):  # never accepted, or there as it was before
            unfinished.unlink()
        self._folder = folder
        self._find = find
        self._run = run
        self._clients = clients
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._unfinished = 0
        self._closed = False
        self._executor = ThreadPoolExecutor(DELIVERIES, thread_name_prefix="async-invocation")
        clock.subscribe(self._ring)
        self._dispatcher = start_daemon("async-invocations", self._dispatch)

    def put(self, event: Event) -> None:
        """Accept `event`: from here on it ends in success or at its failure destinations."""
        self._save(event)
        self._schedule(event, 0.0, is_new=True)

    def recover(self) -> int:
        """Accept again what lies in the folder; answer how many events."""
        events = [_load(path) for path in sorted(self._folder.glob("*.json"))]
        for event in events:
            self._schedule(event, 0.0, is_new=True)
        return len(events)

    def settle(self) -> None:
        """Wait until no accepted event is left, or until `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._unfinished == 0 or self._closed)

    def close(self) -> None:
        """Start no further attempt."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _schedule(self, event: Event, delay_seconds: float, *, is_new: bool = False) -> None:
        with self._changed:
            self._unfinished += is_new
            due = self._clock.monotonic() + delay_seconds
            heapq.heappush(self._due, (due, next(self._order), event))
            self._changed.notify_all()

    def _ring(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not (self._due and self._due[0][0] <= self._clock.monotonic()):
                    wait = self._due[0][0] - self._clock.monotonic() if self._due else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, event = heapq.heappop(self._due)
                attempt = self._executor.submit(self._try, event)
            attempt.add_done_callback(partial(self._after, event))

    def _after(self, event: Event, attempt: Future[None]) -> None:
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            # A fault of the runtime itself; the event stays on disk and is tried again by `recover`.
            _LOG.error("event %s for %s is stuck", event.request_id, event.function_arn, exc_info=error)
            self._finish(event, is_kept=True)

    def _try(self, event: Event) -> None:
        try:
            function = self._find(event.function_arn)
        except LookupError as error:
            _LOG.warning("event %s dropped: %s", event.request_id, error)
            self._finish(event)
            return
        try:
            answer = self._run(function, event.request_id, event.payload)
        except ThrottledError as error:
            if not self._closed:
                self._throttled(function, event, error)
            return
        if self._closed:
            # The stack took the worker away: no fault of the function. `recover` tries again.
            return
        if answer.function_error is None:
            self._send_record(function.destination.on_success, function, event, "Success", answer)
            self._finish(event)
            return
        event = replace(event, failures=event.failures + 1)
        delay = self._retry_seconds[min(event.failures, 2) - 1]
        if event.failures > function.destination.maximum_retries:
            self._fail(function, event, "RetriesExhausted", answer)
        elif self._is_too_old(function, event, delay):
            self._fail(function, event, "EventAgeExceeded", answer)
        else:
            self._save(event)
            self._schedule(event, delay)

    def _throttled(self, function: Function, event: Event, error: ThrottledError) -> None:
        delay = min(THROTTLED_SECONDS * 2**event.throttles, THROTTLED_MAXIMUM_SECONDS)
        # With a reserved concurrency of 0 AWS sends events to the failure destinations at once.
        if function.reserved_concurrency == 0:
            self._fail(function, event, "RetriesExhausted", None, str(error))
        elif self._is_too_old(function, event, delay):
            self._fail(function, event, "EventAgeExceeded", None, str(error))
        else:
            self._schedule(replace(event, throttles=event.throttles + 1), delay)

    def _is_too_old(self, function: Function, event: Event, delay_seconds: float) -> bool:
        """Say whether the event would be too old at its next attempt. AWS keeps it until then; we do not."""
        age = (self._clock.now() - event.accepted).total_seconds()
        return age + delay_seconds >= function.destination.maximum_age_seconds

    def _fail(
        self, function: Function, event: Event, condition: str, answer: Answer | None, message: str = ""
    ) -> None:
        self._send_record(function.destination.on_failure, function, event, condition, answer)
        if function.destination.dead_letter is not None:
            if answer is not None:
                message = str(json.loads(answer.payload).get("errorMessage", ""))
            attributes = {
                "RequestID": ("String", event.request_id),
                "ErrorCode": ("Number", "200" if answer else "429"),
                "ErrorMessage": ("String", _first_kilobyte(message) or "none"),
            }
            self._send(function.destination.dead_letter, event.payload.decode(), attributes, function)
        self._finish(event)

    def _send_record(
        self, target: str | None, function: Function, event: Event, condition: str, answer: Answer | None
    ) -> None:
        if target is None:
            return
        attempts = event.failures + (condition == "Success")
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": f"{function.arn}:{function.version}",
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "requestPayload": json.loads(event.payload),
        }
        if answer is not None:
            context: dict[str, Any] = {"statusCode": 200, "executedVersion": function.version}
            if answer.function_error is not None:
                context["functionError"] = answer.function_error
            record |= {"responseContext": context, "responsePayload": json.loads(answer.payload or b"null")}
        self._send(target, json.dumps(record), {}, function)

    def _send(
        self, target: str, body: str, attributes: dict[str, tuple[str, str]], function: Function
    ) -> None:
        """Deliver to the SQS queue, SNS topic, function or event bus `target`; a refusal is logged."""
        service = target.split(":")[2]
        typed = {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in attributes.items()}
        try:
            if service == "sqs":
                queue_url = self._clients.get("sqs").get_queue_url(QueueName=target.rsplit(":", 1)[-1])[
                    "QueueUrl"
                ]
                self._clients.get("sqs").send_message(
                    QueueUrl=queue_url, MessageBody=body, MessageAttributes=typed
                )
            elif service == "sns":
                self._clients.get("sns").publish(TopicArn=target, Message=body, MessageAttributes=typed)
            elif service == "lambda":
                self._clients.get("lambda").invoke(FunctionName=target, InvocationType="Event", Payload=body)
            elif service == "events":
                self._put_event(target, body, function)
            else:
                _LOG.error("%s: a destination in %s is not supported: %s", function.name, service, target)
        except (BotoCoreError, ClientError):
            _LOG.exception("%s: the destination %s refused", function.name, target)

    def _put_event(self, bus: str, body: str, function: Function) -> None:
        condition = json.loads(body)["requestContext"]["condition"]
        outcome = "Success" if condition == "Success" else "Failure"
        entry = {
            "Source": "lambda",
            "DetailType": f"Lambda Function Invocation Result - {outcome}",
            "Detail": body,
            "Resources": [bus, f"{function.arn}:{function.version}"],
            "EventBusName": bus,
        }
        self._clients.get("events").put_events(Entries=[entry])

    def _save(self, event: Event) -> None:
        document = {
            "request_id": event.request_id,
            "function_arn": event.function_arn,
            "payload": event.payload.decode(),
            "accepted": event.accepted.isoformat(),
            "failures": event.failures,
        }
        path = self._path(event)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(document))
        unfinished.replace(path)

    def _path(self, event: Event) -> Path:
        return self._folder / f"{event.request_id}.json"

    def _finish(self, event: Event, *, is_kept: bool = False) -> None:
        if not is_kept:
            self._path(event).unlink(missing_ok=True)
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()


def _load(path: Path) -> Event:
    document = json.loads(path.read_text())
    return Event(
        document["request_id"],
        document["function_arn"],
        document["payload"].encode(),
        datetime.fromisoformat(document["accepted"]),
        document["failures"],
    )


def _first_kilobyte(text: str) -> str:
    return text.encode()[:ERROR_MESSAGE_BYTES].decode(errors="ignore")
