"""LD-01, LD-02 and LD-11 on the running stack: a flood undisturbed, disturbed, and killed at its peak."""

import functools
from collections.abc import Callable

import pytest

from driftwheel.digest import digest
from tests.bench.size import SIZE
from tests.contract.proxy import EXECUTED, FaultProxy, Plan

from .bench import Bench, through
from .conftest import Record, tell
from .flood import SMALL, TENTH, WHOLE, End, Size, flood, own_stack, registered

FLOOD = {"": SMALL, "full": TENTH, "whole": WHOLE}[SIZE]
DISTURBED = TENTH if SIZE else SMALL
PATIENCE = 2 * DISTURBED.patience
"""Calls that are tried again take their time."""
SEEDS = range(1, 21 if SIZE == "whole" else 2)
FAULTS = {"throttle": 0.1, "drop": 0.02}
"""Shares of the functions' calls that are throttled, or executed and not answered."""
KILLED = 0.02 if SIZE else 0.1
"""The share of the functions' invocations that end by ``kill -9``: a small flood has fewer than fifty."""
Undisturbed = Callable[[Size], End]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Give the end of a flood that nothing happens to; its stack was judged, and is gone."""

    @functools.cache
    def of(size: Size) -> End:
        with own_stack(tmp_path_factory) as bench:
            newest = flood(bench, registered(bench, size), size)
            bench.settle(size.patience)
            return End.of(bench, newest)

    return of


def power_cut(bench: Bench) -> int:
    """Kill everything once half of the models have a run, start it again; give the trainings in flight."""
    peak = "half of the models have a run"
    bench.until(lambda: len(bench.running()) >= FLOOD.models / 2, FLOOD.patience, peak)
    jobs = bench.client("sagemaker").list_training_jobs(StatusEquals="InProgress", MaxResults=100)
    bench.kill()
    bench.up()
    return len(jobs["TrainingJobSummaries"])


@pytest.mark.case("LD-01")
@pytest.mark.timeout(900 * FLOOD.longer)
def test_a_flood_ends_with_each_champion_on_the_newest_complete_set(
    undisturbed: Undisturbed, record_property: Record
) -> None:
    end = undisturbed(FLOOD)

    end.judge(FLOOD)
    assert end.counts["trainings on the running stack"] <= 2 * FLOOD.models
    tell(record_property, end.counts)
    record_property("said", str(FLOOD))


@pytest.mark.case("LD-01")
@pytest.mark.case("LD-11")
@pytest.mark.timeout(900 * FLOOD.longer)
def test_a_flood_killed_at_its_peak_costs_at_most_the_trainings_in_flight(
    tmp_path_factory: pytest.TempPathFactory, record_property: Record
) -> None:
    with own_stack(tmp_path_factory) as bench:
        newest = flood(bench, registered(bench, FLOOD), FLOOD)
        in_flight = power_cut(bench)
        bench.settle(FLOOD.patience)
        end = End.of(bench, newest)

    end.judge(FLOOD)
    assert end.counts["trainings on the running stack"] <= 2 * FLOOD.models + in_flight
    tell(record_property, end.counts)
    record_property("count kill -9 of the whole stack", 1)
    record_property("said", str(FLOOD))


@pytest.mark.case("LD-02")
@pytest.mark.case("OP-06")
@pytest.mark.timeout(6 * PATIENCE)
@pytest.mark.parametrize("seed", SEEDS)
def test_throttling_lost_replies_and_kills_change_no_end_state(
    undisturbed: Undisturbed,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    record_property: Record,
) -> None:
    calm = undisturbed(DISTURBED)
    with FaultProxy() as proxy, own_stack(tmp_path_factory, through(proxy.url)) as bench:
        proxy.target = bench.state["endpoint_url"]
        models = registered(bench, DISTURBED)
        storm = proxy.plan = Plan(seed=seed, shares=FAULTS)
        bench.doom(seed, KILLED)
        newest = flood(bench, models, DISTURBED)
        bench.settle(PATIENCE, pending=False)
        bench.spare()
        proxy.plan = Plan()
        bench.repeated = sum(storm.injected["sns.Publish", kind] for kind in EXECUTED)
        bench.recover(models)
        bench.settle(PATIENCE)
        end, doomed, runs = End.of(bench, newest), bench.doomed(), len(bench.all_runs())

    end.judge(DISTURBED)
    assert end.registry == calm.registry
    assert end.counts["trainings on the running stack"] <= 2 * DISTURBED.models + doomed["killed"]
    harmed, calls = sum(storm.injected.values()), sum(storm.calls.values())
    assert harmed > 10
    assert doomed["killed"] or seed > 1  # a seed may doom nobody; the first does
    tell(record_property, end.counts)
    for kind in FAULTS:
        count = sum(number for (_, each), number in storm.injected.items() if each == kind)
        record_property(f"count faults on the wire: {kind}", count)
    record_property("count kill -9 of a function by chance", doomed["killed"])
    record_property("count runs of the loop in a disturbed flood", runs)
    said = (
        f"{harmed:,} of {calls:,} calls harmed, {doomed['killed']} of {doomed['invoked']} invocations killed"
    )
    record_property(
        "said", f"{DISTURBED}, seed {seed}: {said}, registry {digest(end.registry)} as undisturbed"
    )
