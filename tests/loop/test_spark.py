"""A data set larger than its model declares goes through Spark to a champion; the rows are DuckDB's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.spec import load_spec
from tests.security.iam import VPC

from .conftest import SPEC, Loop, Parcels

SPARK = SPEC + "preprocessing: {spark_above_gb: 0.00001, max_runtime_seconds: 86400}\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("spark"), vpc=VPC)
    loop.up()
    yield loop
    loop.down()


def test_a_large_data_set_becomes_a_champion_through_the_spark_job(
    stack: Loop, parcels: Parcels, tmp_path: Path
) -> None:
    rows = parcels.rows(1_500)
    rows[7]["weight"] = "much"
    dropped = {"data/parcels/a.csv": parcels.csv(rows[:900]), "data/parcels/b.csv": parcels.csv(rows[900:])}
    stack.drop("models/parcels/model.yaml", SPARK.encode())
    for key, body in dropped.items():
        stack.drop(key, body)

    run = stack.ended(1, seconds=300)

    assert run.status == "promoted", run.outcome
    job = stack.client("sagemaker").describe_processing_job(
        ProcessingJobName=f"driftwheel-parcels-{run.run_id}"
    )
    assert job["ProcessingJobStatus"] == "Completed"
    files = []
    for n, (key, body) in enumerate(dropped.items()):
        path = tmp_path / str(n)
        path.write_bytes(body)
        files.append(DataFile("source", key, path))
    expected = prepare(load_spec(SPARK), Inputs(files=files), tmp_path, memory_mb=300)
    record = stack.client("s3").get_object(
        Bucket=stack.names["artifact_bucket"], Key=f"runs/parcels/{run.run_id}/run.json"
    )
    section = json.load(record["Body"])["preprocessing"]
    assert (section["data_digest"], section["holdout_digest"], section["rows"]) == (
        expected.data_digest,
        expected.holdout_digest,
        expected.rows,
    )
    assert all(0 < score < 1 for score in stack.predict(parcels.rows(3), "hello"))
