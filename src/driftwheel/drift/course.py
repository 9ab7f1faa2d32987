"""How good the answers of each hour or day were, by every label known now, and of each slice of the window.

Figures for people: the verdict rests on the whole window, or on the latest hours whose labels have come.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from driftwheel.drift.answered import Answered, Sliced
from driftwheel.drift.cells import Floats
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.quality import CLASSIFIER, Metric, beside, measure
from driftwheel.drift.quality_loss import LEAST_LABELLED
from driftwheel.drift.window import Window
from driftwheel.gate.slices import MINIMUM_CLASS_ROWS, MOST
from driftwheel.hours import DAY, HOUR

MOST_HOURS = 48
"""Longer traffic is told by the day: more points than that fit no picture."""

DIGITS = 6


def course(parts: Sequence[Answered], metric: Metric) -> dict[str, Any]:
    """Measure every hour or day (UTC) in which rows were answered, oldest first.

    A label that came late, or corrected an earlier one, changes the hour its row was answered in, however
    long ago: nothing measured before is kept. Too few labels to measure leave ``value`` out.
    """
    rows: Counter[str] = Counter()
    looked_at: Counter[str] = Counter()
    for part in parts:
        rows.update(part.rows)
        looked_at.update(part.looked_at)
    hours = sorted(hour for hour in rows if hour)
    by_hour = len(hours) <= MOST_HOURS
    length = HOUR if by_hour else DAY
    names = sorted({hour[:length] for hour in hours})
    at = np.concatenate([np.zeros(0, dtype=np.int64), *(_places(part, names, length) for part in parts)])
    scores = np.concatenate([np.zeros(0), *(part.scores for part in parts)])
    labels = np.concatenate([np.zeros(0), *(part.labels for part in parts)])
    periods = []
    for place, name in enumerate(names):
        mine = at == place
        asked = sum(n for hour, n in looked_at.items() if hour[:length] == name)
        answered = sum(n for hour, n in rows.items() if hour[:length] == name)
        measured = measured_of(scores[mine], labels[mine], metric, asked)
        periods.append({"at": f"{name}:00Z" if by_hour else name, "rows": answered} | measured)
    return {"metric": metric, "by": "hour" if by_hour else "day", "periods": periods}


def by_slice(answered: Answered, metric: Metric, declared: Sequence[str]) -> dict[str, Any]:
    """Measure each value of the declared slices, the most rows first.

    ``measured`` are those with enough labels, ``few`` counts the others; ``not_captured`` are columns that no
    request carries. Intervals are of each slice alone: of twenty, one lies beside the truth by chance.
    """
    values = [
        (rows, column, value, _rows_of(sliced, value))
        for column, sliced in answered.slices.items()
        for value, rows in sliced.rows.items()
    ]
    values.sort(key=lambda one: (-one[0], one[1], one[2]))
    found: list[dict[str, Any]] = []
    for rows, column, value, mine in values:
        if len(mine) < MINIMUM_CLASS_ROWS or len(found) == MOST:
            continue
        measured = measured_of(answered.scores[mine], answered.labels[mine], metric, rows)
        if "value" in measured:
            found.append({"column": column, "slice": value, "rows": rows} | measured)
    return {
        "metric": metric,
        "measured": found,
        "few": len(values) - len(found),
        "not_captured": [name for name in declared if name not in answered.slices],
    }


def measured_of(scores: Floats, labels: Floats, metric: Metric, rows: int) -> dict[str, Any]:
    """Measure a group with its interval; without ``MINIMUM_CLASS_ROWS`` of each class it has no value."""
    measured = measure(scores, labels, metric, rows)
    found: dict[str, Any] = {"labelled": measured.labelled, "coverage": round(measured.coverage, DIGITS)}
    positives = int((labels == 1).sum())
    least = min(positives, len(labels) - positives) if metric in CLASSIFIER else len(labels)
    if least < MINIMUM_CLASS_ROWS:
        return found
    figures = {"value": measured.value, "low": measured.low, "high": measured.high}
    return found | {name: round(figure, DIGITS) for name, figure in figures.items() if figure is not None}


def with_latest_labels(window: Window, earlier: Answered | None, metric: Metric) -> Window:
    """Give a window too few of whose labels have come the quality of the latest hours that have enough.

    Labels that come a week late would else never be held against the model of a window of an hour. The
    quality says of which hours it is.
    """
    if earlier is None or (window.quality is not None and window.quality.labelled >= LEAST_LABELLED):
        return window
    parts = [earlier, *([window.answered] if window.answered else [])]
    labelled = labelled_hours(parts)
    chosen: list[str] = []
    for hour in sorted((hour for hour, n in labelled.items() if hour and n), reverse=True):
        chosen.append(hour)
        if sum(labelled[one] for one in chosen) >= LEAST_LABELLED:
            break
    else:
        return window
    first, last = chosen[-1], chosen[0]
    mine = [_between(part, first, last) for part in parts]
    scores = np.concatenate([part.scores[rows] for part, rows in zip(parts, mine, strict=True)])
    labels = np.concatenate([part.labels[rows] for part, rows in zip(parts, mine, strict=True)])
    rows = sum(n for part in parts for hour, n in part.looked_at.items() if first <= hour <= last)
    since, until = f"{first}:00Z", f"{last}:59Z"
    return replace(
        window,
        quality=replace(measure(scores, labels, metric, rows), since=since, until=until),
        beside=[replace(one, since=since, until=until) for one in beside(scores, labels, metric, rows)],
    )


def told(
    report: DriftReport, window: Window, earlier: Answered | None, metric: Metric, slices: Sequence[str]
) -> DriftReport:
    """Add to a report the quality of each hour or day up to now, and of each slice of the window."""
    parts = [part for part in (earlier, window.answered) if part is not None]
    sliced = by_slice(window.answered, metric, slices) if window.answered and slices else None
    return replace(report, course=course(parts, metric), slices=sliced)


def labelled_hours(parts: Sequence[Answered]) -> Counter[str]:
    """Count labelled rows by the hour of their answer."""
    labelled: Counter[str] = Counter()
    for part in parts:
        counts = np.bincount(part.at, minlength=len(part.hours)).tolist()
        labelled.update(dict(zip(part.hours, counts, strict=True)))
    return labelled


def labelled_days(report: DriftReport) -> dict[str, int]:
    """Count by day the rows of the champion whose label is known, in the window or before it."""
    days: Counter[str] = Counter()
    for period in (report.course or {"periods": []})["periods"]:
        days[period["at"][:DAY]] += int(period["labelled"])
    return {day: rows for day, rows in days.items() if rows}


def _between(part: Answered, first: str, last: str) -> npt.NDArray[np.int64]:
    inside = np.array([first <= hour <= last for hour in part.hours], dtype=bool)
    return np.flatnonzero(inside[part.at]) if len(part.at) else np.zeros(0, dtype=np.int64)


def _rows_of(sliced: Sliced, value: str) -> npt.NDArray[np.int64]:
    """Give the places of a value's labelled rows."""
    if value not in sliced.values:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(sliced.codes == sliced.values.index(value))


def _places(part: Answered, names: Sequence[str], length: int) -> Any:
    known = {name: place for place, name in enumerate(names)}
    return np.array([known.get(hour[:length], -1) for hour in part.hours], dtype=np.int64)[part.at]
