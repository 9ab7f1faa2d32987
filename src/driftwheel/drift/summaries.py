"""What is remembered of a column: made in one pass, and merged exactly.

The summary of two parts merged is the summary of the whole, bit for bit, while a category column has at most
``CATEGORY_CAP`` different values. numpy and the standard library only: this file also runs inside the
training container.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from driftwheel.drift.cells import Floats, Integers, cell_middles, count_cells, exact_moments

CATEGORY_CAP = 2_000
"""Different values kept per category column; the rarest beyond it are only counted together (``other``).

A column over the cap is closer to an identifier than to a category. Its merge keeps totals exact but may drop
a value that is rare in each part and common in the whole.
"""

LONGEST_VALUE = 256
"""Characters of a category value that is kept by name; longer ones count as ``other``."""

Column = Sequence[object] | npt.NDArray[Any]

Kind = Literal["number", "category", "opaque"]

KINDS: dict[str, Kind] = {
    "number": "number",
    "integer": "number",
    "category": "category",
    "boolean": "category",
    "text": "opaque",
    "timestamp": "opaque",
    "opaque": "opaque",
}
"""Type in ``model.yaml`` → what is summarised. Of free text and times only presence is counted."""


@dataclass(frozen=True, eq=False)
class NumberSummary:
    """A numeric column: a sparse histogram around a centre, and exact moments.

    ``total`` and ``squares`` are the exact sums of ``x - centre`` and of its (once rounded) square.
    """

    centre: float
    count: int = 0
    nulls: int = 0
    invalid: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    cells: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def rows(self) -> int:
        """All rows, with a value or without."""
        return self.count + self.nulls + self.invalid

    @property
    def mean(self) -> float | None:
        """The arithmetic mean; None without a value."""
        return float(Fraction(self.centre) + self.total / self.count) if self.count else None

    @property
    def m2(self) -> float:
        """Sum of squared distances from the mean."""
        return float(max(Fraction(0), self.squares - self.total**2 / self.count)) if self.count else 0.0

    @property
    def sd(self) -> float | None:
        """The standard deviation (population); None without a value."""
        return math.sqrt(self.m2 / self.count) if self.count else None

    @property
    def values(self) -> Floats:
        """One value that stands for each cell, ascending, never outside what was seen."""
        return np.clip(self.centre + cell_middles(self.cells), self.minimum, self.maximum)

    def share_of(self, value: float) -> float:
        """How much of the column lies in the cell of this value."""
        cell = int(np.flatnonzero(count_cells(np.array([value - self.centre])))[0])
        found = self.counts[self.cells == cell]
        return float(found[0]) / self.count if self.count and len(found) else 0.0

    def quantile(self, share: float) -> float | None:
        """Give the value below which this share lies, to the resolution of a cell; None without a value."""
        if not self.count:
            return None
        at = np.searchsorted(np.cumsum(self.counts), share * self.count)
        return float(self.values[min(int(at), len(self.cells) - 1)])

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values; the exact sums are written as hexadecimal integers."""
        return {
            "kind": "number",
            "centre": self.centre,
            "count": self.count,
            "nulls": self.nulls,
            "invalid": self.invalid,
            "min": self.minimum,
            "max": self.maximum,
            "total": _write_exact(self.total),
            "squares": _write_exact(self.squares),
            "cells": self.cells.tolist(),
            "counts": self.counts.tolist(),
        }


@dataclass(frozen=True)
class CategorySummary:
    """A category column: how often each value occurs."""

    values: dict[str, int] = field(default_factory=dict)
    nulls: int = 0
    other: int = 0

    @property
    def count(self) -> int:
        """Rows with a value."""
        return sum(self.values.values()) + self.other

    @property
    def rows(self) -> int:
        """All rows, with a value or without."""
        return self.count + self.nulls

    @property
    def invalid(self) -> int:
        """Nothing is an impossible category."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values."""
        return {"kind": "category", "nulls": self.nulls, "other": self.other, "values": self.values}


@dataclass(frozen=True)
class OpaqueSummary:
    """A column of which only presence is watched: free text, times, identifiers."""

    count: int = 0
    nulls: int = 0

    @property
    def rows(self) -> int:
        """All rows, with a value or without."""
        return self.count + self.nulls

    @property
    def invalid(self) -> int:
        """Nothing is judged here."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values."""
        return {"kind": "opaque", "count": self.count, "nulls": self.nulls}


