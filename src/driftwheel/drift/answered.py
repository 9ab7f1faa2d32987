"""What the model answered, by the hour and by slice; of rows whose label has come, score and label too."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from driftwheel.drift.cells import Floats
from driftwheel.hours import HOUR

MOST_VALUES = 1_000
"""Values of one slice column that are told apart, the first ones met: a column of free text is no slice."""

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Sliced:
    """One slice column: its values, each labelled row's place among them (-1: beyond), rows by value."""

    values: tuple[str, ...]
    codes: Codes
    rows: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Answered:
    """Answered rows. ``scores``, ``labels`` and ``at``, a place in ``hours``, are of the labelled ones alone.

    ``rows`` counts all by hour (``2026-11-27T15``). ``looked_at`` counts those whose label was looked for: as
    many, or a sample of them.
    """

    hours: tuple[str, ...]
    at: Codes
    scores: Floats
    labels: Floats
    rows: Mapping[str, int]
    looked_at: Mapping[str, int]
    slices: Mapping[str, Sliced] = field(default_factory=dict)


class AnswerLog:
    """Collects answers batch by batch; unlabelled rows are only counted."""

    def __init__(self, slices: Iterable[str] = ()) -> None:
        self._rows: Counter[str] = Counter()
        self._hours: dict[str, int] = {}
        self._values: dict[str, dict[Any, int]] = {name: {} for name in slices}
        self._in: dict[str, Counter[Any]] = {name: Counter() for name in self._values}
        self._at: list[Codes] = []
        self._scores: list[Floats] = []
        self._labels: list[Floats] = []
        self._codes: dict[str, list[Codes]] = {name: [] for name in self._values}

    @property
    def slices(self) -> list[str]:
        """The columns answers are told apart by."""
        return list(self._values)

    def add(
        self,
        times: Sequence[str],
        scores: Sequence[float | None],
        labels: Sequence[float | None],
        columns: Mapping[str, Sequence[Any]],
    ) -> None:
        """Add rows: when each was asked (ISO 8601 UTC), score and label (None: not known), its columns."""
        if not times:
            return
        first, last = min(times)[:HOUR], max(times)[:HOUR]
        alike = first == last  # so is what stands between them
        hours = [first] * len(times) if alike else [time[:HOUR] for time in times]
        self._rows.update({first: len(times)} if alike else hours)
        for name, counter in self._in.items():
            counter.update(columns[name])
        if labels.count(None) == len(labels):
            return
        known = [s is not None and lab is not None for s, lab in zip(scores, labels, strict=True)]
        if not any(known):
            return
        places = [self._hours.setdefault(hour, len(self._hours)) for hour in compress(hours, known)]
        self._at.append(np.array(places, dtype=np.int32))
        self._scores.append(np.array(list(compress(scores, known)), dtype=np.float64))
        self._labels.append(np.array(list(compress(labels, known)), dtype=np.float64))
        for name, values in self._values.items():
            codes = [_code(values, value) for value in compress(columns[name], known)]
            self._codes[name].append(np.array(codes, dtype=np.int32))

    def build(self) -> Answered:
        """Give what was collected."""
        none = np.zeros(0)
        slices = {
            name: Sliced(
                tuple(map(text_of, values)),
                np.concatenate([none, *self._codes[name]]).astype(np.int32),
                {text_of(value): rows for value, rows in self._in[name].items()},
            )
            for name, values in self._values.items()
        }
        return Answered(
            tuple(self._hours),
            np.concatenate([none, *self._at]).astype(np.int32),
            np.concatenate([none, *self._scores]),
            np.concatenate([none, *self._labels]),
            dict(self._rows),
            dict(self._rows),
            slices,
        )


def text_of(value: Any) -> str:
    """Write a slice's value as the gate does; a missing one is empty.

    >>> text_of("JFK"), text_of(True), text_of(None)
    ('JFK', 'True', '')
    """
    return "" if value is None else str(value)


def _code(values: dict[Any, int], value: Any) -> int:
    if value in values or len(values) < MOST_VALUES:
        return values.setdefault(value, len(values))
    return -1
