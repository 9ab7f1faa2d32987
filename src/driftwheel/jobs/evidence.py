"""What a training job leaves for the gate, the drift check and the reader, beside the model."""

import csv
import gzip
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftwheel.jobs.tables import Floats, HoldoutRow

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

NAMED = 10
"""Names in a sentence."""


@dataclass(frozen=True, eq=False)
class Champion:
    """What the champion said about the holdout.

    ``status``: ``absent`` (none mounted), ``scored``, or ``unusable``; then ``scores`` holds NaN where it
    could not score and ``reason`` says why. ``inputs``: the columns its requests name, where that is known.
    """

    status: str
    scores: Floats | None = None
    reason: str = ""
    run_id: str = ""
    inputs: Sequence[str] | None = None


def request_change(inputs: Sequence[str], required: frozenset[str], champion: Champion) -> str:
    """Say what clients of the champion must change before another model serves them; empty when nothing.

    >>> request_change(["temp", "wind"], frozenset({"wind"}), Champion("scored", inputs=["temp"]))
    "every record must name 'wind'; a CSV row has the cells temp,wind"
    """
    before = champion.inputs
    if before is None or list(before) == list(inputs):
        return ""
    new = [repr(name) for name in inputs if name in required and name not in before]
    said = [f"every record must name {few(new, ', ')}"] if new else []
    return "; ".join([*said, f"a CSV row has the cells {few(inputs, ',')}"])


def few(names: Sequence[str], separator: str) -> str:
    """Join names that a sentence can hold; the others are counted."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


def write_predictions(
    path: Path, rows: Sequence[HoldoutRow], challenger: Floats, champion: Champion, slices: Sequence[str]
) -> None:
    """Write ``predictions.csv.gz``; ``nan`` is an answer that could not be given, empty is nobody to ask.

    The same rows and scores give the same bytes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["key", "label", "challenger", "champion", *(f"slice.{name}" for name in slices)])
    for number, row in enumerate(rows):
        theirs = "" if champion.scores is None else repr(float(champion.scores[number]))
        cells = [cell_text(row.record.get(name)) for name in slices]
        writer.writerow([row.key, repr(row.label), repr(float(challenger[number])), theirs, *cells])
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def cell_text(value: object) -> str:
    """Write a value so that no spreadsheet runs it; numbers stay numbers.

    >>> cell_text("=cmd|'/c calc'!A1"), cell_text(-1.5), cell_text(None)
    ("'=cmd|'/c calc'!A1", '-1.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return str(value)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON that every reader accepts: a number that is none becomes null."""
    path.write_text(json.dumps(_finite(document), sort_keys=True, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
