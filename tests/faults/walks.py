"""Random walks over the wheel in memory: drops, duplicates, disorder, kills, aborts, deployments, ticks."""

import random
from collections.abc import Callable

from tests.bench.faults import Faults
from tests.bench.world import Queued, World
from tests.oracle.in_memory import assert_world


def walk(seed: int, steps: int, *, throttled: float = 0.1, lost: float = 0.02, killed: float = 0.02) -> World:
    """Walk so many steps, let everything settle and hold the world to the invariants."""
    dice = random.Random(seed)
    world = World(
        Faults(seed=seed, throttled=throttled, lost=lost, killed=killed), models=("parcels", "flats")
    )
    with world.hooked():
        world.register()
        sent = []
        for _ in range(steps):
            drawn = dice.random()
            if drawn < 0.06:
                body = f"bytes {dice.randrange(6)}{' worse' if dice.random() < 0.1 else ''}"
                key = f"f{dice.randrange(4)}.csv"
                if dice.random() < 0.05:
                    body = ""  # refused and quarantined
                    world.counts["bad files"] += 1
                sent.append(world.drop(dice.choice(world.models), key, body.encode()))
            elif drawn < 0.10 and sent:
                world.arrivals.append(Queued(dice.choice(sent), world.now))
            elif drawn < 0.12:
                dice.shuffle(world.arrivals)
                dice.shuffle(world.callbacks)
            elif drawn < 0.13 and world.callbacks:
                world.callbacks.pop()  # an event that EventBridge lost
            elif drawn < 0.135 and (running := world.machine.running()):
                world.machine.abort(dice.choice(running), dice.choice(["ABORTED", "TIMED_OUT"]))
            elif drawn < 0.14 and world.sagemaker.endpoints:
                world.end_endpoint(dice.choice(list(world.sagemaker.endpoints)), rolled_back=True)
            elif drawn < 0.15:
                world.tick(dice.choice([1, 10, 400]))
            else:
                world.work(dice)
        world.settle(dice)
    assert_world(world)
    return world


def tell(world: World, record_property: Callable[[str, object], None]) -> None:
    """Add what happened to a world to the campaign's counts."""
    faults = world.faults.counts
    kills = sum(count for name, count in faults.items() if name.startswith("kill "))
    told = {
        "deliveries to the trigger and the callback in memory": world.counts["deliveries"],
        "trainings in memory, stood in for": len(world.sagemaker.jobs),
        "faults in memory: call throttled": faults["fault throttle"],
        "faults in memory: answer lost": faults["fault lost"],
        "kills in memory, at hooks": kills,
        "drops of one and the same empty file, in memory": world.counts["bad files"],
    }
    for name, count in told.items():
        record_property(f"count {name}", count)
