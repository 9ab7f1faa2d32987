"""What may go wrong at each call, drawn from one seed or planned call by call, with the SDK's own retries."""

import random
import threading
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


class Killed(BaseException):
    """When the process ends in the middle, as by kill -9: no handler of ours runs."""


def refused(code: str, operation: str, message: str = "said so") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class Faults:
    """Shares of calls that are throttled, or executed with their answer lost; kills come at the hooks."""

    seed: int = 0
    throttled: float = 0.0
    lost: float = 0.0
    killed: float = 0.0
    plan: dict[str, list[Fault | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    rights: Rights = field(default_factory=Rights)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._lock = threading.RLock()

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
            self.counts[f"{operation}"] += 1
            if fault is not None:
                self.counts[f"fault {fault}"] += 1
            if fault == "limit":
                raise refused("ResourceLimitExceeded", operation)
            if fault == "throttle":
                if attempt == ATTEMPTS - 1:
                    raise refused("ThrottlingException", operation, "Rate exceeded")
                continue
            if fault != "lost":
                return execute()
            try:
                execute()
            except ClientError:
                if attempt == ATTEMPTS - 1:
                    raise
            if attempt == ATTEMPTS - 1:
                raise refused("RequestTimeout", operation, "no answer came")
        raise AssertionError("unreachable")

    def reach(self, point: str) -> None:
        """End the process at a named point, as often as the share says."""
        with self._lock:
            if self.killed and self._dice.random() < self.killed:
                self.counts[f"kill {point}"] += 1
                raise Killed(point)

    def _next(self, operation: str) -> Fault | None:
        with self._lock:
            if self.plan.get(operation):
                return self.plan[operation].pop(0)
            if not self.throttled and not self.lost:
                return None
            drawn = self._dice.random()
        if drawn < self.throttled:
            return "throttle"
        return "lost" if drawn < self.throttled + self.lost else None
