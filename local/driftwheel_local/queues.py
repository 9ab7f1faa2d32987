"""SQS event source mappings: Lambda's pollers, which turn messages of a queue into batches for a function.

Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html and services-sqs-errorhandling.html.
"""

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from moto.sqs.exceptions import QueueDoesNotExist, ReceiptHandleIsInvalid
from moto.sqs.models import Message, sqs_backends

from driftwheel_local.clock import Clock
from driftwheel_local.threads import start_daemon
from driftwheel_local.worker_pool import ThrottledError

_LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.25
"""Delayed or returned messages become visible without a signal: look so often. New ones wake the poller."""
DEFAULT_CONCURRENCY = 5
"""Lambda starts with five concurrent batches per mapping; it grows further, this runtime does not."""
BATCH_LIMIT_BYTES = 6_000_000
"""Records of one call, in bytes of JSON: below the 6 MB a synchronous call may carry."""

Invoke = Callable[[str, bytes], tuple[bytes, str | None]]
"""Runs a function by ARN; answers its payload and its function error."""


class MalformedResponseError(ValueError):
    """When a function's answer names failures in a way that makes the whole batch fail."""


class QueuePollers:
    """One poller per enabled mapping, by the mapping's uuid."""

    def __init__(self, invoke: Invoke, clock: Clock) -> None:
        self._invoke = invoke
        self._clock = clock
        self._lock = threading.Lock()
        self._pollers: dict[str, _Poller] = {}
        clock.subscribe(self.wake_all)

    def apply(self, mapping: Any) -> None:
        """Start, change or stop the poller of moto's EventSourceMapping `mapping`."""
        self.stop(mapping.uuid)
        if mapping.enabled:
            with self._lock:
                self._pollers[mapping.uuid] = _Poller(mapping, self._invoke, self._clock)

    def stop(self, uuid: str) -> None:
        """Stop one poller; the batch at hand ends."""
        with self._lock:
            poller = self._pollers.pop(uuid, None)
        if poller is not None:
            poller.close()

    def wake(self, queue_arn: str) -> None:
        """Look at a queue now: a message was added."""
        with self._lock:
            pollers = [one for one in self._pollers.values() if one.queue_arn == queue_arn]
        for poller in pollers:
            poller.wake()

    def wake_all(self) -> None:
        """Look at every queue now: the clock moved."""
        with self._lock:
            pollers = [*self._pollers.values()]
        for poller in pollers:
            poller.wake()

    def close(self) -> None:
        """Stop every poller."""
        for uuid in [*self._pollers]:
            self.stop(uuid)


