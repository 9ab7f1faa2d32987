"""``kill -9`` of the whole running stack at every hook and step, then a start from what it kept."""

from collections.abc import Callable

import pytest
from botocore.exceptions import BotoCoreError

from tests.bench.size import FULL
from tests.loop.conftest import Parcels

from .bench import PATIENCE_SECONDS, Bench, Jumps, file, spec_for
from .build import KILLED_TOGETHER
from .conftest import Record, tell

CUTS = KILLED_TOGETHER if FULL else ()
Cut = Callable[[tuple[str, ...]], tuple[str, Parcels]]


@pytest.fixture(scope="module")
def cut(bench: Bench) -> Cut:
    """Give one model of each kind, with a champion; every cut brings it the next challenger."""
    known: dict[str, tuple[str, Parcels]] = {}

    def of(points: tuple[str, ...]) -> tuple[str, Parcels]:
        spec = spec_for(*points)
        if spec not in known:
            known[spec] = model, parcels = bench.model(spec), Parcels()
            bench.drop(f"data/{model}/first.csv", file(parcels))
            bench.settle()
        bench.newest = [known[spec][0]]
        return known[spec]

    return of


def cut_power(bench: Bench, left: int) -> None:
    """Wait until the stack ends at one of the points, of which so many are then left; start it again.

    Until it ends whatever asks a person hears yes, and time passes: only then does a message come back whose
    function the cut before had ended.
    """
    jumps = Jumps(bench)

    def is_down() -> bool:
        try:
            bench.agree()
            jumps.take()
        except (BotoCoreError, BrokenPipeError, KeyError):  # nobody hears it, or its answer was cut off
            if not bench.is_dark():
                raise
        return not bench.is_up()

    bench.until(is_down, PATIENCE_SECONDS, f"the stack ends, {left} to come")
    bench.kill()
    assert len(bench.still_aimed()) == left
    bench.light()


if CUTS:  # an empty list of cases would be a skip

    @pytest.mark.case("SF-11")
    @pytest.mark.case("OP-05")
    @pytest.mark.case("LD-11")
    @pytest.mark.parametrize("points", CUTS, ids=" and ".join)
    def test_a_power_cut_there_is_recovered_from(
        bench: Bench, cut: Cut, points: tuple[str, ...], record_property: Record
    ) -> None:
        model, parcels = cut(points)
        first, before = bench.champion(model), bench.counted(model)

        bench.aim(*points, at="stack")
        bench.drop(f"data/{model}/{points[0]}.csv", file(parcels))
        for left in reversed(range(len(points))):
            cut_power(bench, left)

        bench.settle()
        assert bench.champion(model).sequence >= first.sequence
        assert {row.state for row in bench.ledger.objects.of_model(model)} <= {"used", "rejected"}
        tell(record_property, bench.counted(model) - before)
        record_property("count kill -9 of the whole stack", len(points))
