"""The first line of a CSV file: the names of its columns, and whether the declared delimiter parts them."""

import csv
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from driftwheel.sources.csv_records import lines_of
from driftwheel.sources.file import MOST_COLUMNS, SourceFile
from driftwheel.sources.refusal import Unreadable, named_twice, too_wide

DELIMITERS = {";": '";"', "\t": '"\\t"', "|": '"|"', ",": '","'}
"""Common delimiters and how ``model.yaml`` writes them."""


def read_header(file: SourceFile, plain: Path, delimiter: str, wanted: Collection[str]) -> list[str]:
    """Name the columns; raises Unreadable as ``load`` does."""
    header = _header(file, plain, delimiter)
    _check_header(file, header, delimiter, wanted)
    return header


def _header(file: SourceFile, plain: Path, delimiter: str) -> list[str]:
    try:
        with plain.open("rb") as stream:
            header = next(csv.reader(lines_of(file, stream), delimiter=delimiter), [])
        names = [name.strip() for name in header]
    except csv.Error:
        names = []
    if not any(names):
        raise Unreadable(
            "header-only",
            f"{file.key}: its first line names no column",
            key=file.key,
            line=1,
            hint="the first line must name the columns",
        )
    return names


def _check_header(file: SourceFile, header: list[str], delimiter: str, wanted: Collection[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise too_wide(file.key, len(header), MOST_COLUMNS, 1)
    if not set(header) & set(wanted):
        _check_delimiter(file, header, delimiter, wanted)
    twice = [name for name, times in Counter(header).items() if times > 1 and name]
    if twice:
        raise named_twice(file.key, twice[0], 1)


def _check_delimiter(file: SourceFile, header: list[str], delimiter: str, wanted: Collection[str]) -> None:
    line = delimiter.join(header)
    for other, written in DELIMITERS.items():
        fields = [field.strip().strip('"') for field in line.split(other)]
        if other != delimiter and (set(fields) & set(wanted) or (len(header) == 1 and len(fields) > 1)):
            raise Unreadable(
                "wrong-delimiter",
                f"{file.key}: its columns stand apart by {written}, model.yaml declares "
                f"{DELIMITERS.get(delimiter, repr(delimiter))}",
                key=file.key,
                line=1,
                hint=f"set delimiter: {written} in model.yaml, or export with the declared one",
            )
