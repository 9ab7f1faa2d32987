"""Files as people really have them: each is read, or refused by a documented code, never by a traceback."""

import csv
import gzip
import random
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from driftwheel.sources.refusal import CODES
from driftwheel_cli import profile_command
from driftwheel_cli.main import cli

LINES = ["id,weight,late", *(f"r{n},{n}.5,{n % 2}" for n in range(300)), ""]
TEXT = "\n".join(LINES)
NOISE = bytes(random.Random(5).randrange(1, 256) for _ in range(50_000))


def profiled(tmp_path: Path, name: str, content: bytes) -> Result:
    path = tmp_path / name
    path.write_bytes(content)
    return CliRunner().invoke(cli, ["profile", str(path), "-o", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("noise.csv", NOISE, "encoding"),
        ("twice.csv", b"weight,weight\n1,2\n", "duplicate-column"),
        ("case.csv", b"Weight,weight\n1,2\n", "duplicate-column"),
        ("case.jsonl", b'{"Weight": 1, "weight": 2}\n', "duplicate-column"),
        ("cut.csv.gz", gzip.compress(TEXT.encode())[:-40], "corrupt"),
        ("cut-late.csv.gz", gzip.compress(TEXT.encode() * 400)[:-40], "corrupt"),
        ("utf16.csv", TEXT.encode("utf-16"), "encoding"),
        ("utf16le.csv", TEXT.encode("utf-16-le"), "encoding"),
        ("latin.csv", "größe,late\n1,2\n".encode("latin-1"), "encoding"),
        ("book.xlsx", b"PK\x03\x04" + NOISE, "format-mismatch"),
        ("array.json", b'[{"a": 1}]', "format-mismatch"),
        ("lists.jsonl", b"{\n[1]\n", "json-invalid"),
        ("blank.csv", b"\n \n", "empty-file"),
        ("unnamed.csv", b",,\n1,2,3\n", "header-only"),
        ("quote.csv", b'"' + b"x" * 200_000, "header-only"),
    ],
)
def test_a_broken_file_is_refused_by_a_documented_code(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    result = profiled(tmp_path, name, content)

    assert result.exit_code == 1, result.output
    assert result.stderr.startswith(f"driftwheel: {code}: "), result.stderr
    assert name in result.stderr
    assert code in CODES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("returns.csv", TEXT.replace("\n", "\r").encode()),
        ("mixed.csv", TEXT.replace("\n", "\r\n", 30).encode()),
        ("marked.csv", TEXT.encode("utf-8-sig")),
        (
            "lists.jsonl",
            b'{"id": "a", "w": 1, "late": 1}\n[1]\n"w"\n7\n' + b'{"id": "b", "w": 2, "late": 0}\n' * 9,
        ),
    ],
)
def test_an_odd_file_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    result = profiled(tmp_path, name, content)

    assert result.exit_code == 0, result.output
    assert "target late" in result.stdout


@pytest.mark.parametrize(
    "error", [EOFError("ended early"), csv.Error("NUL"), duckdb.CatalogException("exists\n\nmore")]
)
def test_what_reading_a_file_may_raise_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(profile_command, "load_spec", fail)

    result = profiled(tmp_path, "fine.csv", TEXT.encode())

    assert result.exit_code == 1
    assert (
        result.stderr.splitlines()[-1] == f"driftwheel: a file cannot be read: {str(error).splitlines()[0]}"
    )