ColumnSummary = NumberSummary | CategorySummary | OpaqueSummary


@dataclass(frozen=True)
class Summary:
    """The columns of one data set or window, by name."""

    rows: int
    columns: dict[str, ColumnSummary]

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values."""
        return {"rows": self.rows, "columns": {n: c.to_json() for n, c in sorted(self.columns.items())}}

    def dumps(self) -> str:
        """Write the summary as compact JSON with sorted keys: equal summaries give equal bytes."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)


def summarise(
    columns: Mapping[str, Column], kinds: Mapping[str, str], like: Summary | None = None
) -> Summary:
    """Summarise raw columns by name (None or NaN = missing).

    ``kinds`` maps a name to its type in ``model.yaml``; columns it does not name are left out. ``like`` gives
    the centres of numeric columns: a window must be summarised like its baseline to be compared or merged.
    Raises ValueError when a named column is not there, its type is unknown or its length differs.
    """
    unknown = {kind for kind in kinds.values() if kind not in KINDS}
    if unknown:
        raise ValueError(f"unknown column types {sorted(unknown)}; known are {sorted(KINDS)}")
    missing = sorted(set(kinds) - set(columns))
    if missing:
        raise ValueError(f"columns {missing} are to be summarised but were not given")
    lengths = {name: len(columns[name]) for name in kinds}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    made = {
        name: summarise_column(columns[name], kind, like.columns.get(name) if like else None)
        for name, kind in kinds.items()
    }
    return Summary(rows=next(iter(lengths.values()), 0), columns=made)


def summarise_column(values: Column, kind: str, like: ColumnSummary | None = None) -> ColumnSummary:
    """Summarise one column; see ``summarise``."""
    match KINDS[kind]:
        case "number":
            return _summarise_numbers(values, like.centre if isinstance(like, NumberSummary) else None)
        case "category":
            return _summarise_categories(values, _boolean_name if kind == "boolean" else category_name)
        case "opaque":
            nulls = sum(1 for value in values if is_null(value))
            return OpaqueSummary(len(values) - nulls, nulls)


def merge(one: Summary, other: Summary) -> Summary:
    """Merge the summaries of two parts into that of the whole.

    Raises ValueError when the parts have other columns, kinds or centres.
    """
    if set(one.columns) != set(other.columns):
        differing = sorted(set(one.columns) ^ set(other.columns))
        raise ValueError(f"summaries of different columns cannot be merged: {differing}")
    return Summary(
        rows=one.rows + other.rows,
        columns={name: _merge_columns(name, one.columns[name], other.columns[name]) for name in one.columns},
    )


def column_from_json(document: Mapping[str, Any]) -> ColumnSummary:
    """Read what a column summary's ``to_json`` gave."""
    match document["kind"]:
        case "number":
            return NumberSummary(
                centre=document["centre"],
                count=document["count"],
                nulls=document["nulls"],
                invalid=document["invalid"],
                minimum=document["min"],
                maximum=document["max"],
                total=_read_exact(document["total"]),
                squares=_read_exact(document["squares"]),
                cells=np.array(document["cells"], dtype=np.int64),
                counts=np.array(document["counts"], dtype=np.int64),
            )
        case "category":
            return CategorySummary(dict(document["values"]), document["nulls"], document["other"])
        case "opaque":
            return OpaqueSummary(document["count"], document["nulls"])
        case kind:
            raise ValueError(f"a summary of kind {kind!r} is not known here")


def summary_from_json(document: Mapping[str, Any]) -> Summary:
    """Read what ``Summary.to_json`` gave; unknown extra keys are left alone."""
    return Summary(document["rows"], {n: column_from_json(c) for n, c in document["columns"].items()})


def is_null(value: object) -> bool:
    """Say whether a cell of a column is missing: None, or a NaN of any float type."""
    return value is None or value != value  # noqa: PLR0124  # only a NaN differs from itself


