"""Who acts in memory: what a function's code asks of a stand-in is held to its role, as IAM would.

A right counts as used by what the functions' own tests and the local stack ask, not by what is asked here:
some of it is the stand-ins' own.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from driftwheel_local.permissions.actions import UnmappedOperationError, needs_of
from driftwheel_local.permissions.requests import Call
from tests.security import asked
from tests.security.boundary import FixedFacts, judge_fake
from tests.security.iam import ACCOUNT, REGION

_NAMES = re.compile(r"[0-9a-f]{8,}|\d+")
_ALLOWED: set[tuple[str, ...]] = set()
"""What was judged before, but for numbers and digests: a load case makes a hundred thousand calls."""


class Rights(threading.local):
    """Whose code runs: a function's, by its folder's name; nobody is the test itself, or a person.

    Each thread acts for itself.
    """

    def __init__(self) -> None:
        self._acting = [""]

    @property
    def acting(self) -> str:
        """The function whose code runs now."""
        return self._acting[-1]

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Let a function act, or "" for nobody, until the block ends."""
        self._acting.append(step)
        try:
            yield
        finally:
            self._acting.pop()

    def judge(self, service: str, operation: str, request: dict[str, Any]) -> None:
        """Hold a call to who acts; raises ClientError as AWS does."""
        step = self.acting
        if not step:
            return
        try:
            needs = needs_of(Call(service, operation, request, REGION), ACCOUNT, FixedFacts())
        except UnmappedOperationError:
            judge_fake(step, service, operation, request, asked.note_denial)
            raise
        keys = {
            (step, need.action, _NAMES.sub("#", need.resource), *map(str, need.context.values()))
            for need in needs
        }
        if not keys <= _ALLOWED:
            judge_fake(step, service, operation, request, asked.note_denial)
            _ALLOWED.update(keys)
