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

from driftwheel.jobs.single import Floats
from driftwheel.jobs.tables import HoldoutRow
from driftwheel.recipe.row import RowRecipe

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

NAMED = 10
"""Names in a sentence."""


@dataclass(frozen=True, eq=False)
class Champion:
    """What the champion said about the holdout.

    ``status``: ``absent`` (none mounted), ``scored``, or ``unusable``; then ``scores`` holds NaN where it
    could not score and ``reason`` says why. ``recipe`` is there unless the artifact cannot be read.
    """

    status: str
    scores: Floats | None = None
    reason: str = ""
    run_id: str = ""
    recipe: RowRecipe | None = None


def request_change(new: RowRecipe, old: RowRecipe | None) -> str:
    """Say what a champion's clients must change before another model serves them; empty when nothing.

    ``old`` is the champion's recipe, as far as it can be read: what it answers must not be refused unasked.
    """
    if old is None:
        return ""
    named = [name for name in new.inputs if name in new.required - old.required]
    lenient = {name for name in new.inputs if name not in old.columns or not _is_needed(old, name)}
    given = [name for name in new.inputs if name in lenient and _is_needed(new, name)]
    types = {name: column["type"] for name, column in old.columns.items()}
    retyped = [
        f"{name!r} is of type {column['type']}, not {types[name]}"
        for name, column in new.columns.items()
        if types.get(name, column["type"]) != column["type"]
    ]
    said = [f"every record must name {few(named)}"] if named else []
    said += [f"a value may not be missing in {few(given)}"] if given else []
    said += retyped[:NAMED]
    if list(new.inputs) != list(old.inputs):
        came = [name for name in new.inputs if name not in old.inputs]
        gone = [name for name in old.inputs if name not in new.inputs]
        moves = [f"with {few(came)}"] if came else []
        moves += [f"without {few(gone)}"] if gone else []
        said.append(f"CSV rows have other cells, {' and '.join(moves) or 'in another order'}")
    return "; ".join(said)


def _is_needed(recipe: RowRecipe, name: str) -> bool:
    return bool(recipe.columns[name]["missing"] == "reject")


def few(names: Sequence[str]) -> str:
    """Quote names that a sentence can hold; the others are counted."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(repr(name) for name in names[:NAMED]) + more


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
