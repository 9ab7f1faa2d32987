"""The running stack: ``kill -9`` at every hook and step, at each stage of a model; load while it moves."""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.bench.size import FULL
from tests.loop.conftest import Parcels

from .bench import PATIENCE_SECONDS, Bench, file, spec_for
from .build import KILLED_TOGETHER, OF_APPROVAL, OF_SPARK, PASSED, POINTS, ROOT, STAGED, STEPS
from .clients import Prober, Span, running
from .conftest import Record, tell

SOURCE = ROOT / "src" / "driftwheel"
AIMS = KILLED_TOGETHER if FULL else (("after_create_job@training_launch",),)
CLIENTS = (1, 2, 4, 8, 16) if FULL else (2,)
QUIET_SECONDS = 2.0 if FULL else 1.0
"""Before each deployment."""
SWAPS = 10 if FULL else 1
"""Deployments for each number of clients."""
MOST_TIMES_SLOWER = 3
COMMAND = Path(sys.executable).with_name("driftwheel")


def test_the_matrix_has_every_point_at_every_stage_that_passes_it() -> None:
    passing = {
        (str(path.relative_to(SOURCE)), point)
        for path in SOURCE.rglob("*.py")
        for point in re.findall(r"\breached\(\"(\w+)\"\)", path.read_text(encoding="utf-8"))
    }
    calls = sum(path.read_text(encoding="utf-8").count("    reached(") for path in SOURCE.rglob("*.py"))
    staged = {(place, point) for place, (point, _, _) in STAGED.items()}
    once = Counter(point for _, point in passing - staged)

    assert calls == len(passing)
    assert {point for _, point in passing} == set(POINTS)
    assert staged <= passing
    assert set(once.values()) == {1}  # a second place needs a name of its own
    assert {each for each in PASSED if not each.startswith("end_")} == once.keys() | {
        f"{point}@{stage}" for point, _, stages in STAGED.values() for stage in stages
    }
    assert set(PASSED) >= OF_SPARK | OF_APPROVAL
    assert sorted(point for points in KILLED_TOGETHER for point in points) == sorted(PASSED)


def test_the_matrix_ends_every_function_a_run_needs() -> None:
    folders = {path.parent.name for path in (SOURCE.parents[1] / "functions").glob("*/app.py")}

    assert folders - set(STEPS) == {"drift_check", "sweep"}  # no run waits for these


@pytest.mark.case("SF-11")
@pytest.mark.case("SF-08")
@pytest.mark.case("EV-09")
@pytest.mark.case("DE-07")
@pytest.mark.parametrize("points", AIMS, ids=" and ".join)
def test_a_function_that_is_killed_there_costs_a_retry_and_nothing_else(
    bench: Bench, points: tuple[str, ...], record_property: Record
) -> None:
    parcels, model = Parcels(), bench.model(spec_for(*points))
    bench.wrong_answers = 0

    bench.aim(*points)
    bench.drop(f"data/{model}/a.csv", file(parcels))
    bench.await_hits(points, "of the first champion")
    bench.settle()
    bench.judge()
    first = bench.champion(model)

    bench.aim(*points)
    with Prober(bench, first) as prober:
        bench.drop(f"data/{model}/b.csv", file(parcels, 1_500))
        bench.await_hits(points, "of the challenger")
        bench.settle()
    bench.wrong_answers = prober.failures.total() + prober.wrong()
    record_property("count requests while a challenger was killed or swapped in", prober.asked)
    record_property(
        "count failed or wrong answers while a challenger was killed or swapped in", bench.wrong_answers
    )

    runs = bench.ledger.runs.of_model(model)
    assert {row.state for row in bench.ledger.objects.of_model(model)} == {"used"}, runs
    assert bench.champion(model).sequence == 2, runs
    tell(record_property, bench.counted(model))
    record_property("count kill -9 of a function", 2 * len(points))


def twice_promoted(bench: Bench) -> str:
    """A model with a champion and one to go back to: one of the crash matrix, if there was one."""
    for spec in bench.ledger.models.all():
        last = bench.ledger.champions.get(spec.model)
        if last and last.sequence > 1:
            return spec.model
    parcels, model = Parcels(), bench.model()
    for sequence, rows in ((1, 1_000), (2, 1_500)):
        bench.drop(f"data/{model}/{sequence}.csv", file(parcels, rows))
        bench.settle()
        assert bench.champion(model).sequence == sequence
    return model


def swap(bench: Bench, model: str) -> Span:
    """Bring the other champion back, as a person would; give when that began and ended.

    In a process of its own: in this one it would hold up the clients while it imports and makes its own.
    """
    before, began = bench.champion(model).sequence, time.monotonic()
    command = [str(COMMAND), "--local", str(bench.folder), "rollback", model, "--reason", "load"]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    assert bench.champion(model).sequence == before + 1
    return began, time.monotonic()


@pytest.mark.case("LD-07")
@pytest.mark.parametrize("clients", CLIENTS)
def test_no_request_fails_and_each_is_captured_while_the_model_is_exchanged(
    bench: Bench, clients: int, record_property: Record
) -> None:
    bench.newest = [model := twice_promoted(bench)]
    champion = bench.champion(model)
    quiet: list[Span] = []
    swaps: list[Span] = []
    with running(bench, champion, clients) as load:
        began = time.monotonic()
        for _ in range(SWAPS):  # in turns: what else the machine does meets both alike
            paused = time.monotonic()
            time.sleep(QUIET_SECONDS)
            quiet.append((paused, time.monotonic()))
            swaps.append(swap(bench, model))
        ended = time.monotonic()

    exchanging, pausing = (len(load.within(spans)) for spans in (swaps, quiet))
    record_property("count requests while models were exchanged under load", exchanging)
    record_property("count requests in the pauses between exchanges", pausing)
    record_property("count failed requests under load, in exchanges and pauses", len(load.failures))
    record_property("count deployments under load", SWAPS)
    assert load.failures == []
    captured = f"capture/{model}/"
    bench.until(lambda: bench.captured(load.name, captured) >= len(load.seconds), 30, "all is captured")
    assert bench.captured(load.name, captured) == len(load.seconds)
    slow_quiet, slow = load.slowest_percent(quiet), load.slowest_percent(swaps)
    record_property(
        "said",
        f"{clients} clients, {ended - began:.0f} s: {len(load.seconds):,} requests, 0 failed, all captured, "
        f"p99 {slow_quiet * 1000:.0f} ms quiet, {slow * 1000:.0f} ms during {SWAPS} deployments",
    )
    if FULL:  # a small seed has too few requests for a slowest percent
        assert slow <= MOST_TIMES_SLOWER * slow_quiet
