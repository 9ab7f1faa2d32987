"""What may go wrong at each call, drawn from one seed or planned call by call, with the SDK's own retries."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import ClientError

from tests.security.boundary import xform_back

from .rights import Rights

Fault = Literal["throttle", "lost", "limit"]
ATTEMPTS = 3
"""Of boto3's standard mode, in which Lambda's SDK runs."""
SLOW_SECONDS = (0.002, 0.02, 0.1)
"""How long a slow request is on its way: a few steps of the other workers, or most of a run."""


class Killed(BaseException):
    """When the process ends in the middle, as by kill -9: no handler of ours runs."""


def refused(code: str, operation: str, message: str = "said so") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class Faults:
    """Shares of calls that are throttled, or executed with their answer lost; kills come at the hooks.

    A share of the calls may be slow, which matters only where others are at work meanwhile. A power cut ends
    whatever is at work at its next call.
    """

    seed: int = 0
    throttled: float = 0.0
    lost: float = 0.0
    killed: float = 0.0
    slow: float = 0.0
    plan: dict[str, list[Fault | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    rights: Rights = field(default_factory=Rights)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._lock = threading.RLock()
        self._powered = threading.local()
        self.cuts = 0
        self.cut_when: Callable[[], bool] | None = None

    def call(self, operation: str, execute: Callable[[], Any], service: str, **request: Any) -> Any:
        """Carry a call out as the SDK would: throttled and lost attempts are made again, others not.

        Raises what AWS answers to a role that has no right to ask so.
        """
        called = xform_back(operation) if "_" in operation else operation
        self.rights.judge(service, called, request)
        if service == "sagemaker" and called.startswith("List"):
            self.counts[f"listed by {self.rights.acting or 'a stand-in'}"] += 1
        for attempt in range(ATTEMPTS):
            fault = self._next(operation)
            if fault == "limit":
                raise refused("ResourceLimitExceeded", operation)
            if fault == "throttle":
                if attempt == ATTEMPTS - 1:
                    raise refused("ThrottlingException", operation, "Rate exceeded")
                continue
            if fault != "lost":
                answer = execute()
                self._live()
                return answer
            try:
                execute()
            except ClientError:
                if attempt == ATTEMPTS - 1:
                    raise
            if attempt == ATTEMPTS - 1:
                raise refused("RequestTimeout", operation, "no answer came")
        raise AssertionError("unreachable")

    def power_on(self) -> None:
        """Let this thread begin a piece of work, which the next power cut ends."""
        self._powered.since = self.cuts

    def _live(self) -> None:
        """End who is at work since before a power cut: before its call, or before it has the answer."""
        with self._lock:
            if self.cut_when is not None and self.cut_when():
                self.cut_when = None
                self.cuts += 1
            if getattr(self._powered, "since", self.cuts) == self.cuts:
                return
            self.counts["power cut"] += 1
        raise Killed("power cut")

    def reach(self, point: str) -> None:
        """End the process at a named point, as often as the share says."""
        self._live()
        with self._lock:
            if self.killed and self._dice.random() < self.killed:
                self.counts[f"kill {point}"] += 1
                raise Killed(point)

    def _next(self, operation: str) -> Fault | None:
        with self._lock:
            fault = self._drawn(operation)
            self.counts[operation] += 1
            if fault is not None:
                self.counts[f"fault {fault}"] += 1
            pause = self._dice.choice(SLOW_SECONDS) if self.slow and self._dice.random() < self.slow else 0.0
        if pause:
            time.sleep(pause)
        self._live()
        return fault

    def _drawn(self, operation: str) -> Fault | None:
        if self.plan.get(operation):
            return self.plan[operation].pop(0)
        if not self.throttled and not self.lost:
            return None
        drawn = self._dice.random()
        if drawn < self.throttled:
            return "throttle"
        return "lost" if drawn < self.throttled + self.lost else None
