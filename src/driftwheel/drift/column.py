"""The summary of one column: of numbers, of categories, or of presence alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from driftwheel.drift.cells import Floats, Integers, cell_middles, count_cells

Kind = Literal["number", "category", "opaque"]


@dataclass(frozen=True, eq=False)
class NumberSummary:
    """A numeric column: a sparse histogram around a centre, and moments that do not depend on any order.

    ``total`` and ``squares`` are the exact sums of ``x - centre`` and of its square, each of them rounded
    once, to multiples that ``grain`` gives: a 2**40th of the farthest distance seen first, a 2**32nd of its
    square (``cells.Sums``). Without a grain, as an older baseline has none, only the square is rounded, to
    float64.
    """

    kind: ClassVar[Kind] = "number"

    centre: float
    count: int = 0
    nulls: int = 0
    invalid: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    grain: int | None = None
    cells: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def rows(self) -> int:
        """All rows, with a value or without."""
        return self.count + self.nulls + self.invalid

    @cached_property
    def mean(self) -> float | None:
        """The arithmetic mean; None without a value."""
        return float(Fraction(self.centre) + self.total / self.count) if self.count else None

    @cached_property
    def m2(self) -> float:
        """Sum of squared distances from the mean."""
        return float(max(Fraction(0), self.squares - self.total**2 / self.count)) if self.count else 0.0

    @property
    def sd(self) -> float | None:
        """The standard deviation (population); None without a value."""
        return math.sqrt(self.m2 / self.count) if self.count else None

    @cached_property
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
        at = np.searchsorted(self._upto, share * self.count)
        return float(self.values[min(int(at), len(self.cells) - 1)])

    @cached_property
    def _upto(self) -> Integers:
        return np.cumsum(self.counts)

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
            "grain": self.grain,
            "cells": self.cells.tolist(),
            "counts": self.counts.tolist(),
        }


@dataclass(frozen=True)
class CategorySummary:
    """A category column: how often each value occurs."""

    kind: ClassVar[Kind] = "category"

    values: dict[str, int] = field(default_factory=dict)
    nulls: int = 0
    other: int = 0

    @cached_property
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

    kind: ClassVar[Kind] = "opaque"

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
                grain=document.get("grain"),
                cells=np.array(document["cells"], dtype=np.int64),
                counts=np.array(document["counts"], dtype=np.int64),
            )
        case "category":
            return CategorySummary(dict(document["values"]), document["nulls"], document["other"])
        case "opaque":
            return OpaqueSummary(document["count"], document["nulls"])
        case kind:
            raise ValueError(f"a summary of kind {kind!r} is not known here")


def _write_exact(value: Fraction) -> str:
    """Write a sum of floats as ``<hex integer>p-<power of two>``: nothing is rounded."""
    return f"{value.numerator:x}p-{value.denominator.bit_length() - 1}"


def _read_exact(text: str) -> Fraction:
    numerator, _, power = text.partition("p-")
    return Fraction(int(numerator, 16), 2 ** int(power))
