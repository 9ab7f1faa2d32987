# ruff: noqa: S608  # every name and text below is quoted by literals.identifier
"""Two files beside each other: has the second drifted from the first, or is it broken?"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from driftwheel.discovery.column import look_at
from driftwheel.discovery.reading import read
from driftwheel.discovery.survey import configuration
from driftwheel.drift.baseline import column_weights
from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.summaries import Summary, merge, summarise
from driftwheel.drift.window import Window
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import declare_column
from driftwheel.recipe.duck import cleaning_query
from driftwheel.recipe.literals import identifier
from driftwheel.spec import Column, Drift, ModelSpec

BATCH = 100_000
NO_QUALITY = {"metric": "auc", "value": None, "error": None}


def compare(
    baseline: Path, current: Path, folder: Path, spec: ModelSpec | None = None, drift: Drift | None = None
) -> DriftReport:
    """Compare two files column by column with the tests of a drift check.

    Columns are those of ``spec``, else inferred from the baseline; both files are cleaned alike. A column the
    current file lacks is missing in all its rows. Rows are read in batches: memory does not grow with them.
    Raises Unreadable for a file that cannot be read, SpecInvalid when the two share no column.
    """
    with _opened(baseline, folder / "baseline") as connection:
        given = _columns(connection)
        columns = dict(spec.columns) if spec else {name: _declared(connection, name) for name in given}
        columns = {name: column for name, column in columns.items() if name in given}
        if not columns:
            raise SpecInvalid(f"{baseline} has none of the declared columns; it has {', '.join(given)}")
        kinds = {name: column.type for name, column in columns.items()}
        before = _summary(connection, columns, kinds, None)
    with _opened(current, folder / "current") as connection:
        if not set(_columns(connection)) & set(columns):
            raise SpecInvalid(f"{current} has no column of {baseline}: are these the same kind of file?")
        now = _summary(connection, columns, kinds, before)
    weights = column_weights(kinds, {}, {})
    known: Mapping[str, Any] = before.to_json() | {"weights": weights, "quality": NO_QUALITY}
    units = {name: column.unit for name, column in columns.items() if column.unit}
    settings = drift or (spec.drift if spec else Drift())
    window = Window(summary=now, about={"baseline": baseline.name, "current": current.name})
    return check(known, window, settings, units, whole="all columns")


def sample(
    baseline: Path, current: Path, folder: Path, rows: int, spec: ModelSpec | None = None
) -> tuple[dict[str, str], dict[str, list[Any]], dict[str, list[Any]]]:
    """Give the types of the columns two files may be told apart by, and at most ``rows`` rows of each.

    Left out is what differs by its nature: identifiers, texts, timestamps, and columns the model does not
    read. The rows are the same every time; those of a column the current file lacks are None.
    """
    with _opened(baseline, folder / "baseline") as connection:
        given = _columns(connection)
        columns = dict(spec.columns) if spec else {name: _declared(connection, name) for name in given}
        kinds = {
            name: column.type
            for name, column in columns.items()
            if name in given and column.feature and column.type not in {"text", "timestamp"}
        }
        columns = {name: columns[name] for name in kinds}
        before = _drawn(connection, columns, rows) if columns else {}
    with _opened(current, folder / "current") as connection:
        now = _drawn(connection, columns, rows) if columns else {}
    return dict(kinds), before, now


def _drawn(connection: Any, columns: Mapping[str, Column], rows: int) -> dict[str, list[Any]]:
    cursor = _cleaned(connection, columns)
    ((there,),) = connection.execute("SELECT count(*) FROM raw").fetchall()
    chosen = np.sort(np.random.default_rng(7).permutation(there)[:rows])
    found: list[tuple[Any, ...]] = []
    start = 0
    while batch := cursor.fetchmany(BATCH):
        inside = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + len(batch))] - start
        found += [batch[index] for index in inside]
        start += len(batch)
    return {name: [row[place] for row in found] for place, name in enumerate(columns)}


@contextmanager
def _opened(path: Path, folder: Path) -> Iterator[Any]:
    folder.mkdir()
    with duckdb.connect(str(folder / "raw.duckdb"), config=configuration(folder)) as connection:
        read(connection, [path], folder)
        yield connection


def _columns(connection: Any) -> list[str]:
    return [name for name, *_ in connection.execute("DESCRIBE raw").fetchall() if not name.startswith("__")]


def _declared(connection: Any, name: str) -> Column:
    found = look_at(connection, name)
    return Column.model_validate(
        {
            "type": "text" if found.identifier or found.scattered else found.type,
            "null_tokens": ["", *found.null_tokens],
            "notation": {key: value for key, value in found.notation.items() if value}
            if found.notation
            else None,
            "forms": found.forms,
        }
    )


def _summary(
    connection: Any, columns: Mapping[str, Column], kinds: Mapping[str, str], like: Summary | None
) -> Summary:
    cursor = _cleaned(connection, columns)
    total: Summary | None = None
    while batch := cursor.fetchmany(BATCH):
        part = summarise(dict(zip(columns, zip(*batch, strict=True), strict=True)), kinds, like or total)
        total = merge(total, part) if total else part
    return total or summarise({name: [] for name in columns}, kinds, like)


def _cleaned(connection: Any, columns: Mapping[str, Column]) -> Any:
    there = _columns(connection)
    for name in columns:
        if name not in there:
            connection.execute(f"ALTER TABLE raw ADD COLUMN {identifier(name)} VARCHAR")
    recipe = {"columns": [declare_column(name, column) for name, column in columns.items()]}
    query = cleaning_query(connection, "raw", recipe)
    cursor = connection.cursor()
    cursor.execute(f"SELECT {', '.join(map(identifier, columns))} FROM ({query})")
    return cursor
