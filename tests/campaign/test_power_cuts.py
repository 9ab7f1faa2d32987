"""``kill -9`` of the whole running stack at every hook and step, then a start from what it kept."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError

from tests.loop.conftest import Parcels

from .bench import PATIENCE_SECONDS, Bench, file, spec_for
from .build import PASSED
from .conftest import FULL, Record, tell

CUTS = PASSED if FULL else ()
Cut = Callable[[str], tuple[str, Parcels]]


@pytest.fixture(scope="module")
def cut(bench: Bench) -> Cut:
    """Give one model of each kind, with a champion; every cut brings it the next challenger."""
    known: dict[str, tuple[str, Parcels]] = {}

    def of(point: str) -> tuple[str, Parcels]:
        spec = spec_for(point)
        if spec not in known:
            known[spec] = model, parcels = bench.model(spec), Parcels()
            bench.drop(f"data/{model}/first.csv", file(parcels))
            bench.settle()
        bench.newest = [known[spec][0]]
        return known[spec]

    return of


def is_down(bench: Bench) -> bool:
    """Say yes to what asks a person, as long as there is anybody to hear it."""
    with suppress(BotoCoreError):
        bench.agree()
    return not bench.is_up()


if CUTS:  # an empty list of cases would be a skip

    @pytest.mark.case("SF-11")
    @pytest.mark.case("OP-05")
    @pytest.mark.case("LD-11")
    @pytest.mark.parametrize("point", CUTS)
    def test_a_power_cut_there_is_recovered_from(
        bench: Bench, cut: Cut, point: str, record_property: Record
    ) -> None:
        model, parcels = cut(point)
        first, before = bench.champion(model), bench.counted(model)

        bench.aim(point, at="stack")
        bench.drop(f"data/{model}/{point}.csv", file(parcels))
        bench.until(lambda: is_down(bench), PATIENCE_SECONDS, f"{point} ends the stack")
        bench.kill()
        bench.up()

        bench.settle()
        assert bench.champion(model).sequence >= first.sequence
        assert {row.state for row in bench.ledger.objects.of_model(model)} <= {"used", "rejected"}
        tell(record_property, bench.counted(model) - before)
        record_property("count kill -9 of the whole stack", 1)
