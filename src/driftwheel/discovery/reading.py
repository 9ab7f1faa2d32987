# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Files of one schema as one table of texts: format and delimiter are found, not asked for."""

import csv
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources.file import Loaded, SourceFile
from driftwheel.sources.kinds import load
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import IDENTIFIER, Source

HEAD = 1 << 20
"""Bytes that show the format, the delimiter and, for JSON Lines, the fields."""

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


def _shape(connection: Any, path: Path) -> tuple[Source, list[str]]:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path, "rb") as stream:
            head = stream.read(HEAD)
    if head.startswith(b"PAR1"):
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
    text = head.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("{"):
        return _source("jsonl"), _fields(path, text)
    line = text.partition("\n")[0].rstrip("\r")
    delimiter = max(DELIMITERS, key=lambda one: (line.count(one), -DELIMITERS.index(one)))
    names = next(csv.reader([line], delimiter=delimiter), [])
    if not any(name.strip() for name in names):
        raise Unreadable("empty-file", f"{path} is empty", key=str(path), hint="check the export")
    return _source("csv", delimiter), [name.strip() for name in names]


def _source(kind: str, delimiter: str = ",") -> Source:
    return Source.model_validate({"prefix": "data/x/", "format": kind, "delimiter": delimiter, "key": ["x"]})


def _fields(path: Path, text: str) -> list[str]:
    names: dict[str, None] = {}
    lines = text.splitlines()
    for line in lines[:-1] or lines:
        try:
            names |= dict.fromkeys(json.loads(line))
        except (ValueError, RecursionError):
            continue
    if not names:
        raise Unreadable("json-invalid", f"{path}: no line is a JSON object", key=str(path), line=1)
    return list(names)
