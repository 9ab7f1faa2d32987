"""Writing down what a request changed, once, before the request is answered."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Touched = TypeVar("Touched", bound=Hashable)


class Changes(Generic[Touched]):
    """One request at a time changes a service; what it touched is written when its outermost scope ends.

    The lock is needed on its own account: moto checks conditions (If-None-Match, ConditionExpression) and
    changes its dictionaries without any, so two conditional writers could both win. What is written is
    the state after the change, not the call: a rolled back transaction leaves no trace.
    """

    def __init__(self, write: Callable[[Touched], None]) -> None:
        self._write = write
        self._lock = threading.RLock()
        self._depth = 0
        self._touched: dict[Touched, None] = {}

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Hold the service; scopes nest within a thread."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    touched, self._touched = self._touched, {}
                    for one in touched:
                        self._write(one)

    def touch(self, one: Touched) -> None:
        """Remember, inside a scope, that this must be written down."""
        self._touched[one] = None
