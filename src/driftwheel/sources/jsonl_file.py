"""JSON Lines (https://jsonlines.org): one object a line, values kept as they were written."""

import csv
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from driftwheel.recipe.literals import quote
from driftwheel.sources.file import (
    KEPT_BAD_LINES,
    MOST_COLUMNS,
    BadLine,
    Loaded,
    SourceFile,
    Through,
    one_line,
)
from driftwheel.sources.refusal import Unreadable, too_deep, too_many_fields

if TYPE_CHECKING:  # Spark's jobs read these files too, without pydantic
    from driftwheel.spec import Enrichment, Source

LONGEST_LINE = 1 << 20
SEPARATORS = re.compile(r"[,;\t|]")


class BadRecord(ValueError):
    """When one line cannot be used."""


def load(
    connection: Any,
    file: SourceFile,
    plain: Path,
    shape: "Source | Enrichment",
    wanted: Collection[str],
    table: str,
    through: Through,
) -> Loaded:
    """Append the rows of a JSONL file.

    Numbers keep every digit they were written with; a line break inside a text becomes a space. A line that
    is no object, names a field twice or nests a wanted field is a bad line. Raises Unreadable:
    line-too-long, json-depth, json-invalid, too-many-columns, format-mismatch.
    """
    del shape
    staged = plain.with_name(f"{plain.name}.staged")
    try:
        loaded = _stage(file, plain, list(wanted), staged)
        columns = dict.fromkeys(wanted, "VARCHAR") | {"__file": "INTEGER", "__line": "BIGINT"}
        kinds = ", ".join(f"{quote(name)}: '{kind}'" for name, kind in columns.items())
        query = (
            f"FROM read_csv({quote(str(staged))}, columns={{{kinds}}}, header=false, delim=',', "
            f"quote='\"', escape='\"', nullstr='', auto_detect=false, max_line_size={4 * LONGEST_LINE})"
        )
        # An ASCII file may hold any character, escaped.
        connection.execute(f"INSERT INTO {table} BY NAME {through(query, ascii_only=False)}")
    finally:
        staged.unlink(missing_ok=True)
    return loaded


def _stage(file: SourceFile, plain: Path, names: list[str], staged: Path) -> Loaded:
    """Write the wanted values as CSV: DuckDB's JSON reader would round long numbers."""
    columns: dict[str, None] = {}
    bad: list[BadLine] = []
    rows = count = number = 0
    first = b""
    with plain.open("rb") as stream, staged.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        while line := stream.readline(LONGEST_LINE + 1):
            number += 1
            _check_length(file, line, number)
            if not line.strip():
                continue
            first = first or line
            try:
                record = _object(line.decode("utf-8-sig").rstrip())
                columns |= dict.fromkeys(record)
                if len(columns) > MOST_COLUMNS:
                    raise too_many_fields(file.key, MOST_COLUMNS, number)
                writer.writerow([*(_cell(name, record.get(name)) for name in names), file.number, number])
                rows += 1
            except BadRecord as error:
                count += 1
                if len(bad) < KEPT_BAD_LINES:
                    bad.append(BadLine(number, str(error)))
            except RecursionError as error:
                raise too_deep(file.key, number) from error
    check_lines(file, rows, bad, names, first)
    return Loaded(rows, tuple(columns), tuple(bad), count)


def _check_length(file: SourceFile, line: bytes, number: int) -> None:
    if len(line) > LONGEST_LINE:
        raise Unreadable(
            "line-too-long",
            f"{file.key} line {number} is longer than {LONGEST_LINE} bytes",
            key=file.key,
            line=number,
            hint="write one object a line",
        )


def check_lines(file: SourceFile, rows: int, bad: list[BadLine], names: list[str], first: bytes) -> None:
    """Raise Unreadable when a file without a row is none at all."""
    if rows:
        return
    if not bad:
        raise Unreadable("empty-file", f"{file.key} holds no line", key=file.key)
    fields = {field.strip(' "') for field in SEPARATORS.split(first.decode("utf-8-sig").strip())}
    if fields & set(names) and not first.lstrip().startswith(b"{"):
        raise Unreadable(
            "format-mismatch",
            f"{file.key} is CSV; model.yaml declares jsonl",
            key=file.key,
            line=bad[0].line,
            hint="drop it as jsonl, or change the source's format in model.yaml",
        )
    raise Unreadable(
        "json-invalid",
        f"{file.key}: no line can be used; line {bad[0].line}: {bad[0].reason}",
        key=file.key,
        line=bad[0].line,
        hint="write one JSON object a line",
    )


def read_record(line: str, names: Collection[str]) -> tuple[Collection[str], list[str | None]]:
    """Give the fields of a line, and the wanted values as text; raises BadRecord."""
    record = _object(line)
    return record.keys(), [_cell(name, record.get(name)) for name in names]


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(
            line, parse_float=str, parse_int=str, parse_constant=_no_number, object_pairs_hook=_once
        )
    except json.JSONDecodeError as error:
        raise BadRecord(f"not JSON at character {error.pos + 1}") from error
    if not isinstance(found, dict):
        raise BadRecord("not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRecord("a field stands twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise BadRecord(f"{word} is not JSON")


def _cell(name: str, value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise BadRecord(f"field '{name}' is nested")
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else _text(name, value)


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise BadRecord(f"field '{name}' holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(f"field '{name}' holds half a character") from error
    return one_line(value)
