# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The DuckDB database a data set is prepared in: on disk, bounded in memory, without the network."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from driftwheel.dataset.json_lines import line_sql
from driftwheel.dataset.workspace import HOLDOUT, TRAINING, Workspace
from driftwheel.recipe.duck import DUCK
from driftwheel.recipe.fit import DuckRows
from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources.file import ROWID
from driftwheel.spec import ModelSpec

THREADS = 2
ROW_GROUP = 100_000
DATABASE = "prepared"
KEPT_TOGETHER = 10 * 2048
"""Rows of a table's row group: a thread reads 8 MB of a CSV file at once, and rows too few for a row group
are copied once again to join those of the next."""

PLAIN = " USING COMPRESSION uncompressed"


@dataclass(frozen=True)
class DuckWorkspace(Workspace):
    """The tables in DuckDB."""

    connection: Any
    dialect = DUCK
    sorted_at_once = 8

    def execute(self, query: str) -> None:
        """Run a statement."""
        self.connection.execute(query)

    @property
    def place(self) -> str:
        """Write what tells the rows of ``cleaned`` apart."""
        named = ROWID in map(str.lower, self.columns)
        return f"coalesce(CAST(__file AS BIGINT), -1) * {2**32} + __line" if named else ROWID

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Fetch a small result."""
        found: list[tuple[Any, ...]] = self.connection.execute(query).fetchall()
        return found

    def batches(self, query: str, rows: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        """Fetch a large result piece by piece."""
        cursor = self.connection.cursor()
        cursor.execute(f"USE {DATABASE}")
        cursor.execute(query)
        while batch := cursor.fetchmany(rows):
            yield batch

    def keep(self, name: str, query: str) -> None:
        """Keep a query's result as a table."""
        self.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")

    def keep_none(self, name: str, query: str) -> None:
        """Make a table of a query's columns, without a row.

        Keys are kept as they are: of an MD5 a codec saves 15 bytes and takes a fifteenth of all the time.
        """
        columns = ", ".join(
            f"{identifier(column)} {kind}{PLAIN if column == '__key' else ''}"
            for column, kind, *_ in self.rows(f"DESCRIBE {query}")
        )
        self.execute(f"CREATE TABLE {name} ({columns})")

    def keep_texts(self, name: str, column: str, texts: Iterable[str]) -> None:
        """Copy the texts from a file: a hundred times faster than row by row."""
        self.execute(f"CREATE TABLE {name} ({column} VARCHAR)")
        path = self.folder / f"{name}.txt"
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        self.execute(f"COPY {name} FROM {quote(str(path))} (FORMAT csv, HEADER false, AUTO_DETECT false)")
        path.unlink()

    def keep_parquet(self, name: str, column: str, paths: Sequence[Path]) -> None:
        """Read the column alone."""
        files = ", ".join(quote(str(path)) for path in paths)
        self.keep(name, f"SELECT {column} FROM read_parquet([{files}])")

    def write_parquet(self, query: str, path: Path) -> None:
        """Write a query's result."""
        options = f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        self.execute(f"COPY ({query}) TO {quote(str(path))} {options}")

    def training(self) -> DuckRows:
        """Give the training rows."""
        return DuckRows(self.connection, TRAINING)

    def quantiles(self, x: str, shares: Sequence[float]) -> str:
        """Write a list."""
        return f"quantile_disc({x}, {list(shares)})"

    def checksum(self, x: str) -> tuple[int, int]:
        """Compute each MD5 once: its halves are cut from one number of 128 bits."""
        low, high = self.one(
            f"SELECT coalesce(sum(CAST(h >> 64 AS UBIGINT)), 0), "
            f"coalesce(sum(CAST(h & {2**64 - 1} AS UBIGINT)), 0) FROM (SELECT md5_number({x}) AS h FROM rows)"
        )
        return int(low), int(high)

    def holdout_lines(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Let DuckDB write them: six times as fast."""
        kinds = {column["name"]: column["type"] for column in self.recipe["columns"]}
        line = line_sql((name, kinds[name]) for name in names)
        for batch in self.batches(f"SELECT {line} FROM {HOLDOUT}"):
            yield [text for (text,) in batch]

    def counted(self, values: Sequence[str]) -> list[dict[Any, int]]:
        """Count them all in one pass."""
        return (
            list(self.one(f"SELECT {', '.join(f'histogram({x})' for x in values)} FROM rows"))
            if values
            else []
        )

    def keep_view(self, name: str, query: str) -> None:
        """Write nothing: a scan of ``cleaned`` is cheap."""
        self.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")

    def placed(self, x: str) -> str:
        """Name the column it was kept in when the row was cleaned."""
        del x
        return "__place"


@contextmanager
def open_workspace(
    folder: Path, spec: ModelSpec, recipe: dict[str, Any], memory_mb: int
) -> Iterator[DuckWorkspace]:
    """Open a database in ``folder`` that spills there beyond ``memory_mb`` megabytes."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": THREADS,
        "temp_directory": str(folder / "spill"),
        "home_directory": str(folder),  # Lambda sets no HOME
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "max_vacuum_tasks": 0,  # it would move rows whose places in their table are noted elsewhere
    }
    with duckdb.connect(config=config) as connection:
        path = quote(str(folder / "rows.duckdb"))
        connection.execute(f"ATTACH {path} AS {DATABASE} (ROW_GROUP_SIZE {KEPT_TOGETHER})")
        connection.execute(f"USE {DATABASE}")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")  # nobody opens the file again
        yield DuckWorkspace(folder, spec, recipe, connection)
