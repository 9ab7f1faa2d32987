# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""What the recipe learns from the training rows, and only from them: ``params.json``."""

from collections.abc import Mapping
from typing import Any

from driftwheel.recipe.duck import category_sql
from driftwheel.recipe.literals import identifier

MOST_CATEGORIES = 1_000
"""Categories of one input that get a code, the most frequent first; rarer ones are missing values.

A tree splits on sets of categories: codes seen a handful of times teach it nothing but noise.
"""


def fit(connection: Any, table: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Fit medians, modes and category lists on cleaned rows (``table``: a name, or a query in parentheses).

    Medians are exact: the middle of the sorted values, or the mean of the two middles. Modes are the most
    frequent value, the smallest of equals. Categories stand by falling frequency, then name; a code is a
    position in the list. A column without any value gets None. ``rare`` counts the categories left out.
    """
    rows = _one(connection, f"SELECT count(*) FROM {table}")[0]
    params: dict[str, Any] = {
        "version": 1,
        "rows": rows,
        "medians": {},
        "modes": {},
        "categories": {},
        "rare": {},
    }
    for column in recipe["columns"]:
        name = column["name"]
        if column["missing"] == "median":
            params["medians"][name] = _median(connection, table, identifier(name))
        elif column["missing"] == "mode":
            counted = _counted(connection, table, identifier(name), 1)
            params["modes"][name] = counted[0][0] if counted else None
    for name, text in category_sql(recipe, params).items():
        counted = _counted(connection, table, text, MOST_CATEGORIES)
        params["categories"][name] = [value for value, _ in counted]
        distinct = _one(connection, f"SELECT count(DISTINCT {text}) FROM {table}")[0]
        if distinct > len(counted):
            params["rare"][name] = distinct - len(counted)
    return params


def _one(connection: Any, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(query).fetchone()
    return row


def _median(connection: Any, table: str, x: str) -> float | None:
    count = _one(connection, f"SELECT count({x}) FROM {table}")[0]
    if not count:
        return None
    middles = connection.execute(
        f"SELECT CAST({x} AS DOUBLE) FROM {table} WHERE {x} IS NOT NULL "
        f"ORDER BY {x} LIMIT {2 - count % 2} OFFSET {(count - 1) // 2}"
    ).fetchall()
    return float(sum(value / len(middles) for (value,) in middles))


def _counted(connection: Any, table: str, x: str, most: int) -> list[tuple[Any, int]]:
    rows: list[tuple[Any, int]] = connection.execute(
        f"SELECT {x}, count(*) FROM {table} WHERE ({x}) IS NOT NULL "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 ASC LIMIT {most}"
    ).fetchall()
    return rows
