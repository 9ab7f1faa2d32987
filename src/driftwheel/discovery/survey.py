# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The whole table: its columns, likely keys, time, target, and columns that tell the answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.discovery.column import ID_NAMES, Found, look_at
from driftwheel.discovery.reading import Read, read
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.literals import boolean_sql, identifier, number_sql, trim_sql

MEMORY_MB = 600
KEY_COLUMNS, KEY_CANDIDATES = 4, 7
KEYED = 0.9
"""Share of the rows an id may name when some are repeated: of each key the latest row counts."""
LEAKING = 0.98
LEAKAGE_ROWS = 50_000
TARGETS = (
    "target",
    "label",
    "y",
    "class",
    "outcome",
    "churn",
    "churned",
    "fraud",
    "default",
    "late",
    "delayed",
)


@dataclass
class Survey:
    """What was found.

    ``key`` is the smallest set of columns that names every row, or a column called an id that names most;
    empty when there is neither. ``keyed`` counts its different values.
    """

    read: Read
    rows: int
    columns: list[Found]
    key: list[str]
    keyed: int
    time: str | None
    target: str
    guessed: bool
    leaking: dict[str, float] = field(default_factory=dict)

    def column(self, name: str) -> Found:
        """Find a column by its name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def bad_lines(self) -> list[str]:
        """Say which lines could not be read."""
        return [
            f"{name}: {loaded.bad_line_count:,} lines passed over, first line {loaded.bad_lines[0].line}: "
            f"{loaded.bad_lines[0].reason}"
            for name, loaded in self.read.loaded
            if loaded.bad_line_count
        ]


def survey(
    files: Iterable[Path],
    folder: Path,
    target: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Look at files of one schema; ``folder`` takes the database, bounded in memory.

    Raises Unreadable for a file that cannot be read, SpecInvalid when there is no such target.
    """
    with duckdb.connect(str(folder / "raw.duckdb"), config=configuration(folder)) as connection:
        progress("reading")
        found = read(connection, files, folder)
        if target is not None and target not in found.columns:
            raise SpecInvalid(
                f"--target {target}: there is no such column; there are {', '.join(found.columns)}"
            )
        columns = []
        for name in found.columns:
            progress(name)
            columns.append(look_at(connection, name))
        rows = columns[0].rows
        answer = target or _likely_target(columns)
        progress("keys")
        key, keyed = _key(connection, columns, answer, rows)
        result = Survey(
            read=found,
            rows=rows,
            columns=columns,
            key=key,
            keyed=keyed,
            time=_time(columns),
            target=answer,
            guessed=target is None,
        )
        progress("leakage")
        result.leaking = _leaking(connection, result)
    return result


def configuration(folder: Path) -> dict[str, Any]:
    """Bound DuckDB's memory; what does not fit goes to ``folder``."""
    return {
        "memory_limit": f"{MEMORY_MB}MB",
        "threads": 2,
        "temp_directory": str(folder / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def _likely_target(columns: list[Found]) -> str:
    by_name = [column.name for word in TARGETS for column in columns if column.name.lower() == word]
    booleans = [column.name for column in columns if column.type == "boolean" and column.distinct > 1]
    words = [c.name for c in columns if c.textual and c.distinct == 2]
    numbers = [
        c.name for c in columns if c.type in {"number", "integer"} and c.distinct > 1 and not c.identifier
    ]
    likely = [*by_name, *booleans[::-1], *words[::-1], *numbers[::-1]]
    if not likely:
        raise SpecInvalid(
            "no column looks like an answer (none is called target or label, none is true or false, none has "
            "two values or is a number); name it with --target COLUMN"
        )
    return likely[0]


def _time(columns: list[Found]) -> str | None:
    moments = [c for c in columns if c.type == "timestamp" and c.given]
    return max(moments, key=lambda c: (c.given, c.distinct)).name if moments else None


def _key(connection: Any, columns: list[Found], answer: str, rows: int) -> tuple[list[str], int]:
    """Find the fewest columns that differ in every row; text and integers before numbers."""
    possible = [
        c for c in columns if c.given == rows and c.name != answer and c.type not in {"number", "boolean"}
    ]
    possible.sort(key=lambda c: -c.distinct)
    for column in possible:
        if column.distinct == rows:
            return [column.name], rows
    for column in possible:
        if column.distinct >= KEYED * rows and column.name.lower().endswith(ID_NAMES):
            return [column.name], column.distinct
    best = [c.name for c in possible[:KEY_CANDIDATES]]
    for size in range(2, KEY_COLUMNS + 1):
        for names in combinations(best, size):
            listed = ", ".join(trim_sql(identifier(name)) for name in names)
            distinct = connection.execute(
                f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM raw)"
            ).fetchone()[0]
            if distinct == rows:
                return list(names), rows
    return [], 0


def label_sql(found: Found) -> str:
    """Write a binary target as 0 and 1; the rarer text is 1."""
    x = trim_sql(identifier(found.name))
    if found.type == "boolean":
        return f"CAST({boolean_sql(x)} AS INTEGER)"
    rarer = f"SELECT {x} FROM raw WHERE {x} <> '' GROUP BY 1 ORDER BY count(*), 1 LIMIT 1"
    return f"CAST({x} = ({rarer}) AS INTEGER)"


def _leaking(connection: Any, found: Survey) -> dict[str, float]:
    """Measure how well each column alone tells a binary answer, by AUC (Mann and Whitney 1947)."""
    answer = found.column(found.target)
    if answer.type != "boolean" and answer.distinct != 2:
        return {}
    suspects = {}
    for column in found.columns:
        if column.name == found.target or column.identifier or column.type == "text":
            continue
        x = trim_sql(identifier(column.name))
        sample = (
            f"(SELECT {label_sql(answer)} AS y, nullif({x}, '') AS t FROM raw "
            f"USING SAMPLE reservoir({LEAKAGE_ROWS} ROWS) REPEATABLE (7))"
        )
        value = number_sql("t") if column.type in {"number", "integer"} else "avg(y) OVER (PARTITION BY t)"
        if value.startswith("avg") and column.distinct > found.rows / 20:
            continue
        ranks, ones, count = connection.execute(
            "SELECT coalesce(sum(r) FILTER (WHERE y = 1), 0), count(*) FILTER (WHERE y = 1), count(*) FROM "
            "(SELECT y, rank() OVER (ORDER BY v) + (count(*) OVER (PARTITION BY v) - 1) / 2.0 AS r "
            f"FROM (SELECT y, {value} AS v FROM {sample}) WHERE v IS NOT NULL AND y IS NOT NULL)"
        ).fetchone()
        if min(ones, count - ones) < 20:
            continue
        auc = float((ranks - ones * (ones + 1) / 2) / (ones * (count - ones)))
        if max(auc, 1 - auc) > LEAKING:
            suspects[column.name] = max(auc, 1 - auc)
    return suspects
