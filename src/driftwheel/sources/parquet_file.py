# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Parquet (https://parquet.apache.org/docs/file-format/): flat columns, read as their exact text."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources.file import MOST_COLUMNS, Loaded, SourceFile, Through, picked_sql
from driftwheel.sources.parquet_size import most_rows, refuse_damaged, refuse_size
from driftwheel.sources.refusal import named_twice, no_rows, not_flat, too_wide
from driftwheel.spec import Enrichment, Source

NESTED = ("STRUCT", "MAP", "UNION", "LIST", "BLOB", "BIT", "INTERVAL")


def load(
    connection: Any,
    file: SourceFile,
    plain: Path,
    shape: Source | Enrichment,
    wanted: Collection[str],
    table: str,
    through: Through,
) -> Loaded:
    """Append the rows of a Parquet file; ``__line`` is the row's number, from 1.

    Raises Unreadable: corrupt, header-only, duplicate-column, unsupported-type, too-many-columns,
    decoded-too-large.
    """
    del shape
    reader = f"read_parquet({quote(str(plain))}, hive_partitioning = false)"
    before = _count(connection, table)
    try:
        called, types = _columns(connection, file, plain, reader)
        taken = [name for name in types if name in wanted]
        for name in taken:
            if types[name].startswith(NESTED) or types[name].endswith("]"):
                raise not_flat(file.key, name, types[name])
        limit = most_rows(plain, len(taken))
        # What the footer says is believed when it is too much; that it is less is left to LIMIT below.
        told = connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata({quote(str(plain))})")
        if int(told.fetchone()[0] or 0) > limit:
            refuse_size(file, limit, len(taken))
        if _contradicts_itself(connection, plain, taken):
            refuse_damaged(file)
        picked = picked_sql(wanted, {name: _text_of(called[name], types[name]) for name in taken})
        query = (
            f"SELECT {picked}{file.number} AS __file, row_number() OVER () AS __line "
            f"FROM (SELECT * FROM {reader} LIMIT {limit + 1})"
        )
        connection.execute(f"INSERT INTO {table} BY NAME {through(query)}")
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if "No space left" in str(error):  # ours to mend, the file is not to blame
            raise
        refuse_damaged(file, error)
    rows = _count(connection, table) - before
    if rows > limit:
        connection.execute(f"DELETE FROM {table} WHERE __file = {file.number}")
        refuse_size(file, limit, len(taken))
    if not rows:
        raise no_rows(file.key)
    return Loaded(rows, tuple(types))


def _columns(
    connection: Any, file: SourceFile, plain: Path, reader: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Give what DuckDB calls each column, and its type, by the name the file has for it.

    DuckDB takes Weight and weight for one name, and calls the second of them weight_1.
    """
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    names = _names(connection, plain)
    if len(names) > MOST_COLUMNS:
        raise too_wide(file.key, len(names), MOST_COLUMNS)
    if len(names) != len(described):
        refuse_damaged(file)
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise named_twice(file.key, twice[0])
    called = dict(zip(names, (name for name, *_ in described), strict=True))
    return called, dict(zip(names, (str(kind) for _, kind, *_ in described), strict=True))


def _names(connection: Any, plain: Path) -> list[str]:
    """Give the names of the columns as the file has them, in its order, without those inside of others."""
    told = connection.execute(f"SELECT name, num_children FROM parquet_schema({quote(str(plain))})")
    names, inside = [], 0
    for name, children in told.fetchall()[1:]:
        if not inside:
            names.append(name)
        inside += (children or 0) - (1 if inside else 0)
    return names


def _text_of(name: str, kind: str) -> str:
    """Write a value as its text; a moment with a zone in UTC, whatever zone this machine is in."""
    x = identifier(name)
    # In UTC; AT TIME ZONE would need an extension.
    if kind == "TIMESTAMP WITH TIME ZONE":
        x = f"make_timestamp(epoch_us({x}))"
    elif kind == "TIMESTAMPTZ_NS":
        x = f"make_timestamp_ns(epoch_ns({x}))"
    return f"CAST({x} AS VARCHAR)"


def _contradicts_itself(connection: Any, plain: Path, names: list[str]) -> bool:
    """Tell whether a flat column holds another number of values than its row group has rows."""
    found = connection.execute(
        "SELECT count(*) FROM parquet_metadata(?) "
        "WHERE list_contains(?, path_in_schema) AND num_values <> row_group_num_rows",
        [str(plain), names],
    )
    return int(found.fetchone()[0]) > 0


def _count(connection: Any, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
