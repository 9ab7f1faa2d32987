"""Waits that an outcome, an abort or a moved clock ends at once."""

import threading
from collections.abc import Callable

from driftwheel_local.clock import Clock


class Waits:
    """One bell for every waiting thread: whoever changes something a wait looks at rings it.

    `Clock.wait` polls every 50 ms, which would add up over the dozen states of a run; this does not poll.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bell = threading.Condition()
        clock.subscribe(self.ring)

    def ring(self) -> None:
        """Make every waiting thread look again."""
        with self._bell:
            self._bell.notify_all()

    def until(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `done()` or until `seconds` of the clock are over (None: for ever); answer `done()`."""
        deadline = None if seconds is None else self._clock.monotonic() + seconds
        with self._bell:
            while not done():
                remaining = None if deadline is None else deadline - self._clock.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                self._bell.wait(remaining)
            return True