def _summarise_numbers(values: Column, centre: float | None) -> NumberSummary:
    numbers, invalid = _as_floats(values)
    infinite = np.isinf(numbers)
    present = numbers[~(np.isnan(numbers) | infinite)]
    nulls = len(numbers) - len(present) - int(infinite.sum()) - invalid
    invalid += int(infinite.sum())
    if not len(present):
        return NumberSummary(centre=centre or 0.0, nulls=nulls, invalid=invalid)
    if centre is None:
        # A value that occurs (the lower median), so that a column's commonest value gets a cell of its own.
        middle = (len(present) - 1) // 2
        centre = float(np.partition(present, middle)[middle])
    distances = present - centre
    total, squares = exact_moments(distances)
    counts = count_cells(distances)
    cells = np.flatnonzero(counts)
    return NumberSummary(
        centre=centre,
        count=len(present),
        nulls=nulls,
        invalid=invalid,
        minimum=float(present.min()),
        maximum=float(present.max()),
        total=total,
        squares=squares,
        cells=cells.astype(np.int64),
        counts=counts[cells],
    )


def _as_floats(values: Column) -> tuple[Floats, int]:
    """Give float64 with NaN for missing and for invalid values, and the number of invalid ones."""
    try:
        return np.asarray(values, dtype=np.float64), 0
    except (TypeError, ValueError, OverflowError):
        numbers = np.full(len(values), np.nan)
        invalid = 0
        for index, value in enumerate(values):
            try:
                numbers[index] = np.nan if value is None else float(value)
            except (TypeError, ValueError, OverflowError):
                invalid += 1
        return numbers, invalid


def _summarise_categories(values: Column, name_of: Callable[[object], str]) -> CategorySummary:
    plain: Iterable[object] = values.tolist() if isinstance(values, np.ndarray) else values
    counted: Counter[str] = Counter()
    nulls = other = 0
    for value, times in Counter(plain).items():
        if is_null(value):
            nulls += times
        elif len(name := name_of(value)) > LONGEST_VALUE:
            other += times
        else:
            counted[name] += times
    return _capped(dict(counted), nulls, other)


def category_name(value: object) -> str:
    """Write a category's value as text: true and false as JSON does, whole floats without their ``.0``."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _boolean_name(value: object) -> str:
    """Name a boolean alike however it was stored: as true, as 1 or as 1.0."""
    return {"1": "true", "0": "false"}.get(category_name(value), category_name(value))


def _capped(values: dict[str, int], nulls: int, other: int) -> CategorySummary:
    if len(values) > CATEGORY_CAP:
        ranked = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
        other += sum(times for _, times in ranked[CATEGORY_CAP:])
        values = dict(ranked[:CATEGORY_CAP])
    return CategorySummary(dict(sorted(values.items())), nulls, other)


def _merge_columns(name: str, one: ColumnSummary, other: ColumnSummary) -> ColumnSummary:
    match one, other:
        case NumberSummary(), NumberSummary():
            return _merge_numbers(name, one, other)
        case CategorySummary(), CategorySummary():
            values = Counter(one.values)
            values.update(other.values)
            return _capped(dict(values), one.nulls + other.nulls, one.other + other.other)
        case OpaqueSummary(), OpaqueSummary():
            return OpaqueSummary(one.count + other.count, one.nulls + other.nulls)
        case _:
            raise ValueError(f"column '{name}' is {type(one).__name__} here and {type(other).__name__} there")


def _merge_numbers(name: str, one: NumberSummary, other: NumberSummary) -> NumberSummary:
    if one.centre != other.centre and one.count and other.count:
        raise ValueError(
            f"column '{name}' was summarised around {one.centre} and around {other.centre}: "
            "summarise the later part like the first"
        )
    cells = np.union1d(one.cells, other.cells).astype(np.int64)
    counts = np.zeros(len(cells), dtype=np.int64)
    for part in (one, other):
        counts[np.searchsorted(cells, part.cells)] += part.counts
    lows = [part.minimum for part in (one, other) if part.minimum is not None]
    highs = [part.maximum for part in (one, other) if part.maximum is not None]
    return NumberSummary(
        centre=one.centre if one.count else other.centre,
        count=one.count + other.count,
        nulls=one.nulls + other.nulls,
        invalid=one.invalid + other.invalid,
        minimum=min(lows, default=None),
        maximum=max(highs, default=None),
        total=one.total + other.total,
        squares=one.squares + other.squares,
        cells=cells,
        counts=counts,
    )


def _write_exact(value: Fraction) -> str:
    """Write a sum of floats as ``<hex integer>p-<power of two>``: nothing is rounded."""
    return f"{value.numerator:x}p-{value.denominator.bit_length() - 1}"


def _read_exact(text: str) -> Fraction:
    numerator, _, power = text.partition("p-")
    return Fraction(int(numerator, 16), 2 ** int(power))
