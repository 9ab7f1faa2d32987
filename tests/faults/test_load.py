"""Load cases: many files of many data sets, duplicated and shuffled, with and without faults, and killed."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from driftwheel.ledger.objects import Delivered, current
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from tests.bench.faults import Faults
from tests.bench.table import MemoryTable
from tests.bench.world import Queued, World
from tests.oracle.in_memory import assert_world

SHARE = float(os.environ.get("CAMPAIGN_LOAD", "0.02"))
OBJECTS, DATASETS = max(20, round(1_000 * SHARE)), max(2, round(20 * SHARE))
SEEDS = int(os.environ.get("CAMPAIGN_LOAD_SEEDS", "2"))
MODELS = tuple(f"set{chr(97 + number)}" for number in range(DATASETS))


def loaded(faults: Faults, *, cut: bool = False) -> World:
    """Deliver every object, 30 % of them twice, shuffled; give the world at rest."""
    dice = random.Random(4)
    world = World(faults, models=MODELS, quota=1_000)
    with world.hooked():
        world.register()
        events = [
            world.event(f"data/{MODELS[n % DATASETS]}/f{n % (OBJECTS // 2)}.csv", f"rows {n}".encode())
            for n in range(OBJECTS)
        ]
        events += dice.sample(events, round(0.3 * OBJECTS))
        dice.shuffle(events)
        world.arrivals += [Queued(event, world.now) for event in events]
        for _ in range(len(events) // 2 if cut else 0):
            world.work(dice)
        if cut:
            power_cut(world)
        world.drain(dice)
        world.tick(10)
        world.settle(dice)
    return world


def power_cut(world: World) -> None:
    """Lose what only memory held: running executions are aborted, jobs fail, messages in flight come back."""
    for execution in world.machine.running():
        world.machine.abort(execution)
    for name in list(world.sagemaker.jobs):
        world.sagemaker.end_job(name, "Failed", "InternalServerError: cut off")


def end_state(world: World) -> list[tuple[str, str, str]]:
    """What counts in the end: which bytes are each model's data, and which of them its champion learned."""
    found = []
    for model in MODELS:
        champion = world.ledger.champions.get(model)
        assert champion is not None, model
        rows = current(world.ledger.objects.of_model(model))
        found.append(
            (model, ",".join(f"{row.key}={row.etag}" for row in rows), world.digests[champion.run_id])
        )
    return found


def newest(world: World) -> dict[tuple[str, str], str]:
    last = {(model, key): version for model, key, version in sorted(world.delivered)}
    return {place: world.delivered[*place, version] for place, version in last.items()}


@pytest.mark.case("EV-03")
def test_a_shuffled_flood_ends_with_each_champion_on_the_newest_complete_set() -> None:
    world = loaded(Faults())

    assert_world(world)
    assert len(world.sagemaker.jobs) <= 2 * DATASETS
    for model in MODELS:
        rows = {(model, row.key): row.etag for row in current(world.ledger.objects.of_model(model))}
        assert rows == {place: etag for place, etag in newest(world).items() if place[0] == model}
    delivered = sum(row.deliveries for model in MODELS for row in world.ledger.objects.of_model(model))
    assert delivered == OBJECTS + round(0.3 * OBJECTS)


@pytest.mark.case("OP-06")
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_throttling_lost_replies_and_kills_change_no_end_state(seed: int) -> None:
    world = loaded(Faults(seed=seed, throttled=0.1, lost=0.02, killed=0.02))

    assert_world(world)
    assert world.faults.counts["fault throttle"] > OBJECTS
    world.faults.throttled = world.faults.lost = 0.0
    assert end_state(world) == end_state(loaded(Faults()))


@pytest.mark.case("OP-05")
def test_a_power_cut_at_the_peak_costs_at_most_the_trainings_in_flight() -> None:
    plain, cut = loaded(Faults()), loaded(Faults(), cut=True)

    assert_world(cut)
    assert end_state(cut) == end_state(plain)
    failed = sum(job["TrainingJobStatus"] == "Failed" for job in cut.sagemaker.jobs.values())
    assert len(cut.sagemaker.jobs) <= len(plain.sagemaker.jobs) + failed + DATASETS


@pytest.mark.case("EV-02")
def test_sixteen_workers_deliver_everything_once() -> None:
    objects = ObjectLedger(Table(MemoryTable(Faults())))
    dice = random.Random(5)
    versions = [
        Delivered("m", "source", "b", f"data/m/f{n % 40}.csv", f"v{n}", f"e{n}", 1, f"{n:06X}", "now")
        for n in range(OBJECTS)
    ]
    deliveries = [*versions, *dice.sample(versions, round(0.3 * OBJECTS))]
    dice.shuffle(deliveries)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(objects.deliver, deliveries))

    rows = objects.of_model("m")
    assert len(rows) == OBJECTS
    assert sum(row.deliveries for row in rows) == len(deliveries)
    last = {version.key: version.version for version in versions}
    assert {row.key: row.version for row in current(rows)} == last
    assert sum(row.state == "pending" for row in rows) == len(last)
