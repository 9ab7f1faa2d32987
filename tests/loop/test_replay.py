"""A refused file comes back after model.yaml was mended: by the real command, against a running stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from driftwheel_cli.main import cli

from .conftest import SPEC, Loop, Parcels

MENDED = SPEC.replace(
    "weight: {type: number, missing: median}",
    'weight: {type: number, missing: median, null_tokens: ["", "not weighed"]}',
)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("replay"))
    loop.up()
    loop.drop("models/parcels/model.yaml", SPEC.encode())
    yield loop
    loop.down()


def call(loop: Loop, *arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["--local", str(loop.folder), *arguments])
    assert result.exit_code == 0, result.output
    return result


def read_by(loop: Loop, run_id: str, key: str) -> dict[str, Any]:
    body = loop.client("s3").get_object(
        Bucket=loop.names["artifact_bucket"], Key=f"runs/parcels/{run_id}/preprocessing/profile.json"
    )["Body"]
    found: dict[str, Any] = next(s for s in json.load(body)["sources"] if s["key"] == key)
    return found


def test_a_refused_file_is_in_the_next_data_set_after_model_yaml_was_mended(
    serving: Loop, tmp_path: Path
) -> None:
    parcels, key = Parcels(), "data/parcels/words.csv"
    serving.drop("data/parcels/good.csv", parcels.csv(parcels.rows(2_000)))
    assert serving.ended(1).status == "promoted"
    rows = parcels.rows(500)
    rows = [row | {"weight": "not weighed"} if n % 5 < 3 else row for n, row in enumerate(rows)]
    version = serving.drop(key, parcels.csv(rows))
    serving.until(lambda: serving.object_of(version), 60, "the file is refused")
    refused = serving.object_of(version)
    assert refused is not None
    assert (refused.state, refused.reason.partition(":")[0]) == ("quarantined", "schema-break")
    serving.ended(2)

    assert "mend model.yaml" in call(serving, "replay", "parcels", "--all").output
    mended = tmp_path / "model.yaml"
    mended.write_text(MENDED, encoding="utf-8")
    call(serving, "register", str(mended))
    assert "1 file returned" in call(serving, "replay", "parcels", "--run", refused.run_id).output
    run = serving.ended(3)

    assert run.kind == "manual"
    source = read_by(serving, run.run_id, key)
    assert (source["rows"], source["rejected"], "refused" in source) == (500, 0, False)
    serving.until(lambda: serving.object_of(version), 30, "the file is settled")
    used = serving.object_of(version)
    assert used is not None
    assert (used.state, used.run_id) == ("used", run.run_id)
    assert "nothing to do" in call(serving, "replay", "parcels", "--all").output
    assert len(serving.runs()) == 3
