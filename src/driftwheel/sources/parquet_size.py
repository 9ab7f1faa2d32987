"""How much a Parquet file may hold, and how one is refused that holds more or is damaged."""

from pathlib import Path
from typing import NoReturn

from driftwheel.sources.file import SourceFile
from driftwheel.sources.refusal import Unreadable

MOST_CELLS = 500_000_000
ALWAYS_CELLS = 50_000_000
CELLS_PER_BYTE = 50
"""Wanted values of one file: beyond 50 million at most 50 for each of its bytes, and 500 million.

A Parquet file of a megabyte may hold billions of zeros; real rows differ in their key at least, which costs
a byte or more for each of them.
"""


def refuse_damaged(file: SourceFile, cause: Exception | None = None) -> NoReturn:
    """Refuse a file that cannot be read."""
    raise Unreadable(
        "corrupt",
        f"{file.key} starts like a Parquet file and cannot be read: it is damaged or cut off",
        key=file.key,
        hint="upload it again; compare its size with the original",
    ) from cause


def most_rows(plain: Path, columns: int) -> int:
    """Give the most rows of so many wanted columns that a file may hold."""
    cells = min(MOST_CELLS, max(ALWAYS_CELLS, CELLS_PER_BYTE * plain.stat().st_size))
    return cells // max(1, columns)


def refuse_size(file: SourceFile, limit: int, columns: int) -> NoReturn:
    """Refuse a file that holds more."""
    raise Unreadable(
        "decoded-too-large",
        f"{file.key} has more than {limit} rows of {columns} wanted columns, too many for its size",
        key=file.key,
        hint="split the file",
    )
