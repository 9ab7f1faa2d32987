"""What the stages of preparation need of the engine that holds the rows.

The stages write one SQL, which every engine here takes: names in double quotes, texts of ours in single ones,
STRING for text. What an engine does in its own way is a method.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from driftwheel.dataset.json_lines import encode
from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.fit import TrainingRows, fold_sql
from driftwheel.recipe.sql import feature_pairs

if TYPE_CHECKING:  # a job reads the specification as plain JSON: its image is not promised to have pydantic
    from driftwheel.spec import ModelSpec

Params = Mapping[str, Any]

SAMPLED = 20_000
"""Rows on which features are tried out: enough to tell an AUC of .999 from chance, a line from a cloud."""


@dataclass(frozen=True)
class Workspace(ABC):
    """The tables of one data set, with its declaration and the declaration's compiled form.

    ``cleaned`` holds every row that was read, ``usable`` those not rejected, ``rows`` one for each key,
    ``parted`` those with their ``__split``.
    """

    dialect: ClassVar[Dialect]
    sorted_at_once: ClassVar[int] = 1
    """Columns whose quantiles are taken in one pass: each holds its values in memory."""

    folder: Path
    spec: "ModelSpec"
    recipe: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """The declared columns, in their order."""
        return [column["name"] for column in self.recipe["columns"]]

    @property
    def judged(self) -> list[str]:
        """The columns whose issues are kept: a text has none but that it is missing."""
        return [
            column["name"] for column in self.recipe["columns"] if column["type"] not in {"category", "text"}
        ]

    @property
    def answer(self) -> set[str]:
        """Columns the target is made of."""
        return set(self.recipe["target"]["reads"])

    @abstractmethod
    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Fetch a small result."""

    @abstractmethod
    def batches(self, query: str, rows: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        """Fetch a large result piece by piece."""

    @abstractmethod
    def keep(self, name: str, query: str) -> None:
        """Keep a query's result as a table; a table of that name is replaced."""

    @abstractmethod
    def keep_texts(self, name: str, column: str, texts: Iterable[str]) -> None:
        """Make a table of one column from texts without line breaks."""

    @abstractmethod
    def keep_parquet(self, name: str, column: str, paths: Sequence[Path]) -> None:
        """Make a table of one column of Parquet files; a table of that name is replaced."""

    @abstractmethod
    def write_parquet(self, query: str, path: Path) -> None:
        """Write a query's result, in its order, as one Parquet file."""

    @abstractmethod
    def training(self) -> TrainingRows:
        """Give the training rows with their ``__fold``, to fit on."""

    @abstractmethod
    def quantiles(self, x: str, shares: Sequence[float]) -> str:
        """Write the smallest values whose cumulative share reaches these shares, as one array."""

    @abstractmethod
    def checksum(self, x: str) -> tuple[int, int]:
        """Sum both halves of the MD5 of a text, as unsigned integers, over ``rows``."""

    def holdout_lines(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Give the rows of the holdout as lines of JSON, sorted by key, in pieces."""
        columns = ", ".join(map(self.dialect.identifier, names))
        query = f"SELECT __key, __label, {columns} FROM {HOLDOUT}"  # noqa: S608  # quoted
        for batch in self.batches(query):
            yield [
                encode({"key": key, "label": label, "record": dict(zip(names, values, strict=True))})
                for key, label, *values in batch
            ]

    def counted(self, values: Sequence[str]) -> list[dict[Any, int]]:
        """Count the values of each of these expressions over ``rows``; NULL is none."""
        return [
            dict(self.rows(f"SELECT {x}, count(*) FROM rows WHERE {x} IS NOT NULL GROUP BY 1"))  # noqa: S608  # ours
            for x in values
        ]

    def keep_view(self, name: str, query: str) -> None:
        """Keep a query that costs little to run again: as a table, unless the engine knows better."""
        self.keep(name, query)

    def placed(self, x: str) -> str:
        """Write what parts a row (``splits.place_sql``): ``x`` itself, or where it was kept."""
        return x

    def text(self, name: str) -> str:
        """Write a column's value as text; every engine writes a number alike."""
        return f"CAST({self.dialect.identifier(name)} AS STRING)"

    def one(self, query: str) -> tuple[Any, ...]:
        """Fetch one row."""
        return self.rows(query)[0]

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self.one(f"SELECT count(*) FROM {table}")[0])  # noqa: S608  # a name of ours

    def keep_sample(self, params: Params) -> None:
        """Make ``sample``: the first 20,000 training rows by key, with their features."""
        # A fifth more than are wanted: that not even they suffice is beyond chance, and would do no harm.
        near = first_keys(SAMPLED * 6 // 5, params["rows"])
        chosen = f"(SELECT * FROM parted WHERE __split = 'train' AND {near} ORDER BY __key LIMIT {SAMPLED})"  # noqa: S608
        self.keep("sample", f"SELECT *, {', '.join(self.features(params))} FROM {chosen}")  # noqa: S608

    def features(self, params: Params, folds: Params | None = None) -> list[str]:
        """Write ``expression AS "x.<output>"`` for every output of the model's inputs."""
        pairs = feature_pairs(self.recipe, params, self.dialect, folds)
        return [f"{x} AS {self.dialect.identifier(name)}" for x, name in pairs]


def first_keys(wanted: int, rows: int) -> str:
    """Write a condition that about ``wanted`` of ``rows`` meet: those whose keys, MD5s, come first.

    >>> first_keys(100, 400), first_keys(100, 100)
    ("__key < '40000000'", 'TRUE')
    """
    return f"__key < '{wanted * 2**32 // rows:08x}'" if wanted < rows else "TRUE"


HOLDOUT = "(SELECT * FROM parted WHERE __split = 'holdout') ORDER BY __key"

FOLDED = f"(SELECT *, {fold_sql()} AS __fold FROM parted)"  # noqa: S608  # written by us
"""``parted`` with the fold of every row."""

TRAINING = f"(SELECT * FROM {FOLDED} WHERE __split = 'train')"  # noqa: S608  # written by us
