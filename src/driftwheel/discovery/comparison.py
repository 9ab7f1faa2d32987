# ruff: noqa: S608  # every name and text below is quoted by literals.identifier
"""Two files beside each other: has the second drifted from the first, or is it broken?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np

from driftwheel.discovery.column import look_at
from driftwheel.discovery.reading import read
from driftwheel.discovery.survey import configuration
from driftwheel.discovery.typed import NotTyped, batches, names_of
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


@dataclass(frozen=True)
class Learned:
    """What is remembered of a baseline: how its columns are declared, and their summary."""

    name: str
    columns: dict[str, Column]
    summary: Summary

    @property
    def kinds(self) -> dict[str, str]:
        """Column → its type."""
        return {name: column.type for name, column in self.columns.items()}


def compare(
    baseline: Path, current: Path, folder: Path, spec: ModelSpec | None = None, drift: Drift | None = None
) -> DriftReport:
    """Compare two files column by column with the tests of a drift check.

    Columns are those of ``spec``, else inferred from the baseline; both files are cleaned alike. A column the
    current file lacks is missing in all its rows. Rows are read in batches: memory does not grow with them.
    Raises Unreadable for a file that cannot be read, SpecInvalid when the two share no column.
    """
    learned = learn(baseline, folder, spec)
    return judge(learned, current, folder, drift or (spec.drift if spec else Drift()))


def learn(baseline: Path, folder: Path, spec: ModelSpec | None = None) -> Learned:
    """Summarise a baseline, once for any number of files; see ``compare``."""
    with _File(baseline, folder / "baseline") as file:
        if spec:
            columns = {name: column for name, column in spec.columns.items() if name in file.names}
        else:
            columns = {name: _declared(file.connection, name) for name in _columns(file.connection)}
        if not columns:
            raise SpecInvalid(f"{baseline} has none of the declared columns; it has {', '.join(file.names)}")
        kinds = {name: column.type for name, column in columns.items()}
        return Learned(baseline.name, columns, file.summary(columns, kinds))


def judge(learned: Learned, current: Path, folder: Path, drift: Drift) -> DriftReport:
    """Say whether a file has drifted from what was learned; see ``compare``."""
    with _File(current, folder / "current") as file:
        if not set(file.names) & set(learned.columns):
            raise SpecInvalid(f"{current} has no column of {learned.name}: are these the same kind of file?")
        now = file.summary(learned.columns, learned.kinds, learned.summary)
    weights = column_weights(learned.kinds, {}, {})
    known: Mapping[str, Any] = learned.summary.to_json() | {"weights": weights, "quality": NO_QUALITY}
    units = {name: column.unit for name, column in learned.columns.items() if column.unit}
    window = Window(summary=now, about={"baseline": learned.name, "current": current.name})
    return check(known, window, drift, units, whole="all columns")


class _File:
    """One file; it is loaded as text only when its own types do not say enough."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder, self._open = path, folder, ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def connection(self) -> Any:
        return self._open.enter_context(_opened(self.path, self.folder))

    @cached_property
    def names(self) -> list[str]:
        try:
            return names_of(self.path)
        except NotTyped:
            return _columns(self.connection)

    def summary(
        self, columns: Mapping[str, Column], kinds: Mapping[str, str], like: Summary | None = None
    ) -> Summary:
        try:
            found = _total(batches(self.path, columns), kinds, like)
        except NotTyped:
            found = _total(_texts(self.connection, columns), kinds, like)
        return found or summarise({name: [] for name in columns}, kinds, like)


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
    ((there,),) = connection.execute("SELECT count(*) FROM raw").fetchall()
    cursor = _cleaned(connection, columns)
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


def _total(
    parts: Iterable[Mapping[str, Any]], kinds: Mapping[str, str], like: Summary | None
) -> Summary | None:
    total: Summary | None = None
    for columns in parts:
        part = summarise(columns, kinds, like or total)
        total = merge(total, part) if total else part
    return total


def _texts(connection: Any, columns: Mapping[str, Column]) -> Iterator[dict[str, Sequence[Any]]]:
    cursor = _cleaned(connection, columns)
    while batch := cursor.fetchmany(BATCH):
        yield dict(zip(columns, zip(*batch, strict=True), strict=True))


def _cleaned(connection: Any, columns: Mapping[str, Column]) -> Any:
    there = _columns(connection)
    for name in columns:
        if name not in there:
            connection.execute(f"ALTER TABLE raw ADD COLUMN {identifier(name)} VARCHAR")
    recipe = {"columns": [declare_column(name, column) for name, column in columns.items()]}
    query = cleaning_query(connection, "raw", recipe)
    # Not in a cursor of its own: it would not see the temporary table of folded texts.
    return connection.execute(f"SELECT {', '.join(map(identifier, columns))} FROM ({query})")
