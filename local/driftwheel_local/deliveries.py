"""Deliveries to targets: a bounded pool, retries with growing pauses, and dead-letter queues."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.clock import Clock
from driftwheel_local.targets import ClientFor, DeliveryError, Message, queue_url, send

log = logging.getLogger(__name__)

WORKERS = 8
DEFAULT_RETRIES = 185  # EventBridge's and Scheduler's defaults (eb-rule-retry-policy)
DEFAULT_AGE_SECONDS = 86_400
LONGEST_PAUSE_SECONDS = 60.0
DRAIN_SECONDS = 2.0


@dataclass
class Delivery:
    """One thing to bring to one target.

    `payload` makes the text of attempt n (from 1). `attributes` go onto the dead letter, whose body is
    `dead_letter_body`, or else what the last attempt sent.
    """

    target: Mapping[str, Any]
    payload: Callable[[int], str]
    attributes: Mapping[str, str]
    event: Mapping[str, Any] | None = None
    dead_letter_body: str | None = None
    age_seconds: float = 0.0
    attempt: int = 0
    began: float = field(default=0.0, init=False)

    @property
    def retries(self) -> int:
        """Answer how often a failed attempt may be repeated."""
        return int((self.target.get("RetryPolicy") or {}).get("MaximumRetryAttempts", DEFAULT_RETRIES))

    @property
    def longest_age(self) -> float:
        """Answer how many seconds old it may become before it is given up."""
        policy = self.target.get("RetryPolicy") or {}
        return float(policy.get("MaximumEventAgeInSeconds", DEFAULT_AGE_SECONDS))


class Deliveries:
    """The pool that brings deliveries to their targets; order is not kept, as on AWS."""

    def __init__(self, client_for: ClientFor, clock: Clock) -> None:
        self._client_for = client_for
        self._clock = clock
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="delivery")
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._running = 0
        self._retrier = threading.Thread(target=self._retry, name="delivery-retries", daemon=True)
        self._retrier.start()
        clock.subscribe(self._wake)

    def submit(self, delivery: Delivery) -> None:
        """Deliver soon, on the pool."""
        delivery.began = self._clock.monotonic() - delivery.age_seconds
        self._start(delivery)

    def close(self) -> None:
        """Let what is on its way arrive for a moment; write what stays undelivered into the log."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, DRAIN_SECONDS)
            self._stopped.set()
            left = [delivery for _, _, delivery in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for delivery in left:
            self._lost(delivery, "the stack stopped before a retry")
        self._retrier.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, delivery: Delivery) -> None:
        with self._changed:
            if self._stopped.is_set():
                self._lost(delivery, "the stack is stopping")
                return
            self._running += 1
        self._pool.submit(self._work, delivery)

    def _work(self, delivery: Delivery) -> None:
        try:
            self._attempt(delivery)
        except Exception:  # the thread's last line of defence: it is recorded
            log.exception("a delivery to %s broke", delivery.target.get("Arn"))
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _attempt(self, delivery: Delivery) -> None:
        delivery.attempt += 1
        message = Message(delivery.payload(delivery.attempt), self._clock.now(), delivery.event)
        try:
            send(self._client_for, delivery.target, message)
        except DeliveryError as error:
            if self._stopped.is_set():
                self._lost(delivery, f"the stack stopped ({error})")
                return
            exhausted = self._exhausted(delivery) if error.retry else ""
            if exhausted is None:
                pause = min(2.0 ** (delivery.attempt - 1), LONGEST_PAUSE_SECONDS)
                with self._changed:
                    due = self._clock.monotonic() + pause
                    heapq.heappush(self._waiting, (due, next(self._count), delivery))
                    self._changed.notify_all()
            else:
                self._give_up(delivery, message, error, exhausted)

    def _exhausted(self, delivery: Delivery) -> str | None:
        if delivery.attempt > delivery.retries:
            return "MaximumRetryAttempts"
        if self._clock.monotonic() - delivery.began >= delivery.longest_age:
            return "MaximumEventAgeInSeconds"
        return None

    def _give_up(self, delivery: Delivery, message: Message, error: DeliveryError, exhausted: str) -> None:
        attributes = {
            **delivery.attributes,
            "TARGET_ARN": str(delivery.target["Arn"]),
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error) or error.code,
            "RETRY_ATTEMPTS": str(delivery.attempt - 1),
        }
        if exhausted:
            attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        arn = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
        if arn is None:
            log.error("dropped: the target has no dead-letter queue", extra={"fields": attributes})
            return
        body = message.payload if delivery.dead_letter_body is None else delivery.dead_letter_body
        try:
            self._client_for("sqs").send_message(
                QueueUrl=queue_url(self._client_for, arn),
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        except (ClientError, BotoCoreError):
            log.exception("dropped: dead-letter queue %s refused it", arn, extra={"fields": attributes})

    def _lost(self, delivery: Delivery, why: str) -> None:
        fields = {"TARGET_ARN": delivery.target.get("Arn"), **delivery.attributes}
        log.error("undelivered: %s", why, extra={"fields": fields})

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _retry(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                now = self._clock.monotonic()
                due = []
                while self._waiting and self._waiting[0][0] <= now:
                    due.append(heapq.heappop(self._waiting)[2])
                if not due:
                    self._changed.wait(self._waiting[0][0] - now if self._waiting else None)
                    continue
            for delivery in due:
                self._start(delivery)
