"""One file of a data set, and what reading it gave."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from driftwheel.recipe.literals import identifier

KEPT_BAD_LINES = 1_000
MOST_COLUMNS = 2_000
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
    """A line that was passed over, and why; lines count from 1, the header is one."""

    line: int
    reason: str


@dataclass(frozen=True)
class Loaded:
    """Rows appended, every column name of the file, and the lines passed over (the first 1,000 of them)."""

    rows: int
    columns: tuple[str, ...]
    bad_lines: tuple[BadLine, ...] = ()
    bad_line_count: int = 0
