# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The DuckDB database a data set is prepared in: on disk, bounded in memory, without the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.recipe.literals import identifier
from driftwheel.spec import ModelSpec

THREADS = 2


@dataclass(frozen=True)
class Workspace:
    """What every stage of preparation needs: the database, the declaration and its compiled form."""

    connection: Any
    folder: Path
    spec: ModelSpec
    recipe: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """The declared columns, in their order."""
        return [column["name"] for column in self.recipe["columns"]]

    @property
    def answer(self) -> set[str]:
        """Columns the target is made of."""
        return set(self.recipe["target"]["reads"])

    def execute(self, query: str) -> None:
        """Run a statement."""
        self.connection.execute(query)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Fetch a small result."""
        found: list[tuple[Any, ...]] = self.connection.execute(query).fetchall()
        return found

    def one(self, query: str) -> tuple[Any, ...]:
        """Fetch one row."""
        return self.rows(query)[0]

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self.one(f"SELECT count(*) FROM {table}")[0])

    def batches(self, query: str, rows: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        """Fetch a large result piece by piece."""
        cursor = self.connection.cursor()
        cursor.execute(query)
        while batch := cursor.fetchmany(rows):
            yield batch

    def source_table(self, name: str) -> None:
        """Create an empty table of the declared columns as text, with the place each row came from."""
        columns = ", ".join(f"{identifier(column)} VARCHAR" for column in self.columns)
        self.execute(f"CREATE TABLE {name} ({columns}, __file INTEGER, __line BIGINT)")


@contextmanager
def open_workspace(
    folder: Path, spec: ModelSpec, recipe: dict[str, Any], memory_mb: int
) -> Iterator[Workspace]:
    """Open a database in ``folder`` that spills there beyond ``memory_mb`` megabytes."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": THREADS,
        "temp_directory": str(folder / "spill"),
        "home_directory": str(folder),  # Lambda sets no HOME
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(str(folder / "rows.duckdb"), config=config) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")  # nobody opens the file again
        yield Workspace(connection, folder, spec, recipe)
