"""Whole columns of raw values cleaned at once: the same as ``row`` says of one value after the other.

What a column holds is usually all alike: plain numbers, or few different texts. Anything else is cleaned
value by value, by ``row`` itself.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from driftwheel.recipe.cells import Cells, Few
from driftwheel.recipe.literals import LONGEST
from driftwheel.recipe.ranges import within
from driftwheel.recipe.row import FieldError, RowRecipe

Floats = npt.NDArray[np.float64]
Refused = npt.NDArray[np.bool_]
Clean = Callable[[object], Any]

INVALID = math.inf
"""Stands in a number column for a value that is no number: a summary counts it as invalid."""

_NUMBERS = msgspec.json.Decoder(list[float | None])
_ELSEWHERE = {"number": re.compile("[eE][+-]?[0-9]{5}"), "integer": re.compile("[.eE]")}
"""Numbers of JSON that the recipe's grammar does not read, or looks at more closely."""

FEW = 2_000
"""Different texts of one column in a block that are told apart at once."""

MANY = 10
"""Where a tenth of the cells is not plain, reading them all as JSON's numbers is sooner."""


def clean_columns(
    recipe: RowRecipe, raw: Mapping[str, Sequence[Any] | Cells]
) -> tuple[dict[str, Floats | list[Any] | Few], Refused | None]:
    """Clean columns as the model does: numbers as float64 (NaN = missing), others as lists.

    Of plain cells a column of few different values is given as such. A value of the wrong type is INVALID in
    a number and missing elsewhere. The second answer marks rows without a required value; None when there are
    none.
    """
    cleaned: dict[str, Floats | list[Any] | Few] = {}
    refused: Refused | None = None
    for name, values in raw.items():
        column, clean = recipe.columns[name], recipe.cleaners[name]
        numeric = column["type"] in {"number", "integer"}
        if isinstance(values, Cells):
            if (read := _cells(column, clean, values, numeric=numeric)) is not None:
                cleaned[name] = read
                continue
            values = values.texts()  # noqa: PLW2901  # no longer plain
        found: Floats | list[Any] | None = numbers(column, values) if numeric else None
        if found is None or (numeric and column["missing"] == "reject" and np.isnan(found).any()):
            found, lacking = _distinct(clean, values) or _one_by_one(clean, values, numeric=numeric)
            refused = lacking if refused is None else refused if lacking is None else refused | lacking
        cleaned[name] = np.array(found, dtype=np.float64) if numeric else found
    return cleaned, refused


def numbers(column: Mapping[str, Any], values: Sequence[Any]) -> Floats | None:
    """Clean a column of plain numbers, or of texts that hold them; None when it is something else."""
    if column.get("notation"):
        return None
    try:
        found = _parsed(column, values)
    except TypeError:  # not all are texts
        found = _numeric(values)
    return None if found is None else within(column, found)


def _cells(column: Mapping[str, Any], clean: Clean, cells: Cells, *, numeric: bool) -> Floats | Few | None:
    """Clean plain cells, and by the grammar those that are not; None where that is not enough."""
    required = column["missing"] == "reject"
    try:
        if not numeric:
            few = cells.few(FEW)
            return few and Few(few.codes, [clean(text) for text in few.values])
        if column.get("notation"):
            return None
        found, others = cells.numbers(whole=column["type"] == "integer")
        if len(others) > len(cells) // MANY:
            return None
        for row in others.tolist():
            value = clean(cells.text(row))
            found[row] = math.nan if value is None else value
    except FieldError:
        return None
    cleaned = within(column, found)
    return None if cleaned is None or (required and np.isnan(cleaned).any()) else cleaned


def _numeric(values: Sequence[Any]) -> Floats | None:
    if not set(map(type, values)) <= {float, int, type(None)}:
        return None
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    return None if np.count_nonzero(~np.isfinite(found)) > values.count(None) else found


def _parsed(column: Mapping[str, Any], texts: Sequence[str]) -> Floats | None:
    """Read texts as JSON's numbers, which are fewer than ``literals.NUMBER`` allows; None beside others."""
    if max(map(len, texts), default=0) > LONGEST:
        return None
    absent = frozenset(column["null_tokens"])
    given = _decoded(column, texts)
    return (
        _decoded(column, ["null" if text in absent else text for text in texts]) if given is None else given
    )


def _decoded(column: Mapping[str, Any], texts: Sequence[str]) -> Floats | None:
    joined = ",".join(texts)
    if (column["type"] == "integer" or "e" in joined or "E" in joined) and _ELSEWHERE[column["type"]].search(
        joined
    ):
        return None
    try:
        found = _NUMBERS.decode(f"[{joined}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return np.array(found, dtype=np.float64) if len(found) == len(texts) else None


def _distinct(clean: Clean, values: Sequence[Any]) -> tuple[list[Any], None] | None:
    """Clean each different text once; None when the column holds anything else, or wrong values."""
    if not set(map(type, values)) <= {str, type(None)}:
        return None
    try:
        known = {raw: clean(raw) for raw in set(values)}
    except FieldError:
        return None
    return [known[raw] for raw in values], None


def _one_by_one(clean: Clean, values: Sequence[Any], *, numeric: bool) -> tuple[list[Any], Refused | None]:
    found: list[Any] = []
    refused = np.zeros(len(values), dtype=bool)
    for index, raw in enumerate(values):
        try:
            found.append(clean(raw))
        except FieldError:
            found.append(INVALID if numeric and raw is not None else None)
            refused[index] = raw is None or _requires(clean)
    return found, refused if refused.any() else None


def _requires(clean: Clean) -> bool:
    try:
        clean(None)
    except FieldError:
        return True
    return False
