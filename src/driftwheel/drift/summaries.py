"""What is remembered of a column: made in one pass, and merged exactly.

The summary of two parts merged is the summary of the whole, bit for bit, while a category column has at most
``CATEGORY_CAP`` different values. numpy and the standard library only: this file also runs inside the
training container.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from driftwheel.drift.cells import Floats
from driftwheel.drift.column import (
    CategorySummary,
    ColumnSummary,
    Kind,
    NumberSummary,
    OpaqueSummary,
    column_from_json,
)
from driftwheel.drift.joint import (
    Given,
    JointSummary,
    joint_from_json,
    merge_joints,
    summarise_joint,
    summarise_joint_like,
)
from driftwheel.drift.tally import NumberTally

CATEGORY_CAP = 2_000
"""Different values kept per category column; the rarest beyond it are only counted together (``other``).

A column over the cap is closer to an identifier than to a category. Its merge keeps totals exact but may drop
a value that is rare in each part and common in the whole.
"""

LONGEST_VALUE = 256
"""Characters of a category value that is kept by name; longer ones count as ``other``."""


@dataclass(frozen=True)
class Coded:
    """A column of few different values: for each row the place of its value in ``values``, -1 = missing.

    Without ``gaps`` none is.
    """

    codes: npt.NDArray[Any]
    values: Sequence[object]
    gaps: bool = True

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[object]:
        return (None if code < 0 else self.values[code] for code in self.codes.tolist())


Column = Sequence[object] | npt.NDArray[Any] | Coded

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


@dataclass(frozen=True)
class Summary:
    """The columns of one data set or window, by name, and how its numeric columns go together."""

    rows: int
    columns: dict[str, ColumnSummary]
    joint: JointSummary | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values."""
        return {
            "rows": self.rows,
            "columns": {n: c.to_json() for n, c in sorted(self.columns.items())},
            "joint": self.joint.to_json() if self.joint else None,
        }

    def dumps(self) -> str:
        """Write the summary as compact JSON with sorted keys: equal summaries give equal bytes."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)


class Summariser:
    """Summarises a data set part by part, as if its parts were one; see ``summarise``."""

    def __init__(self, kinds: Mapping[str, str], like: Summary | None = None) -> None:
        unknown = {kind for kind in kinds.values() if kind not in KINDS}
        if unknown:
            raise ValueError(f"unknown column types {sorted(unknown)}; known are {sorted(KINDS)}")
        known = like.columns if like else {}
        self._kinds, self._like, self._rows = dict(kinds), like, 0
        self._tallies = {
            name: NumberTally(known.get(name)) for name, kind in kinds.items() if KINDS[kind] == "number"
        }
        self._others: dict[str, ColumnSummary] = {}
        self._joint: JointSummary | None = None

    def add(self, columns: Mapping[str, Column]) -> None:
        """Add a part; raises ValueError when a named column is not there or its length differs."""
        missing = sorted(set(self._kinds) - set(columns))
        if missing:
            raise ValueError(f"columns {missing} are to be summarised but were not given")
        lengths = {name: len(columns[name]) for name in self._kinds}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")
        given: Given = {name: tally.add(*_as_floats(columns[name])) for name, tally in self._tallies.items()}
        for name, kind in self._kinds.items():
            if name not in self._tallies:
                part, known = summarise_column(columns[name], kind), self._others.get(name)
                self._others[name] = _merge_columns(name, known, part) if known else part
        self._rows += next(iter(lengths.values()), 0)
        self._add_joint(given)

    def build(self) -> Summary:
        """Give the summary of all parts."""
        if not self._rows:
            self.add({name: [] for name in self._kinds})
        made = {
            name: self._tallies[name].summary() if name in self._tallies else self._others[name]
            for name in self._kinds
        }
        return Summary(self._rows, made, self._joint)

    def _add_joint(self, given: Given) -> None:
        """Sum up pairs of numeric columns; none beside a ``like`` that has none, as an older baseline's."""
        if self._like is None and (self._joint is None or not self._joint.count):
            made = {name: tally.summary() for name, tally in self._tallies.items()}
            self._joint = summarise_joint(given, made)
        elif known := (self._like.joint if self._like else self._joint):
            part = summarise_joint_like(given, known)
            self._joint = merge_joints(self._joint, part) if self._joint else part


