"""The mess a first look exists for is told: how many, which, and where the first one stands."""

from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from driftwheel.discovery.column import look_at
from driftwheel_cli.main import cli


def notes_of(values: list[str]) -> tuple[str, str]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw (x VARCHAR, __file INTEGER, __line BIGINT)")
        rows = [(value, 0, line) for line, value in enumerate(values, 2)]
        connection.executemany("INSERT INTO raw VALUES (?, ?, ?)", rows)
        found = look_at(connection, "x")
    assert not found.mixed or not found.alike, "a number is no other spelling of another"
    return found.type, "; ".join(found.notes)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [f"{n},71" if n % 3 == 0 else "heavy" if n % 50 == 1 else f"{n}.71" for n in range(300)],
            [
                "numbers written in several ways",
                "196 like '2.71' (line 4)",
                "100 like '0,71' (line 2)",
                "4 that",
            ],
        ),
        (
            [["12.50", "€ 12.50", "14,5", "-999"][n % 4] for n in range(200)],
            ["numbers written in several ways", "50 like '€ 12.50' (line 3)", "50 like '-999' (line 5)"],
        ),
        (
            ["01/13/2024" if n % 2 else "13.01.2024" for n in range(200)],
            ["dates written in several ways", "100 like '01/13/2024' (line 3)", "every one of its forms"],
        ),
        (
            [f"2024-02-{1 + n % 30:02d}" for n in range(300)],
            ["they look like dates and too many cannot be read", "300 like '2024-02-01' (line 2)"],
        ),
    ],
    ids=["decimals", "prices", "dates", "days"],
)
def test_numbers_or_dates_written_in_several_ways_are_told(values: list[str], told: list[str]) -> None:
    kind, notes = notes_of(values)

    assert kind == "category"
    for words in told:
        assert words in notes


def test_dates_there_are_none_of_are_counted_and_shown() -> None:
    kind, notes = notes_of(["2024-02-30" if n in {7, 9} else f"2024-01-{1 + n % 28:02d}" for n in range(300)])
    assert kind == "timestamp"
    assert "2 values are no timestamp and become missing: '2024-02-30', first in line 9" in notes

    kind, notes = notes_of(["30/02/2024" if n == 7 else f"{1 + n % 28:02d}/01/2024" for n in range(300)])
    assert kind == "timestamp"
    assert "1 values are no timestamp and become missing: '30/02/2024', first in line 9" in notes


def test_dropped_lines_and_a_missing_header_are_said(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    lines = [f"r{n},{n}.5,{n % 2}" for n in range(60)]
    path.write_text("\n".join(["id,17.5,late", *lines[:30], "r,1", *lines[30:], ""]))

    result = CliRunner().invoke(cli, ["profile", str(path), "-o", str(tmp_path / "out")])

    assert "the first line holds numbers (17.5): a file without a header?" in result.stdout + result.stderr
    assert "1 lines passed over, first line 32: too few fields" in result.stdout
