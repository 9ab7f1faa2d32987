"""The one source of AWS-visible time, which tests and the demo may move forward."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Real time plus an offset that only grows: scheduled things fire when it is advanced.

    `origin` fixes the first instant (tests); without it the clock starts at the machine's time, plus what an
    earlier clock had `advanced` seconds: AWS-visible time must not go back over a restart.
    """

    def __init__(self, origin: datetime | None = None, *, advanced: float = 0.0) -> None:
        if origin is not None and origin.tzinfo is None:
            raise ValueError(f"Clock origin {origin.isoformat()} has no timezone; pass an aware datetime")
        self._moved = threading.Condition()
        self._advanced = advanced
        self._origin = origin.astimezone(UTC) if origin is not None else None
        self._started = time.monotonic()
        self._listeners: list[Callable[[], None]] = []

    @property
    def advanced(self) -> float:
        """Answer by how many seconds it has been moved forward in all."""
        with self._moved:
            return self._advanced

    def now(self) -> datetime:
        """Answer the present AWS-visible instant, aware, in UTC."""
        with self._moved:
            if self._origin is None:
                return datetime.now(UTC) + timedelta(seconds=self._advanced)
            elapsed = time.monotonic() - self._started
            return self._origin + timedelta(seconds=elapsed + self._advanced)

    def monotonic(self) -> float:
        """Answer seconds that never go back and include every advance; only differences mean anything."""
        with self._moved:
            return time.monotonic() + self._advanced

    def advance(self, seconds: float) -> None:
        """Move time forward by `seconds` and wake everyone who waits on this clock."""
        if seconds < 0:
            raise ValueError(f"Clock cannot go back ({seconds} s)")
        with self._moved:
            self._advanced += seconds
            self._moved.notify_all()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every advance, on the advancing thread (keep it short)."""
        with self._moved:
            self._listeners.append(listener)

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait until `seconds` of this clock have passed or `stop` is set; answer `stop.is_set()`.

        An advance shortens the wait by what it advanced. `stop` is noticed within 50 ms, because an Event
        set elsewhere cannot wake a Condition.
        """
        deadline = self.monotonic() + seconds
        while not stop.is_set():
            with self._moved:
                remaining = deadline - (time.monotonic() + self._advanced)
                if remaining <= 0:
                    return stop.is_set()
                self._moved.wait(min(remaining, 0.05))
        return True
