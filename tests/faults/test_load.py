"""Load cases: many files of many data sets, duplicated and shuffled, with and without faults, and killed."""

import functools
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Delivered, current
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from tests.bench.crew import WORKERS, Crew
from tests.bench.faults import Faults
from tests.bench.size import FULL
from tests.bench.table import MemoryTable
from tests.bench.world import Message, Queued, World
from tests.oracle.in_memory import assert_world

from .walks import tell

Record = Callable[[str, object], None]
Drain = Callable[[random.Random | None], None]


@dataclass(frozen=True)
class Size:
    """A share of the whole load: 1,000 objects of 20 data sets."""

    share: float

    @property
    def objects(self) -> int:
        return max(20, round(1_000 * self.share))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(f"set{chr(97 + number)}" for number in range(max(2, round(20 * self.share))))

    @property
    def repeated(self) -> int:
        return round(0.3 * self.objects)

    def __str__(self) -> str:
        return f"{self.objects:,} objects of {len(self.models)} data sets, in memory, on {WORKERS} threads"


WHOLE = Size(1.0 if FULL else 0.04)
SEEDS = 20 if FULL else 2
SLOW = 0.01
"""The share of calls that are on their way long enough for others to go far ahead."""


def flooded(world: World, size: Size, drain: Drain) -> World:
    """Deliver every object, 30 % of them twice, shuffled, in two debounce windows; the second is at hand.

    What the first brought is worked off but for its runs, which are started: they go on beside the deliveries
    of the second. An arrival of the second that came before them would have them wait for it.
    """
    dice, models = random.Random(4), size.models
    world.register()
    events = [
        world.event(f"data/{models[n % len(models)]}/f{n % (size.objects // 2)}.csv", f"rows {n}".encode())
        for n in range(size.objects)
    ]
    events += dice.sample(events, size.repeated)
    dice.shuffle(events)
    half = len(events) // 2
    world.arrivals += [Queued(event, world.now) for event in events[:half]]
    drain(None)
    world.tick(10)
    world.receive(world.arrivals, -1)
    world.arrivals += [Queued(event, world.now) for event in events[half:]]
    return world


def loaded(faults: Faults, size: Size, *, cut: bool = False) -> World:
    """Let sixteen workers take a flood to its end; ``cut`` ends them once half of the models have trained."""
    world = World(faults, models=size.models, quota=1_000)
    crew = Crew(world, faults.seed)
    with world.hooked(), crew.up():
        flooded(world, size, crew.drain)
        if cut:
            crew.drain(until=lambda: len(world.sagemaker.jobs) >= len(size.models) / 2)
            power_cut(world)
        crew.drain()
        world.tick(10)
        world.settle(drain=crew.drain)
    assert crew.most_at_work > WORKERS // 2, crew.most_at_work
    return world


@functools.cache
def undisturbed(size: Size) -> list[tuple[str, str, str]]:
    """The end state of the same flood where nothing happens at the same time, or goes wrong."""
    world = World(models=size.models, quota=1_000)
    flooded(world, size, world.drain)
    world.drain()
    world.tick(10)
    world.settle()
    return end_state(world)


def power_cut(world: World) -> None:
    """Lose what only memory held, once all workers are dead: running executions are aborted, jobs fail."""
    world.counts["messages left by the cut"] = len(world.arrivals)
    for execution in world.machine.running():
        world.machine.abort(execution)
        world.count("executions cut off")
    for name in list(world.sagemaker.jobs):
        world.sagemaker.end_job(name, "Failed", "InternalServerError: cut off")


def end_state(world: World) -> list[tuple[str, str, str]]:
    """What counts in the end: which bytes are each model's data, and which of them its champion learned."""
    found = []
    with world.calm():
        for model in world.models:
            champion = world.ledger.champions.get(model)
            assert champion is not None, model
            rows = current(world.ledger.objects.of_model(model))
            held = ",".join(f"{row.key}={row.etag}" for row in rows)
            found.append((model, held, world.digests[champion.run_id]))
    return found


def newest(world: World) -> dict[tuple[str, str], str]:
    last = {(model, key): version for model, key, version in sorted(world.delivered)}
    return {place: world.delivered[*place, version] for place, version in last.items()}


@pytest.mark.case("LD-01")
@pytest.mark.case("EV-03")
def test_a_shuffled_flood_ends_with_each_champion_on_the_newest_complete_set(record_property: Record) -> None:
    world = loaded(Faults(slow=SLOW), WHOLE)

    assert_world(world)
    assert end_state(world) == undisturbed(WHOLE)
    assert len(world.sagemaker.jobs) <= 2 * len(WHOLE.models)
    for model in WHOLE.models:
        rows = {(model, row.key): row.etag for row in current(world.ledger.objects.of_model(model))}
        assert rows == {place: etag for place, etag in newest(world).items() if place[0] == model}
        assert sum(name.startswith(f"driftwheel-{model}-") for name in world.sagemaker.jobs) <= 2
    delivered = sum(row.deliveries for model in WHOLE.models for row in world.ledger.objects.of_model(model))
    assert delivered == WHOLE.objects + WHOLE.repeated
    tell(world, record_property)
    record_property("said", str(WHOLE))


