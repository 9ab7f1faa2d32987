# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""What the recipe learns from the training rows, and only from them: ``params.json``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.duck import DUCK
from driftwheel.recipe.encodings import ENCODINGS, MOST_CATEGORIES, encoded, mean_of
from driftwheel.recipe.sql import fenced_sql, operands_sql

__all__ = ["MOST_CATEGORIES", "DuckRows", "TrainingRows", "fit", "fit_folds", "fold_sql"]


@dataclass(frozen=True)
class TrainingRows(ABC):
    """Cleaned rows to learn from, in an engine (``table``: a name, or a query in parentheses)."""

    dialect: ClassVar[Dialect]
    session: Any
    table: str

    @abstractmethod
    def fetch(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run ``SELECT select FROM the rows rest``."""

    @abstractmethod
    def quantiles(self, x: str, shares: Sequence[float]) -> list[float]:
        """Give the smallest values whose cumulative share reaches these shares."""

    def total(self, x: str) -> str:
        """Write the sum of doubles."""
        return self.dialect.total(x)

    def counted(self, x: str, most: int) -> list[tuple[Any, int]]:
        """Give the most frequent values with their counts: by falling frequency, then value."""
        return [
            (value, count)
            for value, count in self.fetch(
                f"{x}, count(*)",
                f"WHERE ({x}) IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 ASC LIMIT {most}",
            )
        ]

    def order_statistics(self, x: str, shares: Sequence[float]) -> list[float]:
        """Give the values at these shares of the sorted non-null values; none of nothing.

        A share is asked for from the middle of its value's own step: engines round the steps' ends.
        """
        count = self.fetch(f"count({x})")[0][0]
        if not count:
            return []
        places = [max(math.ceil(round(share * count, 6)) - 1, 0) for share in shares]
        return self.quantiles(x, [(place + 0.5) / count for place in places])


class DuckRows(TrainingRows):
    """Rows in DuckDB; the session is a connection."""

    dialect = DUCK

    def fetch(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run a query."""
        rows: list[tuple[Any, ...]] = self.session.execute(
            f"SELECT {select} FROM {self.table} {rest}"
        ).fetchall()
        return rows

    def quantiles(self, x: str, shares: Sequence[float]) -> list[float]:
        """Select values."""
        listed = ", ".join(map(repr, shares))
        return [float(value) for value in self.fetch(f"quantile_disc({x}, [{listed}])")[0][0]]


def fit(rows: TrainingRows, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Fit fences, medians, means, modes, categories and encodings on cleaned rows.

    Medians are exact: the middle of the sorted values, or the mean of the two middles. Modes are the most
    frequent value, the smallest of equals. Categories stand by falling frequency, then name; a code is a
    position in the list. A column without any value gets None. ``rare`` counts the categories left out.
    Sums are rounded to 12 digits: their order may not matter.
    """
    params: dict[str, Any] = {
        "version": 1,
        "rows": rows.fetch("count(*)")[0][0],
        "fences": {},
        "medians": {},
        "means": {},
        "modes": {},
        "categories": {},
        "rare": {},
        "encodings": {},
    }
    for column in recipe["columns"]:
        if column.get("outliers"):
            params["fences"][column["name"]] = _fence(rows, column)
    for column in recipe["columns"]:
        name, x = column["name"], fenced_sql(column, rows.dialect.identifier(column["name"]), params)
        if column["missing"] == "median":
            params["medians"][name] = _median(rows, x)
        elif column["missing"] == "mean":
            params["means"][name] = mean_of(rows, x)
        elif column["missing"] == "mode":
            counted = rows.counted(x if column.get("outliers") else rows.dialect.identifier(name), 1)
            params["modes"][name] = counted[0][0] if counted else None
    operands = operands_sql(recipe, params, rows.dialect)
    for name, encoding, declared in encoded(recipe):
        if encoding is None:
            continue
        fitted = ENCODINGS[encoding].fit(rows, f"({operands[name][1]})", declared)
        if encoding != "code":
            params["encodings"][name] = fitted
            continue
        params["categories"][name] = fitted["keys"]
        if fitted["rare"]:
            params["rare"][name] = fitted["rare"]
    return params


def fit_folds(
    rows: TrainingRows, recipe: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Fit every target mean once without each fold of the training rows (which need ``__fold``)."""
    operands = operands_sql(recipe, params, rows.dialect)
    return {
        name: [
            ENCODINGS[encoding].fit(
                _without(rows, f"__fold % {declared['folds']} <> {fold}"), f"({operands[name][1]})", declared
            )
            for fold in range(declared["folds"])
        ]
        for name, encoding, declared in encoded(recipe)
        if encoding == "target_mean"
    }


def _without(rows: TrainingRows, kept: str) -> TrainingRows:
    return replace(rows, table=f"(SELECT * FROM {rows.table} WHERE {kept})")


def fold_sql() -> str:
    """Write the fold of a row, 0 to 15: a hexadecimal digit of the MD5 of its key, unlike the split's."""
    return "(instr('0123456789abcdef', substr(md5('fold|' || __key), 1, 1)) - 1)"


def _median(rows: TrainingRows, x: str) -> float | None:
    count = rows.fetch(f"count({x})")[0][0]
    if not count:
        return None
    # Asked for from the middle of a value's own step, as in order_statistics.
    middles = rows.quantiles(x, [(place + 0.5) / count for place in sorted({(count - 1) // 2, count // 2})])
    return float(sum(value / len(middles) for value in middles))


def _fence(rows: TrainingRows, column: Mapping[str, Any]) -> list[float] | None:
    found = rows.order_statistics(f"CAST({rows.dialect.identifier(column['name'])} AS DOUBLE)", [0.25, 0.75])
    if not found:
        return None
    low, high = found
    reach = column["outliers"]["fence"] * (high - low)
    fence = [low - reach, high + reach]
    return fence if all(map(math.isfinite, fence)) and reach > 0 else None
