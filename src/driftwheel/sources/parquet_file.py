# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Parquet (https://parquet.apache.org/docs/file-format/): flat columns, read as their exact text."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources.file import Loaded, SourceFile
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import Enrichment, Source

MOST_CELLS = 500_000_000
"""Wanted values of one file: a Parquet file of a megabyte may hold billions of zeros."""

NESTED = ("STRUCT", "MAP", "UNION", "LIST", "BLOB", "BIT", "INTERVAL")


def load(
    connection: Any,
    file: SourceFile,
    plain: Path,
    shape: Source | Enrichment,
    wanted: Collection[str],
    table: str,
) -> Loaded:
    """Append the rows of a Parquet file; ``__line`` is the row's number, from 1.

    Raises Unreadable: corrupt, header-only, unsupported-type, decoded-too-large.
    """
    del shape
    reader = f"read_parquet({quote(str(plain))})"
    before = _count(connection, table)
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
        types = {name: str(kind) for name, kind, *_ in described}
        taken = [name for name in types if name in wanted]
        for name in taken:
            if types[name].startswith(NESTED) or types[name].endswith("]"):
                raise Unreadable(
                    "unsupported-type",
                    f"{file.key} column '{name}' is {types[name]}: only flat columns are read",
                    key=file.key,
                    column=name,
                    hint="flatten the column in the export",
                )
        limit = MOST_CELLS // max(1, len(taken))
        values = "".join(f", CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" for name in taken)
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT {file.number} AS __file, "
            f"row_number() OVER () AS __line{values} FROM (SELECT * FROM {reader} LIMIT {limit + 1})"
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if "No space left" in str(error):  # ours to mend, the file is not to blame
            raise
        raise Unreadable(
            "corrupt",
            f"{file.key} starts like a Parquet file and cannot be read: it is damaged or cut off",
            key=file.key,
            hint="upload it again; compare its size with the original",
        ) from error
    rows = _count(connection, table) - before
    if rows > limit:
        connection.execute(f"DELETE FROM {table} WHERE __file = {file.number}")
        raise Unreadable(
            "decoded-too-large",
            f"{file.key} has more than {limit} rows of {len(taken)} columns",
            key=file.key,
            hint="split the file",
        )
    if not rows:
        raise Unreadable("header-only", f"{file.key} has columns and no rows", key=file.key)
    return Loaded(rows, tuple(types))


def _count(connection: Any, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