@pytest.mark.case("LD-02")
@pytest.mark.case("OP-06")
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_throttling_lost_replies_and_kills_change_no_end_state(seed: int, record_property: Record) -> None:
    world = loaded(Faults(seed=seed, throttled=0.1, lost=0.02, killed=0.02, slow=SLOW), WHOLE)

    assert_world(world)
    assert world.faults.counts["fault throttle"] > WHOLE.objects
    assert end_state(world) == undisturbed(WHOLE)
    tell(world, record_property)
    record_property("said", f"{WHOLE}, seeds 1 to {SEEDS}")


@pytest.mark.case("LD-11")
@pytest.mark.case("OP-05")
def test_a_power_cut_at_the_peak_costs_at_most_the_trainings_in_flight(record_property: Record) -> None:
    cut = loaded(Faults(slow=SLOW), WHOLE, cut=True)

    assert cut.counts["executions cut off"] >= len(WHOLE.models) / 4
    assert cut.counts["messages left by the cut"] > WHOLE.objects / 4
    assert cut.faults.counts["power cut"] > 0, "workers died in the middle of a step"
    assert_world(cut)
    assert end_state(cut) == undisturbed(WHOLE)
    failed = sum(job["TrainingJobStatus"] == "Failed" for job in cut.sagemaker.jobs.values())
    assert len(cut.sagemaker.jobs) <= 2 * len(WHOLE.models) + failed
    tell(cut, record_property)
    record_property("said", str(WHOLE))


@pytest.mark.case("EV-02")
def test_sixteen_workers_deliver_everything_once() -> None:
    objects = ObjectLedger(Table(MemoryTable(Faults())))
    dice = random.Random(5)
    versions = [
        Delivered("m", "source", "b", f"data/m/f{n % 40}.csv", f"v{n}", f"e{n}", 1, f"{n:06X}", "now")
        for n in range(WHOLE.objects)
    ]
    deliveries = [*versions, *dice.sample(versions, WHOLE.repeated)]
    dice.shuffle(deliveries)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(objects.deliver, deliveries))

    rows = objects.of_model("m")
    assert len(rows) == WHOLE.objects
    assert sum(row.deliveries for row in rows) == len(deliveries)
    last = {version.key: version.version for version in versions}
    assert {row.key: row.version for row in current(rows)} == last
    assert sum(row.state == "pending" for row in rows) == len(last)


AT_ONCE = 16


@pytest.mark.case("EV-02")
@pytest.mark.parametrize("seed", range(5))
def test_sixteen_triggers_at_once_enter_one_event_and_start_one_run(seed: int) -> None:
    world = World(Faults(seed=seed))
    world.register()
    event = world.drop("parcels", "a.csv", b"1")
    world.arrivals.clear()
    barrier = threading.Barrier(AT_ONCE)

    def trigger(body: Message) -> None:
        barrier.wait(30)
        with world.acting("trigger"):
            world._consider(body)

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for body, seconds in ((event, 6), ({"kind": "tick"}, 1), ({"kind": "tick"}, 0)):
                list(pool.map(trigger, [body] * AT_ONCE))
                world.now += timedelta(seconds=seconds)
    finally:
        sys.setswitchinterval(switching)

    (row,) = world.ledger.objects.of_model("parcels")
    assert (row.state, row.deliveries) == ("pending", AT_ONCE)
    (run,) = world.ledger.runs.of_model("parcels")
    assert list(world.machine.executions) == [f"parcels-{run.run_id}"]
    (start,) = [one for one in world.ledger.decisions.of_model("parcels") if one.outcome == "start"]
    assert start.run_id == run.run_id
    world.settle()
    assert len(world.sagemaker.jobs) == 1
    assert_world(world)


@pytest.mark.case("EV-02")
@pytest.mark.case("SF-12")
@pytest.mark.parametrize(
    "before",
    [(Leases, "acquire"), (Leases, "extend")],
    ids=["before it takes the lease", "before it extends it"],
)
def test_a_slow_trigger_takes_no_lease_for_a_run_that_ended_meanwhile(
    before: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.register()
    world.drop("parcels", "a.csv", b"1")
    world.drain()
    world.now += timedelta(seconds=6)
    called = getattr(*before)

    def slow(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        world.arrivals.append(Queued({"kind": "tick"}, world.now))
        world.drain()  # another trigger starts the run if this one has not yet, and it goes to its end
        assert [run.status for run in world.ledger.runs.of_model("parcels")] == ["promoted"]
        return called(*arguments, **named)

    monkeypatch.setattr(*before, slow)
    world._consider({"kind": "tick"})
    world.drain()

    assert world.ledger.leases.get("parcels") is None
    world.drop("parcels", "b.csv", b"2")
    world.drain()
    world.tick(10)
    world.drain()
    assert [run.status for run in world.ledger.runs.of_model("parcels")] == ["promoted"] * 2
    assert_world(world)
