"""Captured traffic as the model sees it: numbers as float64, everything cleaned by its recipe."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from driftwheel.drift.captured import Batch, CaptureReader
from driftwheel.drift.summaries import Coded
from driftwheel.recipe.cells import Few, cut
from driftwheel.recipe.columns import clean_columns
from driftwheel.recipe.row import RowRecipe


@dataclass
class CleanedBatch(Batch):
    """Rows cleaned as the model cleans them: numbers are float64 (NaN = missing), others lists or coded."""

    def at(self, rows: Sequence[int]) -> "CleanedBatch":
        """Keep only these rows, by their place."""
        return CleanedBatch(
            {name: _at(column, rows) for name, column in self.columns.items()},
            [self.scores[row] for row in rows],
            [self.ids[row] for row in rows],
            [self.times[row] for row in rows],
        )

    def values(self, name: str, kind: str) -> list[Any]:
        """Give a column of this type as Python values, None where one is missing."""
        column = self.columns[name]
        if not isinstance(column, np.ndarray):
            return list(column)
        number = int if kind == "integer" else float
        return [
            None if math.isnan(value) else number(value) if math.isfinite(value) else value
            for value in column.tolist()
        ]


class CleaningReader:
    """Reads captured traffic and cleans it.

    ``columns`` are the ones given: by default what the model reads. ``refused`` counts rows without a
    required value, ``rows`` the others; ``captured`` says what could not be read.
    """

    def __init__(self, recipe: RowRecipe, columns: Sequence[str] | None = None) -> None:
        self._recipe, self._given = recipe, list(columns or recipe.inputs)
        required = [name for name, column in recipe.columns.items() if column["missing"] == "reject"]
        self.captured = CaptureReader(recipe.inputs, list(dict.fromkeys([*self._given, *required])), cut)
        self.rows = self.refused = 0

    def read(
        self, chunks: Iterable[bytes], name: str = "capture", *, since: str = "", until: str = ""
    ) -> Iterator[CleanedBatch]:
        """Give the rows of one file, as ``CaptureReader.read`` does."""
        for batch in self.captured.read(chunks, name, since=since, until=until):
            columns, refused = clean_columns(self._recipe, batch.columns)
            given = {name: _column(columns[name]) for name in self._given}
            cleaned = CleanedBatch(given, batch.scores, batch.ids, batch.times)
            if refused is not None:
                self.refused += int(refused.sum())
                cleaned = cleaned.at(np.flatnonzero(~refused).tolist())
            self.rows += len(cleaned)
            if len(cleaned):
                yield cleaned


def _column(cleaned: Any) -> Any:
    """Give a cleaned column as a summary takes it."""
    return Coded(cleaned.codes, cleaned.values, gaps=False) if isinstance(cleaned, Few) else cleaned


def _at(column: Any, rows: Sequence[int]) -> Any:
    if isinstance(column, Coded):
        return Coded(column.codes[rows], column.values, column.gaps)
    return column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
