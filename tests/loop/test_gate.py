"""The gate's four answers, each to a model that was really trained: worse, equal, hardly better, better."""

import re
from collections.abc import Iterator

import pytest

from driftwheel.ledger.runs import RunRow

from .conftest import SPEC, Loop, Parcels

HARDLY = SPEC.replace("floor: 0.6,", "floor: 0.55, minimum_gain: 0.4,").replace(", slices: [depot]", "")
BOTH = re.compile(r"auc (0\.\d{4}) against the champion's (0\.\d{4}) on the same (\d+) rows: gain")


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("gate"))
    loop.up()
    yield loop
    loop.down()


@pytest.mark.case("DE-01")
def test_only_a_model_that_is_surely_better_by_the_minimum_becomes_champion(loop: Loop) -> None:
    parcels, runs = Parcels(), list[RunRow]()

    def drop(name: str, rows: list[dict[str, object]]) -> tuple[str, float, float, int]:
        """Give how the run on a file ended: its status, both models' AUC and on how many rows."""
        loop.drop(f"data/parcels/{name}.csv", parcels.csv(rows))
        runs.append(loop.ended(len(runs) + 1))
        found = BOTH.search(runs[-1].outcome)
        return runs[-1].status, *((float(found[1]), float(found[2]), int(found[3])) if found else (0, 0, 0))

    loop.drop("models/parcels/model.yaml", HARDLY.encode())
    # The latest rows judge: they are right, what comes before them is nearly noise.
    assert drop("noisy", parcels.rows(2_400, flipped=0.45) + parcels.rows(600))[0] == "promoted"
    first = loop.ledger.champions.get("parcels")

    status, worse, champion, rows = drop("shuffled", parcels.rows(4_000, shuffled=True))
    assert (status, worse < champion, rows >= 100) == ("rejected", True, True), runs[-1].outcome

    status, equal, same, again = drop("few", parcels.rows(3))
    assert (status, same, again) == ("rejected", champion, rows), runs[-1].outcome
    assert abs(equal - champion) < 0.05

    status, better, same, again = drop("clean", parcels.rows(6_000))
    assert (status, same, again) == ("rejected", champion, rows), runs[-1].outcome
    assert champion + 0.03 < better < champion + 0.4
    assert "not surely above 0.4" in runs[-1].outcome
    assert loop.ledger.champions.get("parcels") == first

    loop.drop("models/parcels/model.yaml", HARDLY.replace("minimum_gain: 0.4", "minimum_gain: 0.01").encode())
    status, *_ = drop("more", parcels.rows(3))
    assert status == "promoted", runs[-1].outcome
    champion_now = loop.ledger.champions.get("parcels")
    assert champion_now is not None
    assert (champion_now.sequence, champion_now.run_id) == (2, runs[-1].run_id)
