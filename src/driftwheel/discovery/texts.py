# ruff: noqa: S608  # every name and text below is quoted by literals.identifier
"""Files compared as text: any kind, read into DuckDB and cleaned there, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from driftwheel.discovery.column import NULLS, look_at
from driftwheel.discovery.reading import read
from driftwheel.discovery.survey import configuration
from driftwheel.recipe.column_rule import declare_column
from driftwheel.recipe.duck import cleaning_query
from driftwheel.recipe.literals import identifier, quote
from driftwheel.recipe.notation import Rule
from driftwheel.spec import Column, ModelSpec

BATCH = 100_000


@dataclass(frozen=True)
class Misfits:
    """Values that are not of their column's type: how many, the first one, and where it stands."""

    count: int
    first: str
    place: str


class Texts:
    """One file as a table of texts; cleaned columns are given as Python values."""

    def __init__(self, connection: Any, kind: str) -> None:
        self._connection, self._format = connection, kind

    @classmethod
    @contextmanager
    def of(cls, path: Path, folder: Path) -> Iterator["Texts"]:
        """Load a file; ``folder``, made here, takes working copies. Raises Unreadable."""
        folder.mkdir()
        with duckdb.connect(str(folder / "raw.duckdb"), config=configuration(folder)) as connection:
            found = read(connection, [path], folder)
            yield cls(connection, found.source.format)

    @property
    def columns(self) -> list[str]:
        """Name the file's columns."""
        described = self._connection.execute("DESCRIBE raw").fetchall()
        return [name for name, *_ in described if not name.startswith("__")]

    def declared(self) -> dict[str, Column]:
        """Infer what the columns are."""
        return {name: self._declared(name) for name in self.columns}

    def batches(self, rules: Mapping[str, Rule]) -> Iterator[dict[str, Sequence[Any]]]:
        """Give columns cleaned by their rules; one the file lacks is missing in all its rows."""
        cursor = self._cleaned(rules)
        while batch := cursor.fetchmany(BATCH):
            yield dict(zip(rules, zip(*batch, strict=True), strict=True))

    def misfits(self, rule: Rule) -> "Misfits | None":
        """Count the values of a column that are not of its type; None when all are, or when it is absent.

        A word for missing that nobody declared is no value of another type.
        """
        name = rule["name"]
        if name not in self.columns:
            return None
        issue, given = identifier(f"__issue.{name}"), identifier(f"__given.{name}")
        words = ", ".join(quote(word.lower()) for word in (*NULLS, "inf", "-inf"))
        query = cleaning_query(self._connection, "raw", {"columns": [rule]})
        count, first, line = self._connection.execute(
            f"SELECT count(*), arg_min({given}, __line), min(__line) FROM ({query}) "
            f"WHERE {issue} = 'bad literal' AND lower({given}) NOT IN ({words})"
        ).fetchone()
        place = "row" if self._format == "parquet" else "line"
        return Misfits(count, first, f"{place} {line:,}") if count else None

    def drawn(self, columns: Mapping[str, Column], rows: int) -> dict[str, list[Any]]:
        """Give at most so many rows, the same ones every time."""
        ((there,),) = self._connection.execute("SELECT count(*) FROM raw").fetchall()
        cursor = self._cleaned({name: declare_column(name, column) for name, column in columns.items()})
        chosen = np.sort(np.random.default_rng(7).permutation(there)[:rows])
        found: list[tuple[Any, ...]] = []
        start = 0
        while batch := cursor.fetchmany(BATCH):
            inside = (
                chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + len(batch))] - start
            )
            found += [batch[index] for index in inside]
            start += len(batch)
        return {name: [row[place] for row in found] for place, name in enumerate(columns)}

    def _declared(self, name: str) -> Column:
        found = look_at(self._connection, name)
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

    def _cleaned(self, rules: Mapping[str, Rule]) -> Any:
        there = self.columns
        for name in rules:
            if name not in there:
                self._connection.execute(f"ALTER TABLE raw ADD COLUMN {identifier(name)} VARCHAR")
        recipe = {"columns": list(rules.values())}
        query = cleaning_query(self._connection, "raw", recipe)
        # Not in a cursor of its own: it would not see the temporary table of folded texts.
        return self._connection.execute(f"SELECT {', '.join(map(identifier, rules))} FROM ({query})")


def sample(
    baseline: Path, current: Path, folder: Path, rows: int, spec: ModelSpec | None = None
) -> tuple[dict[str, str], dict[str, list[Any]], dict[str, list[Any]]]:
    """Give the types of the columns two files may be told apart by, and at most ``rows`` rows of each.

    Left out is what differs by its nature: identifiers, texts, timestamps, and columns the model does not
    read. The rows are the same every time; those of a column the current file lacks are None.
    """
    with Texts.of(baseline, folder / "baseline") as file:
        given = file.columns
        columns = dict(spec.columns) if spec else file.declared()
        kinds = {
            name: column.type
            for name, column in columns.items()
            if name in given and column.feature and column.type not in {"text", "timestamp"}
        }
        columns = {name: columns[name] for name in kinds}
        before = file.drawn(columns, rows) if columns else {}
    with Texts.of(current, folder / "current") as file:
        now = file.drawn(columns, rows) if columns else {}
    return dict(kinds), before, now
