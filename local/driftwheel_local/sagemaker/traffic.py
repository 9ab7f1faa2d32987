"""How requests spread over fleets and variants: by share and weight, evenly rather than by luck."""

import threading
from collections.abc import Sequence
from typing import TypeVar

from driftwheel_local.sagemaker.hosting import Fleet, Variant

T = TypeVar("T")
# Multiples of the golden ratio modulo 1 fill [0, 1) evenly at every length: 10 % of traffic is one request in
# ten from the start on, which a random choice only approaches.
_GOLDEN = 0.6180339887498949


class EvenSequence:
    """Numbers in [0, 1), thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def next(self) -> float:
        """Answer the next number."""
        with self._lock:
            self._count += 1
            return (self._count * _GOLDEN) % 1.0


class Traffic:
    """The fleets an endpoint routes to, with their shares (which sum to 1)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: tuple[tuple[Fleet, float], ...] = ()
        self._sequence = EvenSequence()

    def route(self, *routes: tuple[Fleet, float]) -> None:
        """Replace the routing; requests already under way finish where they are."""
        with self._lock:
            self._routes = tuple(route for route in routes if route[1] > 0)

    def fleets(self) -> list[Fleet]:
        """Answer the fleets that get traffic."""
        return [fleet for fleet, _ in self._routes]

    def enter(self, target: str | None) -> tuple[Fleet, Variant] | None:
        """Choose a fleet and a variant (the `target` if named) for one request and count it in.

        None when the endpoint routes nowhere or has no such variant. The caller must `leave` the fleet.
        """
        point = self._sequence.next()
        with self._lock:
            if not self._routes:
                return None
            fleet, rest = _choose(self._routes, point)
            if target is None:
                weighted = [(variant, variant.weight) for variant in fleet.variants.values()]
                variant, _ = _choose(weighted, rest)
            elif target in fleet.variants:
                variant = fleet.variants[target]
            else:
                return None
            fleet.enter()
            return fleet, variant


def _choose(options: Sequence[tuple[T, float]], point: float) -> tuple[T, float]:
    """Answer the option whose interval holds `point`, and where in that interval (again in [0, 1))."""
    total = sum(weight for _, weight in options)
    if total <= 0:
        return options[0][0], point
    left = point * total
    for option, weight in options:
        if left < weight:
            return option, left / weight
        left -= weight
    return options[-1][0], 0.0
