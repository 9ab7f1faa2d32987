"""The tables of a data set in Spark 3.5: as many rows as the job's disk and memory hold."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from driftwheel.dataset.workspace import TRAINING, Workspace
from driftwheel.jobs.spark_parquet import DOUBLE_TEXT, register_texts
from driftwheel.recipe.literals import identifier
from driftwheel.recipe.spark import SPARK, SparkRows, register_fold

SETTINGS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",  # a file may have Weight beside weight
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",  # the stages write names in double quotes
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.session.timeZone": "UTC",
    # Dates before 1582 and times before 1900 are what the file says, as for DuckDB: by default the job stops.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # For a page nobody opens Spark describes every query, and all its kept tables were made from: briefly.
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "1",
}
"""What the SQL of ``dataset`` and ``recipe`` relies on: a cluster may have been told otherwise."""


def prepare_session(session: Any, partitions: int) -> None:
    """Set what the queries rely on and into how many parts rows are sorted; register our functions."""
    session.conf.set("spark.sql.shuffle.partitions", str(partitions))
    for name, value in SETTINGS.items():
        session.conf.set(name, value)
    register_fold(session)
    register_texts(session)


@dataclass(frozen=True)
class SparkWorkspace(Workspace):
    """The tables as views of a session; what is kept is Parquet in ``scratch``.

    Spark persists a frame together with the plan that made it, and compares that with every later query: with
    the recipe's long expressions a small data set takes twice as long.
    """

    session: Any
    scratch: Path
    dialect = SPARK

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Fetch a small result."""
        return [tuple(row) for row in self.session.sql(query).collect()]

    def batches(self, query: str, rows: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        """Fetch a large result partition by partition."""
        found = map(tuple, self.session.sql(query).toLocalIterator())
        while batch := list(islice(found, rows)):
            yield batch

    def keep(self, name: str, query: str) -> None:
        """Write a query's result, and read it back."""
        frame = self.session.sql(query)
        # A new place each time: the query may read what is being replaced.
        place = Path(mkdtemp(dir=self.scratch, prefix=f"{name}-")).as_uri()
        frame.write.mode("append").parquet(place)
        self.show(name, self.session.read.schema(frame.schema).parquet(place))

    def show(self, name: str, frame: Any) -> None:
        """Make a frame known by a name."""
        frame.createOrReplaceTempView(name)

    def keep_texts(self, name: str, column: str, texts: Iterable[str]) -> None:
        """Make a frame of the texts."""
        self.show(
            name, self.session.createDataFrame([(text,) for text in texts], f"{column} STRING").persist()
        )

    def keep_parquet(self, name: str, column: str, paths: Sequence[Path]) -> None:
        """Read the column alone."""
        self.show(name, self.session.read.parquet(*(path.as_uri() for path in paths)).select(column))

    def write_parquet(self, query: str, path: Path) -> None:
        """Let one task write, sorted by key: training reads one file."""
        folder = path.with_suffix(".parts")
        frame = self.session.sql(query).repartition(1).sortWithinPartitions("__key")
        frame.write.mode("overwrite").option("compression", "zstd").parquet(folder.as_uri())
        (part,) = folder.glob("part-*.parquet")
        part.rename(path)
        shutil.rmtree(folder)

    def training(self) -> SparkRows:
        """Give the training rows."""
        return SparkRows(self.session, TRAINING)

    def quantiles(self, x: str, shares: Sequence[float]) -> str:
        """Write an array; NULL of nothing."""
        picks = ", ".join(f"percentile_disc({share!r}) WITHIN GROUP (ORDER BY {x})" for share in shares)
        return f"CASE WHEN count({x}) > 0 THEN array({picks}) END"

    def checksum(self, x: str) -> tuple[int, int]:
        """Sum as decimals of 38 digits."""
        halves = ", ".join(
            f"coalesce(sum(CAST(conv({_reversed(start)}, 16, 10) AS DECIMAL(20, 0))), 0)" for start in (17, 1)
        )
        low, high = self.one(f"SELECT {halves} FROM (SELECT md5({x}) AS h FROM rows)")  # noqa: S608  # ours
        return int(low), int(high)

    def text(self, name: str) -> str:
        """Write a column's value as text."""
        kinds = {column["name"]: column["type"] for column in self.recipe["columns"]}
        x = identifier(name)
        return f"{DOUBLE_TEXT}({x})" if kinds.get(name, "number") == "number" else f"CAST({x} AS STRING)"


def _reversed(start: int) -> str:
    """Write eight bytes of the hexadecimal text ``h`` from the last to the first, as DuckDB counts them."""
    return f"concat({', '.join(f'substr(h, {place}, 2)' for place in range(start + 14, start - 1, -2))})"