def summarise(
    columns: Mapping[str, Column], kinds: Mapping[str, str], like: Summary | None = None
) -> Summary:
    """Summarise raw columns by name (None or NaN = missing).

    ``kinds`` maps a name to its type in ``model.yaml``; columns it does not name are left out. ``like`` gives
    centres and grains of numeric columns: a window must be summarised like its baseline to be compared or
    merged. Raises ValueError when a named column is not there, its type is unknown or its length differs.
    """
    made = Summariser(kinds, like)
    made.add(columns)
    return made.build()


def summarise_column(values: Column, kind: str, like: ColumnSummary | None = None) -> ColumnSummary:
    """Summarise one column; see ``summarise``."""
    match KINDS[kind]:
        case "number":
            tally = NumberTally(like)
            tally.add(*_as_floats(values))
            return tally.summary()
        case "category":
            return _summarise_categories(values, _boolean_name if kind == "boolean" else category_name)
        case "opaque":
            nulls = sum(times for value, times in _times(values) if is_null(value))
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
        joint=merge_joints(one.joint, other.joint) if one.joint and other.joint else None,
    )


def summary_from_json(document: Mapping[str, Any]) -> Summary:
    """Read what ``Summary.to_json`` gave; unknown extra keys are left alone."""
    joint = document.get("joint")
    return Summary(
        document["rows"],
        {n: column_from_json(c) for n, c in document["columns"].items()},
        joint_from_json(joint) if joint else None,
    )


def is_null(value: object) -> bool:
    """Say whether a cell of a column is missing: None, or a NaN of any float type."""
    return value is None or value != value  # noqa: PLR0124  # only a NaN differs from itself


def _as_floats(values: Column) -> tuple[Floats, int]:
    """Give float64 with NaN for missing and for invalid values, and the number of invalid ones."""
    try:
        return np.asarray(values, dtype=np.float64), 0
    except (TypeError, ValueError, OverflowError):
        assert not isinstance(values, Coded)
        numbers = np.full(len(values), np.nan)
        invalid = 0
        for index, value in enumerate(values):
            try:
                numbers[index] = np.nan if value is None else float(value)
            except (TypeError, ValueError, OverflowError):
                invalid += 1
        return numbers, invalid


def _summarise_categories(values: Column, name_of: Callable[[object], str]) -> CategorySummary:
    counted: Counter[str] = Counter()
    nulls = other = 0
    for value, times in _times(values):
        if is_null(value):
            nulls += times
        elif len(name := name_of(value)) > LONGEST_VALUE:
            other += times
        else:
            counted[name] += times
    return _capped(dict(counted), nulls, other)


def _times(values: Column) -> Iterable[tuple[object, int]]:
    """Count how often each value occurs; a coded one may come twice."""
    if isinstance(values, Coded):
        names = [None, *values.values] if values.gaps else values.values
        codes = values.codes + 1 if values.gaps else values.codes
        counts = np.bincount(codes, minlength=len(names)).tolist()
        return [(name, n) for name, n in zip(names, counts, strict=True) if n]
    return Counter(values.tolist() if isinstance(values, np.ndarray) else values).items()


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
    if (one.centre, one.grain) != (other.centre, other.grain) and one.count and other.count:
        raise ValueError(
            f"column '{name}' was summarised around {one.centre} and around {other.centre}, in grains of "
            f"{one.grain} and {other.grain}: summarise the later part like the first"
        )
    cells = np.union1d(one.cells, other.cells).astype(np.int64)
    counts = np.zeros(len(cells), dtype=np.int64)
    for part in (one, other):
        counts[np.searchsorted(cells, part.cells)] += part.counts
    lows = [part.minimum for part in (one, other) if part.minimum is not None]
    highs = [part.maximum for part in (one, other) if part.maximum is not None]
    return NumberSummary(
        centre=one.centre if one.count else other.centre,
        grain=one.grain if one.count else other.grain,
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
