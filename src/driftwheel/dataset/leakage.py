# ruff: noqa: S608  # every name below is quoted by literals.identifier
"""What may hold the answer: features, categories and gaps that tell the label almost alone."""

from collections.abc import Iterator, Sequence
from typing import Any

from driftwheel.dataset.workspace import Workspace
from driftwheel.rank_sum import auc_of, rank_sum_sql
from driftwheel.recipe.encodings import output_names
from driftwheel.recipe.literals import identifier

BATCH = 50
"""Values asked for in one query."""

HALF = "substr(__key, 32, 1) < '8'"

FEWEST_OF_A_VALUE = 20
"""Rows there must be for each value of a category, on average: of fewer no mean can be told."""


def suspected(space: Workspace, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Name what tells the label better than ``evaluation.suspicious``, best first, with its number.

    A yes or no is told by ``auc``: of a feature's values, the larger of AUC and 1 - AUC; of a category, AUC
    of the label's mean for its value among other rows; or of whether a column has a value (``gaps``: only
    what was cancelled has a date of cancellation). A number is told by ``r2``, the share of its variance
    that lies on a line with a feature. Measured on ``sample``, gaps on all ``rows``.
    """
    if space.spec.target.kind == "binary":
        found = [*_by_values(space, params), *_by_gaps(space)]
    else:
        found = [*_by_lines(space, params)]
    return sorted(found, key=lambda each: -each.get("auc", each.get("r2", 0)))


def _by_values(space: Workspace, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    features, categories = _features(space, params), _categories(space)
    values = [*(identifier(f"x.{name}") for name in features), *map(_mean_of_the_other_half, categories)]
    asked = [rank_sum_sql("__label", value, "sample") for value in values]
    told = _each(space, asked, "ranks, ones, n")
    for place, (name, (ranks, ones, rows)) in enumerate(zip(features + categories, told, strict=True)):
        if min(ones, rows - ones) < space.spec.quality.minimum_class_rows:
            continue
        auc = auc_of(ranks, ones, rows)
        best = max(auc, 1 - auc) if place < len(features) else auc  # a mean has its sign
        if best > space.spec.evaluation.suspicious:
            yield {"feature": name, "auc": round(best, 6)}


def _mean_of_the_other_half(name: str) -> str:
    """Write the label's mean over the rows with a row's category in the other half of ``sample``.

    So no row is told by its own label, and rows of one category and half share a value. Halves are told by
    the last digit of the key, an MD5: ``sample`` is made of those that begin alike.
    """
    alike = f"OVER (PARTITION BY {identifier(name)})"
    half = f"OVER (PARTITION BY {identifier(name)}, {HALF})"
    return f"(sum(__label) {alike} - sum(__label) {half}) / nullif(count(*) {alike} - count(*) {half}, 0)"


def _by_gaps(space: Workspace) -> Iterator[dict[str, Any]]:
    inputs = space.recipe["inputs"]
    kinds = [
        f"count({identifier(name)}) FILTER (WHERE __label = {kind})" for name in inputs for kind in (1, 0)
    ]
    every = [f"count(*) FILTER (WHERE __label = {kind})" for kind in (1, 0)]
    ones, zeros, *given = space.one(f"SELECT {', '.join(every + kinds)} FROM rows")
    if min(ones, zeros) < space.spec.quality.minimum_class_rows:
        return
    for name, given_ones, given_zeros in zip(inputs, given[::2], given[1::2], strict=True):
        auc = 0.5 + abs(given_ones / ones - given_zeros / zeros) / 2
        if auc > space.spec.evaluation.suspicious:
            yield {"feature": name, "auc": round(auc, 6), "by": "gaps"}


def _by_lines(space: Workspace, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = _features(space, params)
    asked = [f"SELECT corr({identifier(f'x.{name}')}, __label) AS r FROM sample" for name in names]
    for name, (r,) in zip(names, _each(space, asked, "r"), strict=True):
        if r is not None and r * r > space.spec.evaluation.suspicious:
            yield {"feature": name, "r2": round(r * r, 6)}


def _features(space: Workspace, params: dict[str, Any]) -> list[str]:
    return [output for output, _, _ in output_names(space.recipe, params)]


def _categories(space: Workspace) -> list[str]:
    """Name the inputs whose values have no order of their own and are few."""
    inputs = set(space.recipe["inputs"])
    named = [
        each["name"]
        for each in space.recipe["columns"]
        if each["type"] == "category" and each["name"] in inputs
    ]
    if not named:
        return []
    counts = ", ".join(f"count({x}), count(DISTINCT {x})" for x in map(identifier, named))
    told = space.one(f"SELECT {counts} FROM sample")
    return [
        name
        for name, given, distinct in zip(named, told[::2], told[1::2], strict=True)
        if 0 < distinct * FEWEST_OF_A_VALUE <= given
    ]


def _each(space: Workspace, asked: Sequence[str], columns: str) -> Iterator[tuple[Any, ...]]:
    """Give the row of each of these queries, in their order."""
    for first in range(0, len(asked), BATCH):
        queries = [
            f"SELECT {n} AS place, {columns} FROM ({q}) AS q{n}"
            for n, q in enumerate(asked[first : first + BATCH])
        ]
        for _, *row in sorted(space.rows(" UNION ALL ".join(queries))):
            yield tuple(row)
