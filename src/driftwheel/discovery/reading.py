# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Files of one schema as one table of texts: format and delimiter are found, not asked for."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources.file import Loaded, SourceFile
from driftwheel.sources.kinds import load
from driftwheel.sources.refusal import Unreadable, no_rows
from driftwheel.sources.sniff import GZIP, OTHERS, PARQUET, broken_gzip, check_start
from driftwheel.spec import IDENTIFIER, Source

HEAD = 1 << 20
"""Bytes that show the format, the delimiter and, for JSON Lines, the fields."""

ROWS_FROM = 2
"""The line of a CSV file in which rows begin."""

DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Read:
    """What was read into the table ``raw``: its columns, and those whose names no expression could hold."""

    source: Source
    columns: list[str]
    unusable: list[str]
    loaded: list[tuple[str, Loaded]]


def read(connection: Any, files: Iterable[Path], folder: Path) -> Read:
    """Load files into ``raw`` (VARCHAR columns, ``__file``, ``__line``); ``folder`` takes working copies.

    The first file decides format, delimiter and columns. Raises Unreadable naming file, place and remedy.
    """
    paths = list(files)
    source, names = _shape(connection, paths[0])
    usable = [name for name in names if IDENTIFIER.fullmatch(name) and not name.startswith("__")]
    if not usable:
        raise Unreadable(
            "header-only",
            f"{paths[0]}: no column has a name of letters, digits and _; the first is {names[0]!r}",
            key=str(paths[0]),
            line=1,
            hint="is its first line the header? Rename the columns",
        )
    _refuse_twice(paths[0], usable)
    columns = ", ".join(f"{identifier(name)} VARCHAR" for name in usable)
    connection.execute(f"CREATE TABLE raw ({columns}, __file INTEGER, __line BIGINT)")
    loaded = []
    for number, path in enumerate(paths):
        copy = folder / f"file-{number}"
        copy.symlink_to(path.resolve())
        found = load(connection, SourceFile(copy, path.name, number), source, usable, "raw")
        missing = [name for name in usable if name not in found.columns]
        if missing:
            raise Unreadable(
                "missing-column",
                f"{path} has no column '{missing[0]}', which {paths[0]} has",
                key=path.name,
                column=missing[0],
                hint="profile files of one schema together, others apart",
            )
        loaded.append((path.name, found))
    return Read(source, usable, [name for name in names if name not in usable], loaded)


def glance(path: Path) -> None:
    """Refuse a file whose first bytes show that nothing can be read of it; raises Unreadable."""
    with duckdb.connect() as connection:
        source, _ = _shape(connection, path)
    if source.format == "csv":
        head = _head(path)
        if len(head) < HEAD and len(head.splitlines()) < ROWS_FROM:
            raise no_rows(str(path), 1)


def _shape(connection: Any, path: Path) -> tuple[Source, list[str]]:
    head = _head(path)
    if head.startswith(PARQUET):
        try:
            rows = connection.execute(
                f"SELECT name FROM parquet_schema({quote(str(path))}) OFFSET 1"
            ).fetchall()
        except duckdb.Error as error:
            raise Unreadable(
                "corrupt",
                f"{path} starts like a Parquet file and cannot be read: it is damaged or cut off",
                key=str(path),
                hint="copy it again; compare its size with the original",
            ) from error
        return _source("parquet"), [name for (name,) in rows]
    if other := next((name for magic, name in OTHERS.items() if head.startswith(magic)), None):
        raise _unread(path, other)
    check_start(SourceFile(path, str(path), 0), head)
    text = head.decode("utf-8-sig", errors="ignore")  # the last character may be cut
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("{"):
        return _source("jsonl"), _fields(path, text)
    if text.lstrip().startswith("[{"):
        raise _unread(path, "one JSON array, not one object a line")
    if not text.strip():
        raise Unreadable("empty-file", f"{path} is empty", key=str(path), hint="check the export")
    line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=lambda one: (line.count(one), -DELIMITERS.index(one)))
    return _source("csv", delimiter), _header(path, text, delimiter)


def _head(path: Path) -> bytes:
    """Give the first bytes of a file, unpacked; a later break of it is found when all is read."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head.startswith(GZIP):
        return head
    head = b""
    try:
        with gzip.open(path, "rb") as packed:
            while len(head) < HEAD and (chunk := packed.read1(HEAD - len(head))):
                head += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise broken_gzip(str(path), len(head)) from error
    return head


def _header(path: Path, text: str, delimiter: str) -> list[str]:
    # Strict: what a field may hold is a setting of the process, and must not decide what a file is.
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error:  # a quote that is never closed
        names = []
    if not any(names):
        raise Unreadable(
            "header-only",
            f"{path}: its first line names no column",
            key=str(path),
            line=1,
            hint="the first line must name the columns",
        )
    return names


def _refuse_twice(path: Path, names: list[str]) -> None:
    """Refuse names that SQL takes for one."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.lower(), name)
        if first is name:
            continue
        what = (
            f"the column '{name}' more than once"
            if first == name
            else f"the columns '{first}' and '{name}', which differ in case only"
        )
        raise Unreadable(
            "duplicate-column",
            f"{path} has {what}",
            key=str(path),
            column=name,
            line=1,
            hint="rename one of them: which one counts cannot be guessed",
        )


def _unread(path: Path, found: str) -> Unreadable:
    return Unreadable(
        "format-mismatch",
        f"{path} is {found}; CSV, JSON Lines and Parquet are read",
        key=str(path),
        hint="export it as one of them",
    )


def _source(kind: str, delimiter: str = ",") -> Source:
    return Source.model_validate({"prefix": "data/x/", "format": kind, "delimiter": delimiter, "key": ["x"]})


def _fields(path: Path, text: str) -> list[str]:
    names: dict[str, None] = {}
    lines = text.splitlines()
    for line in lines[:-1] or lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):  # other lines are counted as bad when they are read
            names |= dict.fromkeys(record)
    if not names:
        raise Unreadable("json-invalid", f"{path}: no line is a JSON object", key=str(path), line=1)
    return list(names)
