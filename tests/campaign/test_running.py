"""The running stack: ``kill -9`` at every hook and step, at each stage of a model; load while it moves."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config

from driftwheel_cli.main import cli
from tests.loop.conftest import Parcels

from .bench import Bench, file
from .build import POINTS, STEPS
from .clients import Load, Prober
from .conftest import FULL

Record = Callable[[str, object], None]
EVERY = (*POINTS, *(f"end_{step}" for step in STEPS))
AIMS = EVERY if FULL else ("after_create_job",)
CUTS = POINTS if FULL else ()
CLIENTS = (1, 2, 4, 8, 16) if FULL else (2,)
QUIET_SECONDS = 10.0 if FULL else 1.0
SWAPS = 2 if FULL else 1
"""Deployments per number of clients: ten in all."""
MOST_TIMES_SLOWER = 3


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("kills"))
    bench.up()
    yield bench
    bench.down()


def test_the_matrix_has_every_named_point() -> None:
    assert len(POINTS) == 7
    assert len(set(EVERY)) == len(POINTS) + len(STEPS)


@pytest.mark.case("SF-11")
@pytest.mark.case("SF-08")
@pytest.mark.case("EV-09")
@pytest.mark.case("DE-07")
@pytest.mark.parametrize("point", AIMS)
def test_a_function_that_is_killed_there_costs_a_retry_and_nothing_else(
    bench: Bench, point: str, record_property: Record
) -> None:
    parcels, model = Parcels(), bench.model()
    bench.wrong_answers = 0

    bench.aim(point)
    bench.drop(f"data/{model}/a.csv", file(parcels))
    bench.until(lambda: bench.hit(point), 120, f"{point} of the first champion")
    bench.settle()
    bench.judge()
    first = bench.champion(model)

    bench.aim(point)
    with Prober(bench, first) as prober:
        bench.drop(f"data/{model}/b.csv", file(parcels, 1_500))
        bench.until(lambda: bench.hit(point), 120, f"{point} of the challenger")
        bench.settle()
    bench.wrong_answers = prober.failures.total() + prober.wrong()

    runs = bench.ledger.runs.of_model(model)
    assert {row.state for row in bench.ledger.objects.of_model(model)} == {"used"}, runs
    assert bench.champion(model).sequence == 2, runs
    record_property("count kill -9 of a function", 2)
    record_property("count requests while a challenger was killed or swapped in", prober.asked)
    record_property("count of these requests failed or answered wrongly", bench.wrong_answers)


@pytest.fixture(scope="module")
def twice_promoted(bench: Bench) -> str:
    """A model with a champion and one to go back to: the last one of the crash matrix, if there was one."""
    if bench.newest and (last := bench.ledger.champions.get(bench.newest[0])) and last.sequence > 1:
        return bench.newest[0]
    parcels, model = Parcels(), bench.model()
    for sequence, rows in ((1, 1_000), (2, 1_500)):
        bench.drop(f"data/{model}/{sequence}.csv", file(parcels, rows))
        bench.settle()
        assert bench.champion(model).sequence == sequence
    return model


def swap(bench: Bench, model: str) -> None:
    """Bring the other champion back, as a person would."""
    before = bench.champion(model).sequence
    cli.main(
        ["--local", str(bench.root / "stack"), "rollback", model, "--reason", "load"], standalone_mode=False
    )
    assert bench.champion(model).sequence == before + 1


@pytest.mark.case("LD-07")
@pytest.mark.parametrize("clients", CLIENTS)
def test_no_request_fails_and_each_is_captured_while_the_model_is_exchanged(
    bench: Bench, twice_promoted: str, clients: int, record_property: Callable[[str, object], None]
) -> None:
    champion = bench.champion(twice_promoted)
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=bench.state["endpoint_url"],
        region_name=bench.state["region"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=clients),
    )
    load = Load(runtime, champion.endpoint, bench.probe(champion).body(), f"ld07-{clients}")
    stop = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(load.run, stop, client) for client in range(clients)]
        try:
            began = time.monotonic()
            time.sleep(QUIET_SECONDS)
            swapped = time.monotonic()
            for _ in range(SWAPS):
                swap(bench, twice_promoted)
            ended = time.monotonic()
        finally:
            stop.set()
        for one in running:
            one.result()

    assert load.failures == []
    captured = f"capture/{twice_promoted}/"
    bench.until(lambda: bench.captured(load.name, captured) >= len(load.seconds), 30, "all is captured")
    assert bench.captured(load.name, captured) == len(load.seconds)
    quiet, busy = load.slowest_percent(began, swapped), load.slowest_percent(swapped, ended)
    record_property("count requests while models were exchanged under load", len(load.seconds))
    record_property("count of these requests failed", len(load.failures))
    record_property("count deployments under load", SWAPS)
    record_property(
        "said",
        f"{clients} clients, {ended - began:.0f} s: {len(load.seconds):,} requests, 0 failed, all captured, "
        f"p99 {quiet * 1000:.0f} ms quiet, {busy * 1000:.0f} ms during {SWAPS} deployments",
    )
    if FULL:
        assert busy <= MOST_TIMES_SLOWER * quiet


if CUTS:  # an empty list of cases would be a skip

    @pytest.mark.case("OP-05")
    @pytest.mark.case("LD-11")
    @pytest.mark.parametrize("point", CUTS)
    def test_a_power_cut_there_is_recovered_from(bench: Bench, point: str, record_property: Record) -> None:
        parcels, model = Parcels(), bench.model()
        bench.drop(f"data/{model}/a.csv", file(parcels))
        bench.settle()
        first = bench.champion(model)

        bench.aim(point, "stack")
        bench.drop(f"data/{model}/b.csv", file(parcels, 1_500))
        bench.until(lambda: not bench.is_up(), 120, f"{point} ends the stack")
        bench.kill()
        bench.up()

        bench.settle()
        assert bench.champion(model).sequence >= first.sequence
        assert {row.state for row in bench.ledger.objects.of_model(model)} <= {"used", "rejected"}
        record_property("count kill -9 of the whole stack", 1)
