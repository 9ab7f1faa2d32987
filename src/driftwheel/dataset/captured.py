"""Captured requests whose labels arrived, as rows of the next data set."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from driftwheel.dataset.files import CaptureFile, LabelFile
from driftwheel.dataset.flood import limit_hours
from driftwheel.drift.captured import CaptureReader
from driftwheel.drift.labels import LabelReader
from driftwheel.hours import HOUR
from driftwheel.sources.file import one_line


def stage_captured(
    path: Path,
    recipe: Mapping[str, Any],
    most: int,
    captures: Iterable[CaptureFile],
    labels: Iterable[LabelFile],
    held_hours: Collection[str] = (),
) -> dict[str, int]:
    """Write labelled requests as CSV without a header; predictions never become labels. Give the counts.

    Columns: those of the recipe as they were sent, line, id, time of the request, label. ``labels`` stand in
    the order they arrived: a later one corrects an earlier one. What was asked in one of ``held_hours``
    (``2026-11-29T09``, UTC) is left out, and of another hour at most ``most`` rows are kept.
    """
    truth = LabelReader()
    for file in labels:
        truth.read(file.chunks, file.key)
    names = [column["name"] for column in recipe["columns"]]
    # As it was sent: the rows are cleaned later with all others, so a captured and a dropped row go one way.
    reader = CaptureReader(recipe["inputs"], names)
    files = line = labelled = 0
    held: Counter[str] = Counter(dict.fromkeys(held_hours, 0))
    marks = [(column.get("notation") or {}).get("decimal", ".") for column in recipe["columns"]]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for capture in captures:
            files += 1
            for batch in reader.read(capture.chunks, capture.key):
                told = batch.labels(truth.known)
                rows = zip(*batch.columns.values(), strict=True)
                for values, row_id, time, label in zip(rows, batch.ids, batch.times, told, strict=True):
                    line += 1
                    if label is not None and time[:HOUR] in held:
                        held[time[:HOUR]] += 1
                    elif label is not None:
                        labelled += 1
                        cells = [*_cells(values, marks), line, one_line(row_id), time, repr(label)]
                        writer.writerow(cells)
    flooded = limit_hours(path, most) if line > most else 0
    return {
        "files": files,
        "rows": line,
        "labels": len(truth.known),
        "labelled": labelled - flooded,
        "malformed": sum(reader.malformed.values()),
        "malformed_labels": sum(truth.malformed.values()),
        "corrected_labels": truth.corrected,
        "flooded": flooded,
        "held": held.total(),
        "held_hours": sum(rows > 0 for rows in held.values()),
    }


def _cells(values: Iterable[Any], marks: Iterable[str]) -> Iterator[str | None]:
    """Write one captured row; a JSON number is written in its column's notation, as it will be read back."""
    for value, mark in zip(values, marks, strict=True):
        text = as_text(value)
        yield text.replace(".", mark) if text and mark != "." and isinstance(value, float) else text


def as_text(value: Any) -> str | None:
    """Write a JSON value the way a CSV file would hold it.

    >>> as_text(True), as_text(5), as_text(0.1), as_text(None)
    ('true', '5', '0.1', None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        return one_line(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)
