"""Deliveries to targets: a bounded pool, retries with growing pauses, and dead-letter queues."""

import heapq
import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.clock import Clock
from driftwheel_local.pending import Delivery, PendingDeliveries
from driftwheel_local.targets import ClientFor, DeliveryError, Message, queue_url, send

log = logging.getLogger(__name__)

WORKERS = 8
LONGEST_PAUSE_SECONDS = 60.0
DRAIN_SECONDS = 2.0


class Deliveries:
    """The pool that brings deliveries to their targets; order is not kept, as on AWS.

    What is accepted is in `folder` until it has arrived: at least once, over crashes too.
    """

    def __init__(self, client_for: ClientFor, clock: Clock, folder: Path) -> None:
        self._client_for = client_for
        self._clock = clock
        self._pending = PendingDeliveries(folder)
        self._left = self._pending.load()
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
        """Accept a delivery: written down when this returns, and brought soon, on the pool."""
        delivery.accepted = self._clock.now().isoformat()
        self._pending.put(delivery)
        self._start(delivery)

    def resume(self) -> None:
        """Bring what an earlier stack had accepted; the targets exist again."""
        left, self._left = self._left, []
        for delivery in left:
            self._start(delivery)

    def close(self) -> None:
        """Let what is on its way arrive for a moment; the rest stays in its files and is named in the log."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, DRAIN_SECONDS)
            self._stopped.set()
            left = [delivery for _, _, delivery in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for delivery in left:
            self._kept(delivery, "the stack stopped before a retry")
        self._retrier.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, delivery: Delivery) -> None:
        with self._changed:
            if self._stopped.is_set():
                self._kept(delivery, "the stack is stopping")
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
                self._kept(delivery, f"the stack stopped ({error})")
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
                self._pending.done(delivery)
        else:
            self._pending.done(delivery)

    def _exhausted(self, delivery: Delivery) -> str | None:
        if delivery.attempt > delivery.retries:
            return "MaximumRetryAttempts"
        if delivery.age(self._clock.now()) >= delivery.longest_age:
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

    def _kept(self, delivery: Delivery, why: str) -> None:
        fields = {"TARGET_ARN": delivery.target.get("Arn"), **delivery.attributes}
        log.warning("kept for the next start: %s", why, extra={"fields": fields})

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _retry(self) -> None:
        while True:
            with self._changed:
                if self._stopped.is_set():
                    return
                now = self._clock.monotonic()
                due = []
                while self._waiting and self._waiting[0][0] <= now:
                    due.append(heapq.heappop(self._waiting)[2])
                if not due:
                    self._changed.wait(self._waiting[0][0] - now if self._waiting else None)
                    continue
            for delivery in due:
                self._start(delivery)
