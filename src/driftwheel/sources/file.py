"""One file of a data set, and what reading it gave."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from driftwheel.recipe.literals import identifier

KEPT_BAD_LINES = 1_000
KEPT_CHARACTERS = 4_096
"""Of a bad line: enough to mend it by; the file itself stays where it was dropped."""

MOST_COLUMNS = 2_000
ROWID = "rowid"
"""What DuckDB calls a row's place in its table, unless a column is called so."""

BREAKS = re.compile(r"[\r\n]+")


def one_line(text: str) -> str:
    """Write line breaks as spaces: cleaning does so anyway, and a staged CSV wants one row a line.

    >>> one_line("a" + chr(13) + chr(10) + "b")
    'a b'
    """
    return BREAKS.sub(" ", text)


class Through(Protocol):
    """What becomes of a file's rows on their way into a table: a query over the query that reads them."""

    def __call__(self, query: str, *, ascii_only: bool = False) -> str:
        """Write the query; ``ascii_only`` says that every text is ASCII."""


def as_written(query: str, *, ascii_only: bool = False) -> str:
    """Change nothing."""
    del ascii_only
    return query


def picked_sql(wanted: Iterable[str], given: Mapping[str, str]) -> str:
    """Write the wanted columns as text, NULL where the file has none; ``given`` names the file's own."""
    return "".join(f"CAST({given.get(name, 'NULL')} AS VARCHAR) AS {identifier(name)}, " for name in wanted)


@dataclass(frozen=True)
class SourceFile:
    """A local copy (bytes as received) of the object ``key``; ``number`` is its place in the data set."""

    path: Path
    key: str
    number: int


@dataclass(frozen=True)
class BadLine:
    """A line that was passed over, and why; lines count from 1, the header is one.

    ``value`` is the line as it stands in the file, its first 4,096 characters.
    """

    line: int
    reason: str
    value: str = ""


@dataclass(frozen=True)
class Loaded:
    """Rows appended, every column name of the file, and the lines passed over (the first 1,000 of them)."""

    rows: int
    columns: tuple[str, ...]
    bad_lines: tuple[BadLine, ...] = ()
    bad_line_count: int = 0


def with_values(plain: Path, bad_lines: Iterable[BadLine]) -> tuple[BadLine, ...]:
    """Read what stands in bad lines out of the file, up to the last of them."""
    wanted = {bad.line: bad for bad in bad_lines}
    if not wanted:
        return ()
    last = max(wanted)
    with plain.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if number in wanted:
                # Every character is one byte at least and four at most.
                text = line[: 4 * KEPT_CHARACTERS].decode("utf-8-sig", errors="replace").rstrip("\r\n")
                wanted[number] = replace(wanted[number], value=text[:KEPT_CHARACTERS])
            if number == last:
                break
    return tuple(wanted.values())