class _Poller:
    def __init__(self, mapping: Any, invoke: Invoke, clock: Clock) -> None:
        self.queue_arn: str = mapping.event_source_arn
        *_, self._region, self._account, self._queue_name = self.queue_arn.split(":")
        self._function_arn: str = mapping.function_arn
        self._batch_size = int(mapping.batch_size)
        self._window_seconds = float(mapping.max_batch_window or 0)
        self._reports_items = "ReportBatchItemFailures" in (mapping.function_response_types or ())
        self._invoke = invoke
        self._clock = clock
        concurrency = int((mapping.scaling_config or {}).get("MaximumConcurrency", DEFAULT_CONCURRENCY))
        self._places = threading.Semaphore(concurrency)
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix=f"sqs-{self._queue_name}")
        self._changed = threading.Event()
        self._stopped = threading.Event()
        start_daemon(f"sqs-poller-{self._queue_name}", self._poll)

    def wake(self) -> None:
        self._changed.set()

    def close(self) -> None:
        self._stopped.set()
        self._changed.set()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            # First a place, then the messages: a message that must wait stays visible to others.
            self._places.acquire()
            self._changed.clear()
            batch = self._gather()
            if batch:
                self._executor.submit(self._deliver, batch).add_done_callback(self._after)
                continue
            self._places.release()
            self._changed.wait(POLL_SECONDS)
        self._executor.shutdown(wait=False)

    def _gather(self) -> list[Message]:
        """Receive up to a batch; with a window wait for more, from the first message on."""
        if self._stopped.is_set():
            return []
        batch = self._receive(self._batch_size)
        deadline = self._clock.monotonic() + self._window_seconds
        while batch and len(batch) < self._batch_size and not self._stopped.is_set():
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                break
            self._changed.clear()
            more = self._receive(self._batch_size - len(batch))
            batch += more
            if not more:
                self._changed.wait(min(remaining, POLL_SECONDS))
        return batch

    def _receive(self, count: int) -> list[Message]:
        backend = sqs_backends[self._account][self._region]
        try:
            queue: Any = backend.get_queue(self._queue_name)
            received: list[Message] = backend.receive_message(
                self._queue_name, count, 0, queue.visibility_timeout, ["All"]
            )
        except QueueDoesNotExist:
            return []
        return received

    def _deliver(self, batch: list[Message]) -> None:
        try:
            for part in _callable_parts([(message, self._record(message)) for message in batch]):
                self._call(part)
        finally:
            self._places.release()
            self._changed.set()

    def _after(self, delivery: Future[None]) -> None:
        if (error := delivery.exception()) is not None:
            # A fault of the runtime itself; the messages come back after their visibility timeout.
            _LOG.error("a batch of %s failed", self.queue_arn, exc_info=error)

    def _call(self, part: list[tuple[Message, dict[str, Any]]]) -> None:
        """Run the function on one batch and delete what it processed; the rest comes back later."""
        payload = json.dumps({"Records": [record for _, record in part]}).encode()
        try:
            answer, function_error = self._invoke(self._function_arn, payload)
        except (LookupError, ThrottledError) as error:
            _LOG.warning("%s: a batch stays in the queue: %s", self._function_arn, error)
            return
        if function_error is not None:
            return
        failed: set[str] = set()
        if self._reports_items:
            try:
                failed = failed_items(answer, {message.id for message, _ in part})
            except MalformedResponseError as error:
                _LOG.warning("%s: the whole batch failed: %s", self._function_arn, error)
                return
        backend = sqs_backends[self._account][self._region]
        for message, _ in part:
            if message.id not in failed:
                try:
                    backend.delete_message(self._queue_name, str(message.receipt_handle))
                except (QueueDoesNotExist, ReceiptHandleIsInvalid):
                    # Somebody deleted the queue or the message meanwhile: nothing is left to delete.
                    continue

    def _record(self, message: Message) -> dict[str, Any]:
        attributes = {
            "ApproximateReceiveCount": message.approximate_receive_count,
            "SentTimestamp": message.sent_timestamp,
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": message.approximate_first_receive_timestamp,
            "MessageGroupId": message.group_id,
            "MessageDeduplicationId": message.deduplication_id,
            "SequenceNumber": message.sequence_number,
            "AWSTraceHeader": (message.system_attributes.get("AWSTraceHeader") or {}).get("string_value"),
        }
        record = {
            "messageId": message.id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": {name: str(value) for name, value in attributes.items() if value is not None},
            "messageAttributes": {
                name: _attribute(value) for name, value in message.message_attributes.items()
            },
            "md5OfBody": message.body_md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": self._region,
        }
        if message.message_attributes:
            record["md5OfMessageAttributes"] = message.attribute_md5
        return record


def failed_items(answer: bytes, message_ids: set[str]) -> set[str]:
    """Read a partial batch response: the ids that failed.

    Nothing, `{}`, or an empty or null list mean success. Raises MalformedResponseError where AWS takes the
    whole batch as failed: no JSON object, an identifier that is empty, null, misnamed or not in the batch.
    """
    try:
        document = json.loads(answer or b"null")
    except ValueError as error:
        raise MalformedResponseError(f"the response is no JSON: {error}") from error
    if document is None:
        return set()
    if not isinstance(document, dict):
        raise MalformedResponseError(f"the response is a {type(document).__name__}, not an object")
    failures = document.get("batchItemFailures") or []
    if not isinstance(failures, list):
        raise MalformedResponseError("batchItemFailures is no list")
    found: set[str] = set()
    for position, failure in enumerate(failures):
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if identifier not in message_ids:
            raise MalformedResponseError(
                f"batchItemFailures[{position}].itemIdentifier is {identifier!r}, no message of this batch"
            )
        found.add(identifier)
    return found


def _callable_parts(
    batch: list[tuple[Message, dict[str, Any]]],
) -> Iterator[list[tuple[Message, dict[str, Any]]]]:
    part: list[tuple[Message, dict[str, Any]]] = []
    size = 0
    for message, record in batch:
        length = len(json.dumps(record).encode())
        if part and size + length > BATCH_LIMIT_BYTES:
            yield part
            part, size = [], 0
        part.append((message, record))
        size += length
    if part:
        yield part


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    binary = value.get("BinaryValue")
    if isinstance(binary, bytes):
        binary = base64.b64encode(binary).decode()
    shape = {
        "stringValue": value.get("StringValue"),
        "binaryValue": binary,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    return {name: part for name, part in shape.items() if part is not None}
