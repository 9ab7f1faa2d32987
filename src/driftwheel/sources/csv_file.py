# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""CSV as RFC 4180 has it (https://www.rfc-editor.org/rfc/rfc4180), with the declared delimiter.

DuckDB's reader runs without guessing: no sniffing of dialects, no padding of short rows.
"""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import quote
from driftwheel.sources.csv_header import read_header
from driftwheel.sources.csv_records import LONGEST_LINE, MOVED, check_records
from driftwheel.sources.file import (
    KEPT_BAD_LINES,
    ROWID,
    BadLine,
    Loaded,
    SourceFile,
    Through,
    picked_sql,
)
from driftwheel.sources.refusal import no_rows
from driftwheel.spec import Enrichment, Source

COUNTED_BAD_LINES = 1_000_000

BAD, SCANS = "driftwheel_bad_lines", "driftwheel_scans"
REJECTS = (
    f"store_rejects=true, rejects_table='{BAD}', rejects_scan='{SCANS}', rejects_limit={COUNTED_BAD_LINES}"
)


def load(
    connection: Any,
    file: SourceFile,
    plain: Path,
    shape: Source | Enrichment,
    wanted: Collection[str],
    table: str,
    through: Through,
) -> Loaded:
    """Append the rows of a CSV file.

    ``__line`` is the line a record begins in. Lines with too few or too many fields are bad lines, never
    padded. Raises Unreadable: header-only, duplicate-column, too-many-columns, line-too-long,
    wrong-delimiter, parse-error.
    """
    header = read_header(file, plain, shape.delimiter, wanted)
    records = check_records(connection, file, plain, shape.delimiter, len(header))
    reading = partial(_reading, file, plain, shape.delimiter, header, wanted)
    rows = 0 if ROWID in map(str.lower, wanted) else records.rows
    before = _count(connection, table)
    try:
        if rows and _taken_at_once(connection, file, reading, table, through, rows):
            return Loaded(rows, tuple(header))
        # Rows are numbered, and so come in the file's order, on one thread.
        query = through(reading("row_number() OVER () + 1", f"parallel=false, {REJECTS}"))
        connection.execute(f"INSERT INTO {table} BY NAME {query}")
        bad, count = _passed_over(connection, file, len(header), table)
        if records.moved:
            _renumber(connection, file, table)
        rows = _count(connection, table) - before
    finally:
        for name in (BAD, SCANS, MOVED):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    if not rows and not count:
        raise no_rows(file.key, 1)
    return Loaded(rows, tuple(header), bad, count)


def _reading(
    file: SourceFile,
    plain: Path,
    delimiter: str,
    header: list[str],
    wanted: Collection[str],
    line: str,
    options: str,
) -> str:
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header)))
    # A declared name never starts with __: what is ours cannot meet what is the owner's.
    picked = picked_sql(wanted, {name: f"c{n}" for n, name in enumerate(header)})
    return (
        f"SELECT {picked}{file.number} AS __file, {line} AS __line FROM read_csv("
        f"{quote(str(plain))}, columns={{{columns}}}, delim={quote(delimiter)}, quote='\"', "
        f"escape='\"', header=true, auto_detect=false, strict_mode=true, max_line_size={LONGEST_LINE}, "
        f"{options})"
    )


def _taken_at_once(
    connection: Any,
    file: SourceFile,
    reading: Callable[[str, str], str],
    table: str,
    through: Through,
    rows: int,
) -> bool:
    """Append so many rows, read on every thread; False, and nothing is appended, when a line is no row.

    Each thread looks for its first line itself, and between bad lines it may pass over some without a word:
    so none is allowed, and the rows are counted. They are inserted in the file's order, though by many
    threads, and take their numbers from their places in the table.
    """
    ours = f"{table} WHERE __file = {file.number}"
    try:
        query = through(reading("CAST(NULL AS BIGINT)", "parallel=true"))
        connection.execute(f"INSERT INTO {table} BY NAME {query}")
    except duckdb.InvalidInputException:  # a bad line
        return False
    first, count = connection.execute(f"SELECT min(rowid), count(*) FROM {ours}").fetchone()
    if count != rows:
        connection.execute(f"DELETE FROM {ours}")
        return False
    connection.execute(f"UPDATE {table} SET __line = rowid - {first} + 2 WHERE __file = {file.number}")
    return True


def _passed_over(
    connection: Any, file: SourceFile, fields: int, table: str
) -> tuple[tuple[BadLine, ...], int]:
    """Count the lines the reader left out, and move the numbers of the rows behind them."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE passed_over AS "
        "SELECT line, count(*) OVER (ORDER BY line) AS i, reason FROM (SELECT line, min(CASE error_type "
        "WHEN 'MISSING COLUMNS' THEN 'too few fields' WHEN 'TOO MANY COLUMNS' THEN 'too many fields' "
        "WHEN 'UNQUOTED VALUE' THEN 'text after a closing quote' "
        f"WHEN 'LINE SIZE OVER MAXIMUM' THEN 'longer than {LONGEST_LINE} bytes' "
        f"ELSE lower(CAST(error_type AS VARCHAR)) END) AS reason FROM (SELECT r.line - coalesce(m.blanks, 0) "
        f"AS line, error_type FROM {BAD} r ASOF LEFT JOIN {MOVED} m ON r.line >= m.record + m.blanks) "
        "GROUP BY line)"
    )
    # Before the i-th bad line stand line - 1 - i rows: the rows after them lie i lines further down.
    connection.execute(
        f"UPDATE {table} SET __line = {table}.__line + m.i FROM (SELECT s.__line, max(p.i) AS i FROM "
        f"(SELECT __line FROM {table} WHERE __file = {file.number}) s "
        "ASOF JOIN (SELECT line - i AS before, max(i) AS i FROM passed_over GROUP BY 1) p "
        "ON s.__line > p.before GROUP BY 1) m "
        f"WHERE {table}.__file = {file.number} AND {table}.__line = m.__line"
    )
    count = int(connection.execute("SELECT count(*) FROM passed_over").fetchone()[0])
    kept = connection.execute(
        f"SELECT p.line + coalesce(m.shift, 0), reason FROM passed_over p ASOF LEFT JOIN {MOVED} m "
        f"ON p.line >= m.record ORDER BY line LIMIT {KEPT_BAD_LINES}"
    ).fetchall()
    connection.execute("DROP TABLE passed_over")
    expected = f" (the header has {fields})"
    return tuple(
        BadLine(int(line), reason + (expected if reason.endswith("fields") else "")) for line, reason in kept
    ), count


def _renumber(connection: Any, file: SourceFile, table: str) -> None:
    """Turn the numbers of records into the lines they begin in."""
    connection.execute(
        f"UPDATE {table} SET __line = {table}.__line + m.shift FROM (SELECT s.__line, max(n.shift) AS shift "
        f"FROM (SELECT __line FROM {table} WHERE __file = {file.number}) s "
        f"ASOF JOIN {MOVED} n ON s.__line >= n.record GROUP BY 1) m "
        f"WHERE {table}.__file = {file.number} AND {table}.__line = m.__line"
    )


def _count(connection: Any, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
