"""The crash matrix in memory: the process ends at each named point, at each time it is reached."""

import itertools
from collections.abc import Callable
from typing import get_args

import pytest

from driftwheel.hooks import Point
from tests.bench.faults import Faults, Killed
from tests.bench.world import ASKING, LARGE, World
from tests.oracle.in_memory import assert_world

POINTS: tuple[str, ...] = get_args(Point)
PATHS = {"plain": "", "large": LARGE, "asking": ASKING}
"""Each way a run may take, as further lines of its model.yaml."""


class Once(Faults):
    """Ends the process at the n-th visit of a point, and again at as many visits after it as told."""

    def aim(self, point: str, visit: int, times: int) -> None:
        self.point, self.visits, self.times = point, itertools.count(1), range(visit, visit + times)

    def reach(self, point: str) -> None:
        if point == self.point and next(self.visits) in self.times:
            self.counts[f"kill {point}"] += 1
            raise Killed(point)


def turned_twice(faults: Faults, more: str = "") -> World:
    """Turn the wheel twice: a first champion, then its successor, with a duplicate and a late version."""
    world = World(faults)
    with world.hooked():
        world.register(more)
        first = world.event("data/parcels/a.csv", b"first")
        world.drop("parcels", "b.csv", b"other")
        world.drain()
        world.tick(10)
        world.drain()
        world.drop("parcels", "a.csv", b"second")
        for late in (first, first):
            world.arrivals.append(type(world.arrivals[0])(late, world.now))
        world.tick(10)
        world.drain()
        world.settle()
    return world


@pytest.mark.case("SF-11")
@pytest.mark.case("EV-09")
@pytest.mark.case("DE-07")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("path", PATHS)
def test_a_process_that_ends_at_any_point_costs_a_retry_and_nothing_else(
    path: str, point: str, record_property: Callable[[str, object], None]
) -> None:
    visits = itertools.count(1)
    while _killed_at(visit := next(visits), point, path):
        pass

    assert visit > 1, f"{point} is never reached"
    record_property("count kills in memory, at hooks", visit - 1)


def _killed_at(visit: int, point: str, path: str) -> bool:
    """Turn the wheel, ended once at that visit, and judge it; False when it did not come by so often."""
    faults = Once()
    faults.aim(point, visit, 1)

    world = turned_twice(faults, PATHS[path])

    assert_world(world)
    champion = world.ledger.champions.get("parcels")
    assert champion is not None
    assert world.sagemaker.serving(champion.endpoint) == champion.model_data_url
    rows = {(row.key, row.etag): row.state for row in world.ledger.objects.of_model("parcels")}
    assert "pending" not in rows.values()
    return faults.counts[f"kill {point}"] == 1


@pytest.mark.case("SF-08")
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_always_ends_there_leaves_nothing_running(point: str) -> None:
    faults = Once()
    faults.aim(point, 1, 6)

    assert_world(turned_twice(faults))


@pytest.mark.case("DE-09")
def test_nothing_that_a_rollback_could_need_is_ever_deleted() -> None:
    world = turned_twice(Faults())

    assert_world(world)
    history = world.ledger.champions.history("parcels")
    assert len(history) == 2
    assert {row.endpoint_config for row in history} <= world.sagemaker.configs.keys()
    assert len(world.sagemaker.models) == len(world.sagemaker.configs) == 2
