"""Random walks over the wheel in memory: drops, duplicates, disorder, kills, aborts, rollbacks, drift."""

import random
from collections.abc import Callable

from driftwheel.drift.finding import Severity
from driftwheel.hours import HOUR
from tests.bench.faults import Faults
from tests.bench.world import Queued, World
from tests.oracle.in_memory import assert_world

OFTEN = "drift: {every_minutes: 5}\n"
"""Each tick of a walk is then a window of its own."""
SEVERITIES: tuple[Severity, ...] = ("major", "major", "minor", "fault", "none", "insufficient_data")


def walk(seed: int, steps: int, *, throttled: float = 0.1, lost: float = 0.02, killed: float = 0.02) -> World:
    """Walk so many steps, let everything settle and hold the world to the invariants."""
    dice = random.Random(seed)
    world = World(
        Faults(seed=seed, throttled=throttled, lost=lost, killed=killed), models=("parcels", "flats")
    )
    with world.hooked():
        world.register(OFTEN)
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
            elif drawn < 0.18:
                world.roll_back(dice.choice(world.models), dice)
            elif drawn < 0.19:
                drift(world, dice)
            else:
                world.work(dice)
        world.settle(dice)
    assert_world(world)
    assert_held(world)
    return world


def assert_held(world: World) -> None:
    """Hold that whoever reads of broken traffic finds its hour on the list, whatever died in between."""
    with world.calm():
        for model in world.models:
            checks = [d for d in world.ledger.decisions.of_model(model, 10_000) if d.step == "drift_check"]
            broken = {check.at[:HOUR] for check in checks if check.outcome == "fault"}
            assert broken <= set(world.ledger.hours.held_names(model)), model
            world.counts["broken hours"] += len(broken)


def listed(world: World) -> set[str]:
    """Name who listed anything in SageMaker: jobs, models, endpoints, tags."""
    return {name for name in world.faults.counts if name.startswith("listed by ")}


def drift(world: World, dice: random.Random) -> None:
    """Let a model's traffic move for two windows of the drift check, whose ticks come twice."""
    world.drift(dice.choice(world.models), dice.choice(SEVERITIES), dice.choice([0, 1_000]))
    for _ in range(2):
        world.tick(400)
        world.check_drift()
        for _ in range(10):
            world.work(dice)


def tell(world: World, record_property: Callable[[str, object], None]) -> None:
    """Add what happened to a world to the campaign's counts."""
    faults = world.faults.counts
    kills = sum(count for name, count in faults.items() if name.startswith("kill "))
    with world.calm():
        runs = [run for model in world.models for run in world.ledger.runs.of_model(model)]
    told = {
        "deliveries to the trigger and the callback in memory": world.counts["deliveries"],
        "trainings in memory, stood in for": len(world.sagemaker.jobs),
        "faults in memory: call throttled": faults["fault throttle"],
        "faults in memory: answer lost": faults["fault lost"],
        "kills in memory, at hooks": kills,
        "drops of one and the same empty file, in memory": world.counts["bad files"],
        "rollbacks by a person, in memory": world.counts["rollbacks"],
        "runs that drift started, in memory": sum(run.kind == "drift" for run in runs),
    }
    for name, count in told.items():
        record_property(f"count {name}", count)
