"""A file larger than one part: S3 tells of it once, and one run learns it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import SPEC, Loop, Parcels

MEGABYTES = 9  # boto3 cuts files into parts of eight


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("large"))
    loop.up()
    yield loop
    loop.down()


def test_a_large_file_uploaded_in_parts_is_one_object_and_one_run(
    roomy: Loop, parcels: Parcels, tmp_path: Path
) -> None:
    path = tmp_path / "large.csv"
    sample = parcels.rows(4_000)
    lines = [",".join(map(str, list(row.values())[1:])) for row in sample]
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join(sample[0]) + "\n")
        number = 0
        while stream.tell() < MEGABYTES << 20:
            stream.writelines(f"k{number + n},{line}\n" for n, line in enumerate(lines))
            number += len(lines)
    roomy.drop("models/parcels/model.yaml", SPEC.replace("rounds: 40", "rounds: 5").encode())

    roomy.client("s3").upload_file(str(path), roomy.names["landing_bucket"], "data/parcels/large.csv")
    run = roomy.ended(1, seconds=180)

    assert run.status == "promoted", run.outcome
    head = roomy.client("s3").head_object(Bucket=roomy.names["landing_bucket"], Key="data/parcels/large.csv")
    assert "-" in head["ETag"]  # made of parts
    (row,) = roomy.ledger.objects.of_model("parcels")
    assert (row.state, row.deliveries) == ("used", 1)
    assert len(roomy.runs()) == 1
    assert len(roomy.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]) == 1
