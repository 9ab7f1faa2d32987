"""Broken files as a person meets them: the real command against a running stack, and what it answers."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow
from driftwheel.run import Run
from driftwheel_cli.main import cli

from .conftest import CANARIES, ROOT, SPEC, Loop, Parcels

GOOD = Parcels(next_id=60_000).csv(Parcels(next_id=60_000).rows(300))
HEADER = GOOD.splitlines(keepends=True)[0]


def secrets_in(column: int) -> bytes:
    """The good file with a planted secret or address in two of three cells of a column of numbers."""
    lines = [line.split(",") for line in GOOD.decode().splitlines()]
    for number, cells in enumerate(lines[1:]):
        cells[column] = (cells[column], CANARIES["data"], CANARIES["e-mail"])[number % 3]
    return ("\n".join(map(",".join, lines)) + "\n").encode()


BROKEN: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("empty-file", b"", ("has no bytes", "check the export")),
    "header-only": ("header-only", HEADER, ("row 1", "no rows", "check the export")),
    "no-weight": (
        "missing-column",
        GOOD.replace(b"weight", b"wieght", 1),
        ("column weight", "has no column 'weight'", "'wieght'", "Rename it in the file"),
    ),
    "semicolons": (
        "wrong-delimiter",
        GOOD.replace(b",", b";"),
        ("row 1", 'apart by ";"', 'delimiter: ";" in model.yaml'),
    ),
    "utf-16": ("encoding", GOOD.decode().encode("utf-16"), ("row 1", "UTF-16", "as UTF-8")),
    "one-class": (
        "label-single-class",
        GOOD.replace(b"true", b"false"),
        ("column late", "all 300 labelled rows have the label 0", "target.expression"),
    ),
    "secrets": ("schema-break", secrets_in(3), ("column weight", "200 of 300 values are no number")),
}
"""Name of the file → its code, its bytes, and the words a person must read: the place and the remedy."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop, parcels = Loop(tmp_path_factory.mktemp("bad-input")), Parcels()
    loop.up()
    loop.drop("models/parcels/model.yaml", SPEC.encode())
    loop.drop("data/parcels/good.csv", parcels.csv(parcels.rows(2_000)))
    assert loop.ended(1).status == "promoted"
    yield loop
    loop.down()


def champion_of(loop: Loop) -> ChampionRow:
    found = loop.ledger.champions.get("parcels")
    assert found is not None
    return found


def jobs(loop: Loop) -> list[str]:
    found = loop.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return [job["TrainingJobName"] for job in found]


def asked(loop: Loop, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--local", str(loop.folder), *arguments])


@pytest.mark.case("OP-03")
@pytest.mark.case("SE-10")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_by_name_place_and_remedy_and_changes_nothing(
    serving: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, body, words = BROKEN[name]
    file = tmp_path / f"{name}.csv"
    file.write_bytes(body)
    champion, trained = champion_of(serving), jobs(serving)

    monkeypatch.chdir(tmp_path)
    result = asked(serving, "drop", file.name, "--wait", "--timeout", "60")

    assert result.exit_code == 1, result.output
    read = " ".join(result.output.split())
    for word in (f"data/parcels/{name}.csv", "quarantined", *words):
        assert word in read, result.output
    assert not [name for name, planted in CANARIES.items() if planted in result.output]
    rows = serving.ledger.objects.of_key("parcels", f"data/parcels/{name}.csv")
    assert [row.state for row in rows] == ["quarantined"]
    assert rows[0].reason.startswith(f"{code}: ")
    assert champion_of(serving) == champion
    assert jobs(serving) == trained
    status = asked(serving, "status", "parcels")
    assert status.exit_code == 0, status.output
    lines = status.output.splitlines()
    (said,) = [line for line in lines if line.startswith("! parcels: quarantined: ")]
    assert said.startswith(f"! parcels: quarantined: {rows[0].reason}")
    assert "  do: drop it mended; or mend model.yaml, then: driftwheel replay parcels" in lines


@pytest.mark.case("SM-07")
def test_the_shipped_gate_refuses_a_trained_model_that_is_absent_empty_or_cut(serving: Loop) -> None:
    champion, s3 = champion_of(serving), serving.client("s3")
    run = serving.runs()[-1]
    states = serving.client("stepfunctions")
    passed = json.loads(states.describe_execution(executionArn=run.execution_arn)["output"])
    gate = {name: value for name, value in passed.items() if name in Run.model_fields}
    for later in ("evaluation_gate", "deployment", "record_outcome"):
        gate.pop(later, None)
    trained = S3Uri.parse(passed["training_launch"]["model_data_url"])
    whole = s3.get_object(Bucket=trained.bucket, Key=trained.key)["Body"].read()
    versions = len(serving.client("sagemaker").list_model_packages()["ModelPackageSummaryList"])
    function = serving.names["drift_check_function"].replace("drift-check", "evaluation-gate")
    for harm, body in {"absent": None, "empty": b"", "cut": whole[: len(whole) // 2]}.items():
        place = S3Uri(trained.bucket, f"runs/parcels/{run.run_id}/{harm}/model.tar.gz")
        if body is not None:
            s3.put_object(Bucket=place.bucket, Key=place.key, Body=body)
        launched = passed["training_launch"] | {"model_data_url": str(place)}

        answer = serving.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(gate | {"training_launch": launched})
        )

        told = json.load(answer["Payload"])
        assert answer.get("FunctionError"), harm
        assert told["errorType"] == "ArtifactInvalid"
        assert f"{harm}/model.tar.gz" in told["errorMessage"]
        assert ("is missing" if body is None else "cannot be unpacked") in told["errorMessage"]
    assert len(serving.client("sagemaker").list_model_packages()["ModelPackageSummaryList"]) == versions
    assert champion_of(serving) == champion


@pytest.mark.case("DA-24")
@pytest.mark.parametrize(("share", "rows"), [(0.1, 400), (0.3, 2_000)])
def test_a_file_with_flipped_labels_makes_no_champion_and_is_named(
    serving: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, rows: int
) -> None:
    """Twice the rows with a tenth of them wrong would teach a model more than it harms: it should win."""
    champion, trained = champion_of(serving), jobs(serving)
    parcels = Parcels(random.Random(8), 30_000 + int(share * 10_000))
    file = tmp_path / f"flipped-{share:.0%}.csv"
    file.write_bytes(parcels.csv(parcels.rows(rows, flipped=share)))

    monkeypatch.chdir(tmp_path)
    result = asked(serving, "drop", file.name, "--wait", "--timeout", "120")
    reported = asked(serving, "report", "parcels", "--output", "page.html")

    assert result.exit_code == 1, result.output
    assert f"data/parcels/{file.name}" in result.output
    run = serving.runs()[0]
    assert run.status == "rejected", run.outcome
    assert len(jobs(serving)) == len(trained) + 1, "it was really trained"
    assert champion_of(serving) == champion
    assert reported.exit_code == 0, reported.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(word in page for word in (run.run_id, f"data/parcels/{file.name}", "pinned rows", "rejected"))


def test_every_refusal_met_here_is_in_the_table_people_read() -> None:
    documented = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

    for code, _, _ in BROKEN.values():
        assert f"`{code}`" in documented
