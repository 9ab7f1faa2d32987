# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The whole table: its columns, likely keys, time, target, and columns that tell the answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.discovery import leakage
from driftwheel.discovery.column import ID_NAMES, Found, look_at
from driftwheel.discovery.reading import Read, read
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.literals import identifier, parse_number, trim_sql

MEMORY_MB = 600
KEY_COLUMNS, KEY_CANDIDATES = 4, 7
KEYED = 0.9
"""Share of the rows an id may name when some are repeated: of each key the latest row counts."""
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

    ``key`` is the smallest set of columns that names every row, or a column called an id that names most,
    or, with ``keyless``, every column that has a value everywhere. ``keyed`` counts its different values.
    """

    read: Read
    rows: int
    columns: list[Found]
    key: list[str]
    keyed: int
    time: str | None
    target: str
    guessed: bool
    keyless: bool = False
    leaking: dict[str, float] = field(default_factory=dict)

    def column(self, name: str) -> Found:
        """Find a column by its name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def doubts(self) -> list[str]:
        """Say what makes the file itself look wrong."""
        numbers = [name for name in self.read.unusable if parse_number(name) is not None]
        if not numbers or self.read.source.format != "csv":
            return []
        shown = ", ".join(numbers[:3])
        return [
            f"the first line holds numbers ({shown}): a file without a header? It was taken for their names"
        ]

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
        keyless = not key
        if keyless:
            key, keyed = _whole_row(connection, columns, answer, rows)
        result = Survey(
            read=found,
            rows=rows,
            columns=columns,
            key=key,
            keyed=keyed,
            time=_time(columns),
            target=answer,
            guessed=target is None,
            keyless=keyless,
        )
        progress("leakage")
        result.leaking = leakage.find(connection, columns, result.column(answer), key)
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


def _whole_row(connection: Any, columns: list[Found], answer: str, rows: int) -> tuple[list[str], int]:
    """Name rows by all they say: every column with a value everywhere that tells some rows apart."""
    names = [
        c.name
        for c in columns
        if c.given == rows and c.name != answer and c.type != "number" and c.distinct > 1
    ]

    def distinct(chosen: list[str]) -> int:
        listed = ", ".join(trim_sql(identifier(name)) for name in chosen)
        found = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM raw)").fetchone()
        return int(found[0])

    if not names:
        return [], 0
    keyed = distinct(names)
    for name in list(names):
        fewer = [other for other in names if other != name]
        if fewer and distinct(fewer) == keyed:
            names = fewer
    return names, keyed
