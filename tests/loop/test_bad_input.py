"""Broken files as a person meets them: the real command against a running stack, and what it answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from driftwheel.ledger.champions import ChampionRow
from driftwheel_cli.main import cli

from .conftest import CANARIES, ROOT, SPEC, Loop, Parcels

GOOD = Parcels(next_id=60_000).csv(Parcels(next_id=60_000).rows(300))
HEADER = GOOD.splitlines(keepends=True)[0]


def secrets_in(column: int) -> bytes:
    """The good file with a planted secret in two of three cells of a column of numbers."""
    lines = [line.split(",") for line in GOOD.decode().splitlines()]
    for number, cells in enumerate(lines[1:]):
        cells[column] = CANARIES["data"] if number % 3 else cells[column]
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
    assert CANARIES["data"] not in result.output
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


def test_every_refusal_met_here_is_in_the_table_people_read() -> None:
    documented = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

    for code, _, _ in BROKEN.values():
        assert f"`{code}`" in documented
