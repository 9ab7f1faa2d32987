"""The whole loop through the fault proxy: any call of a function may be refused, late, cut, unanswered."""

import pytest

from tests.bench.size import FULL
from tests.contract.proxy import EXECUTED, FaultProxy, Plan
from tests.loop.conftest import Parcels

from .bench import Bench, file, through
from .conftest import Record, tell

SEEDS = (1, 2) if FULL else (1,)
SHARE = 0.08
FILES = {"a.csv": 1_000, "b.csv": 1_500} if FULL else {"a.csv": 1_000}


@pytest.mark.case("SF-14")
@pytest.mark.case("SM-11")
@pytest.mark.case("OP-06")
@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_storm_everything_is_as_if_there_had_been_none(
    tmp_path_factory: pytest.TempPathFactory, seed: int, record_property: Record
) -> None:
    with FaultProxy() as proxy:
        bench = Bench(tmp_path_factory.mktemp("storm"), through(proxy.url))
        bench.up()
        try:
            proxy.target = bench.state["endpoint_url"]
            model = bench.model()
            storm = proxy.plan = Plan(seed=seed, share=SHARE)
            for name, rows in FILES.items():
                body = file(Parcels(), rows)
                bench.drop(f"data/{model}/{name}", body)
                bench.drop(f"data/{model}/bad-{name}", body.replace(b",", b";"))
                bench.settle(pending=False)
            proxy.plan = Plan()
            bench.repeated = sum(storm.injected["sns.Publish", kind] for kind in EXECUTED)

            bench.recover([model])

            bench.judge()
            runs = len(bench.all_runs())
            tell(record_property, bench.counted(model))
            rows = bench.ledger.objects.of_model(model)
            states = {row.key.rpartition("/")[2]: row.state for row in rows}
            assert states == {
                place: state
                for name in FILES
                for place, state in ((name, "used"), (f"bad-{name}", "quarantined"))
            }, (rows, bench.all_runs())
            assert bench.champion(model)
        finally:
            bench.stop()
    for (_, kind), count in storm.injected.items():
        record_property(f"count faults on the wire: {kind}", count)
    record_property("count runs of the loop in a storm", runs)
    record_property("count drops of files with a wrong delimiter, in storms", len(FILES))
    record_property("said", f"{sum(storm.injected.values()):,} of {sum(storm.calls.values()):,} calls harmed")
    assert sum(storm.injected.values()) > 10
