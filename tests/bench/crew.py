"""Many workers over one world in memory: each takes what can go on and does it beside the others."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from .world import World

WORKERS = 16
SWITCH_SECONDS = 1e-5
"""How long a thread goes on before another may: a request of the bench takes about ten times that."""
LOOK_SECONDS = 0.002
"""How often an idle worker looks whether those at work have left it something."""
QUEUES = {"arrival", "callback"}
Claim = tuple[str, Any]


class Crew:
    """Threads that really run the product's code side by side: its trigger, its steps, its callback.

    What one worker has taken no other takes: a message is with one consumer, an execution is in one state.
    The clock stands while they work, and whoever moves it does so while they rest.
    """

    def __init__(self, world: World, seed: int = 0) -> None:
        self._world = world
        self._dice = [random.Random(f"{seed}/{number}") for number in range(WORKERS)]
        self._changed = threading.Condition()
        self._claimed: set[Claim] = set()
        self._at_work = 0
        self.most_at_work = 0

    @contextmanager
    def up(self) -> Iterator["Crew"]:
        """Let threads take turns as often as this needs."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            yield self
        finally:
            sys.setswitchinterval(before)

    def drain(self, _: random.Random | None = None, *, until: Callable[[], bool] | None = None) -> None:
        """Work until nothing is left, or ``until`` holds: then the power goes, under whatever is at work."""
        faults = self._world.faults
        cuts, faults.cut_when = faults.cuts, until
        together = threading.Barrier(WORKERS)
        with ThreadPoolExecutor(WORKERS) as pool:
            for ended in [pool.submit(self._work, dice, cuts, together) for dice in self._dice]:
                ended.result()

    def _work(self, dice: random.Random, cuts: int, together: threading.Barrier) -> None:
        together.wait()
        while (claim := self._next(dice, cuts)) is not None:
            kind, what = claim
            self._world.faults.power_on()
            try:
                if kind in QUEUES:
                    self._world.hand_over(self._queue(kind), what)
                else:
                    self._world.go_on(kind, what)
                self._world.probe()
            finally:
                with self._changed:
                    self._at_work -= 1
                    if kind not in QUEUES:
                        self._claimed.remove((kind, _name(what)))
                    self._changed.notify()

    def _queue(self, kind: str) -> list[Any]:
        return self._world.arrivals if kind == "arrival" else self._world.callbacks

    def _next(self, dice: random.Random, cuts: int) -> Claim | None:
        """Take something that can go on; None when nothing is left and nobody at work, or at a power cut."""
        with self._changed:
            while True:
                if self._world.faults.cuts > cuts:
                    return None
                claim = self._taken(dice)
                if claim is not None:
                    self._at_work += 1
                    self.most_at_work = max(self.most_at_work, self._at_work)
                    return claim
                if not self._at_work:
                    self._changed.notify_all()
                    return None
                self._changed.wait(LOOK_SECONDS)

    def _taken(self, dice: random.Random) -> Claim | None:
        """Take one of all that can go on; None when nothing can.

        Everybody else waits meanwhile, so a thousand messages are not looked through while most are due.
        """
        world = self._world
        ready, retried = world.at_hand()
        free = [one for one in ready + retried if (one[0], _name(one[1])) not in self._claimed]
        drawn = dice.randrange(max(1, len(free) + len(world.arrivals) + len(world.callbacks)))
        if drawn >= len(free):
            for kind in dice.sample(sorted(QUEUES), 2):
                queue = self._queue(kind)
                first = dice.randrange(max(1, len(queue)))
                for place in (*range(first, len(queue)), *range(first)):
                    if queue[place].due <= world.now:
                        return kind, queue.pop(place)
        if not free:
            return None
        claim = free[drawn] if drawn < len(free) else dice.choice(free)
        self._claimed.add((claim[0], _name(claim[1])))
        return claim


def _name(what: Any) -> Any:
    return getattr(what, "name", what)
