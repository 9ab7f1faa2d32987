"""Warm workers per function, and the limits on how many run at once."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from driftwheel_local.functions import Function
from driftwheel_local.threads import start_daemon
from driftwheel_local.workers import Sandbox, Worker

IDLE_SECONDS = 60.0
"""A worker nobody called for so long is stopped."""
WAIT_SECONDS = 45.0
"""A call waits so long for a place, then it is throttled: boto3 would give up (and repeat it) after 60 s."""
_REAP_SECONDS = 5.0


class ThrottledError(Exception):
    """When a function may not run now: its reserved concurrency is used up, or every worker stays busy."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class WorkerPool:
    """Lend workers, at most `capacity` processes in all; idle ones of other functions make room."""

    def __init__(self, sandbox: Sandbox, capacity: int) -> None:
        self._sandbox = sandbox
        self._capacity = capacity
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._starting = 0
        self._running: Counter[str] = Counter()
        self._closed = threading.Event()
        start_daemon("worker-reaper", self._keep_reaping)

    @contextmanager
    def worker(self, function: Function) -> Iterator[Worker]:
        """Lend a worker of `function`, warm if there is one. Raises ThrottledError."""
        with self._admitted(function):
            worker = self._warm_or_place(function)
            try:
                if worker is None:
                    worker = Worker(function, self._sandbox)
            finally:
                with self._changed:
                    self._starting -= 1
                    if worker is not None:
                        self._busy.add(worker)
                    self._changed.notify_all()
            try:
                yield worker
            finally:
                self._give_back(worker)

    def counts(self) -> tuple[int, int]:
        """Answer (busy, idle)."""
        with self._changed:
            return len(self._busy) + self._starting, len(self._idle)

    def close(self) -> None:
        """Kill every worker; calls that run fail as crashed."""
        self._closed.set()
        with self._changed:
            workers = [*self._idle, *self._busy]
            self._idle.clear()
            self._changed.notify_all()
        for worker in workers:
            worker.close()

    @contextmanager
    def _admitted(self, function: Function) -> Iterator[None]:
        """Count a running call against the function's reserved concurrency, which never queues."""
        with self._changed:
            reserved = function.reserved_concurrency
            if reserved is not None and self._running[function.name] >= reserved:
                raise ThrottledError("Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded")
            self._running[function.name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[function.name] -= 1

    def _warm_or_place(self, function: Function) -> Worker | None:
        """Take a warm worker, or wait for the right to start one (None). Raises ThrottledError."""
        retired: list[Worker] = []
        try:
            return self._take(function, retired)
        finally:
            for old in retired:
                old.close()

    def _take(self, function: Function, retired: list[Worker]) -> Worker | None:
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while True:
                if self._closed.is_set():
                    raise ThrottledError("The local stack is stopping.", "CallerRateLimitExceeded")
                retired += [worker for worker in self._idle if self._is_useless(worker, function)]
                self._idle = [worker for worker in self._idle if worker not in retired]
                # The newest first: the others grow old and are reaped.
                for worker in reversed(self._idle):
                    if worker.function.name == function.name:
                        self._idle.remove(worker)
                        self._starting += 1
                        return worker
                if len(self._busy) + self._starting + len(self._idle) >= self._capacity and self._idle:
                    retired.append(self._idle.pop(0))
                if len(self._busy) + self._starting + len(self._idle) < self._capacity:
                    self._starting += 1
                    return None
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise ThrottledError(
                        f"{function.name} waited {WAIT_SECONDS:.0f} s for one of {self._capacity} workers.",
                        "ConcurrentInvocationLimitExceeded",
                    )
                self._changed.wait(remaining)

    def _is_useless(self, worker: Worker, function: Function) -> bool:
        is_outdated = (
            worker.function.name == function.name and worker.function.fingerprint != function.fingerprint
        )
        return is_outdated or not worker.is_alive

    def _give_back(self, worker: Worker) -> None:
        with self._changed:
            self._busy.discard(worker)
            is_kept = worker.is_alive and not self._closed.is_set()
            if is_kept:
                self._idle.append(worker)
            self._changed.notify_all()
        if not is_kept:
            worker.close()

    def reap(self) -> None:
        """Stop the workers nobody called for IDLE_SECONDS."""
        limit = time.monotonic() - IDLE_SECONDS
        with self._changed:
            retired = [worker for worker in self._idle if worker.idle_since < limit]
            self._idle = [worker for worker in self._idle if worker not in retired]
        for worker in retired:
            worker.close()

    def _keep_reaping(self) -> None:
        while not self._closed.wait(_REAP_SECONDS):
            self.reap()
