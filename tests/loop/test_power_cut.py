"""A power cut while a challenger trains: the champion serves again, and the run comes to its end."""

import re
from collections.abc import Iterator

import pytest

from .conftest import SPEC, Loop, Parcels


@pytest.fixture(scope="module")
def cut_loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("cut"))
    loop.up()
    yield loop
    loop.down()


@pytest.mark.case("OP-05")
def test_a_kill_during_training_loses_nothing(cut_loop: Loop, parcels: Parcels) -> None:
    loop = cut_loop
    slow = SPEC.replace("rounds: 40", "rounds: 300, early_stopping_rounds: 300")
    loop.drop("models/parcels/model.yaml", SPEC.encode())
    loop.drop("data/parcels/a.csv", parcels.csv(parcels.rows(2_000)))
    assert loop.ended(1).status == "promoted"
    champion = loop.ledger.champions.get("parcels")
    loop.drop("models/parcels/model.yaml", slow.encode())
    version = loop.drop("data/parcels/b.csv", parcels.csv(parcels.rows(2_000)))

    def training() -> bool:
        jobs = loop.client("sagemaker").list_training_jobs(StatusEquals="InProgress")
        names = [job["TrainingJobName"] for job in jobs["TrainingJobSummaries"]]
        return bool(names) and loop.client("sagemaker").describe_training_job(TrainingJobName=names[0])[
            "SecondaryStatus"
        ] in {"Training", "Uploading"}

    loop.until(training, 60, "the second training job trains")
    loop.kill()
    loop.up()

    assert loop.ledger.champions.get("parcels") == champion
    loop.until(lambda: _answers(loop, parcels), 60, "the champion answers again")
    loop.until(lambda: loop.object_of(version), 300, "the new file is settled")
    newest, cut = loop.ended(3), loop.runs()[1]
    assert cut.status == "aborted"
    assert re.fullmatch("the execution ended ABORTED.* before it could say why", cut.outcome)
    assert newest.status in {"promoted", "rejected"}, newest.outcome
    row = loop.object_of(version)
    assert row is not None
    assert row.run_id == newest.run_id


def _answers(loop: Loop, parcels: Parcels) -> bool:
    status = loop.client("sagemaker").describe_endpoint(EndpointName=loop.endpoint)["EndpointStatus"]
    return status == "InService" and len(loop.predict(parcels.rows(2), "after")) == 2
