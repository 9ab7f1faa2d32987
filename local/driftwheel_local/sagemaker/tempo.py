"""How fast SageMaker may be asked and how soon it shows what it made; as in AWS, where told to be.

https://docs.aws.amazon.com/general/latest/gr/sagemaker.html lists request rates; nothing is said of when a
Describe sees what a Create made, and "not found" has been seen right after it.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from driftwheel_local.sagemaker.jobs import Limits
from driftwheel_local.sagemaker.refusals import Refusal, invalid, not_found

NAMES = {
    "TrainingJob": "TrainingJobName",
    "ProcessingJob": "ProcessingJobName",
    "Model": "ModelName",
    "EndpointConfig": "EndpointConfigName",
    "Endpoint": "EndpointName",
    "ModelPackageGroup": "ModelPackageGroupName",
    "ModelPackage": "ModelPackageName",
}
JOBS = ("TrainingJob", "ProcessingJob")


class Tempo:
    """Holds requests to `limits.calls_per_second` and hides what is younger than `limits.unseen_seconds`."""

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits, self._now = limits, now
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}
        self._made: dict[tuple[str, str], float] = {}

    def admit(self, operation: str, request: Mapping[str, Any]) -> None:
        """Refuse what comes too fast, and the description of what is not to be seen yet."""
        with self._lock:
            self._count(operation)
            verb, noun = _parts(operation)
            made = self._made.get((noun, str(request.get(NAMES.get(noun, "")))))
            if verb == "Describe" and made is not None and self._now() < made + self._limits.unseen_seconds:
                raise not_found() if noun in JOBS else invalid(f"Could not find {noun} to describe.")

    def note(self, operation: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Remember when something was made."""
        verb, noun = _parts(operation)
        if verb != "Create" or noun not in NAMES or not self._limits.unseen_seconds:
            return
        with self._lock:
            if noun == "ModelPackage":  # has no other name; the same client token answers with it again
                self._made.setdefault((noun, str(answer["ModelPackageArn"])), self._now())
            else:
                self._made[noun, str(request[NAMES[noun]])] = self._now()

    def _count(self, operation: str) -> None:
        most, now = self._limits.calls_per_second.get(operation), self._now()
        if most is None:
            return
        calls = self._calls.setdefault(operation, deque())
        while calls and calls[0] <= now - 1:
            calls.popleft()
        if len(calls) >= most:
            raise Refusal("ThrottlingException", "Rate exceeded")
        calls.append(now)


def _parts(operation: str) -> tuple[str, str]:
    for verb in ("Create", "Describe"):
        if operation.startswith(verb):
            return verb, operation.removeprefix(verb)
    return "", operation
