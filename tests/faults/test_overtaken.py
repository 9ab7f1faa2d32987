"""SF-12 on the shipped state machine: a run loses its lease while its own UpdateEndpoint is under way."""

from collections.abc import Callable

import pytest

from driftwheel.ledger.tokens import Tokens
from tests.bench.world import World
from tests.oracle.in_memory import assert_world

ENDPOINT = "driftwheel-parcels"


def go_on_until(world: World, reached: Callable[[], bool]) -> None:
    """Let everything go on but time and the endpoint; what has waited for a retry comes last."""
    while not reached():
        can = [one for one in world.choices() if one[0] != "endpoint"]
        assert can, f"nothing can go on: {[one.state for one in world.machine.running()]}"
        kind, what = can[0]
        if kind in {"arrival", "callback"}:
            world.receive(world.arrivals if kind == "arrival" else world.callbacks, what)
        else:
            world.go_on(kind, what)


def quietly_drop(world: World, name: str) -> None:
    """Drop a file, have it entered, and let its quiet period pass."""
    world.drop("parcels", name, name.encode())
    go_on_until(world, lambda: all(message.due > world.now for message in world.arrivals))
    world.tick(10)


def is_updating(world: World) -> bool:
    return bool(world.sagemaker.endpoints[ENDPOINT]["EndpointStatus"] == "Updating")


def overtaken() -> tuple[World, str, str]:
    """Make a world whose second run lost its lease during its update to a third, which waits to deploy."""
    world = World()
    with world.hooked():
        world.register()
        world.drop("parcels", "one.csv", b"1")
        world.settle()
        quietly_drop(world, "two.csv")
        go_on_until(world, lambda: is_updating(world))
        slow = world.ledger.leases.get("parcels")
        assert slow is not None
        assert world.ledger.leases.extend(slow, now=int(world.now.timestamp()), seconds=0)
        quietly_drop(world, "three.csv")
        go_on_until(world, lambda: len(world.machine.executions) == 3)
        newest = [*world.machine.executions.values()][-1]
        go_on_until(world, lambda: newest.state == "Deployment" and bool(newest.tries))
        world.callbacks.clear()  # nobody has looked since
        newer = world.ledger.leases.get("parcels")
        assert newer is not None
        assert newer.fence == slow.fence + 1
    return world, slow.run_id, newer.run_id


def ends(world: World, slow: str) -> None:
    """Let the overtaken run end, at once: no time passes, the endpoint does nothing more."""
    go_on_until(world, lambda: bool(world.ledger.runs.get("parcels", slow).ended_at))  # type: ignore[union-attr]


@pytest.mark.case("SF-12")
@pytest.mark.case("DE-08")
@pytest.mark.parametrize("heard", ["at once", "late", "never"])
def test_an_overtaken_run_fails_by_name_as_soon_as_anybody_looks_and_its_successor_is_crowned(
    heard: str,
) -> None:
    """Its event comes at once, after its successor's update has begun, or never: then the tick looks."""
    world, slow, newer = overtaken()
    with world.hooked():
        if heard == "never":
            world.tick()
        else:
            world.end_endpoint(ENDPOINT)
        if heard == "late":
            late = world.callbacks.pop()
            go_on_until(world, lambda: is_updating(world))
            world.callbacks.append(late)

        ends(world, slow)

        ended = world.ledger.runs.get("parcels", slow)
        assert ended is not None
        assert ended.status == "failed"
        assert ended.outcome.startswith(f"LeaseLost: run {slow} of parcels (fence 2) lost its lease")
        assert f"it is with run {newer}, fence 3" in ended.outcome
        assert slow not in {wait.run_id for wait in Tokens(world.table).all()}
        world.settle()

    promoted = world.ledger.runs.get("parcels", newer)
    champion = world.ledger.champions.get("parcels")
    assert promoted is not None
    assert champion is not None
    assert (promoted.status, champion.run_id, champion.sequence) == ("promoted", newer, 2)
    assert_world(world)
