"""What lies in quarantine: refused files, rejected rows, and whether putting them through again can help."""

import gzip
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from driftwheel.errors import ObjectGone
from driftwheel.layout import S3Uri, quarantine_key
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.spec import ModelSpec
from driftwheel_cli.arrivals import run_document
from driftwheel_cli.connection import Stack
from driftwheel_cli.sections import refusals

READS = ("source", "enrich", "columns", "target", "split", "quality")
"""The parts of model.yaml that decide which files and rows are refused."""

Way = Literal["reopen", "restore", "reread", "unchanged", "replaced", "later run", "gone"]
"""What replay does with a thing; the last four are why it does nothing."""

TODO: frozenset[Way] = frozenset({"reopen", "restore", "reread"})

WORDS: dict[Way, str] = {
    "reopen": "returns to pending",
    "restore": "its version was deleted: the quarantined copy is delivered again",
    "reread": "the next run reads the files again",
    "unchanged": "nothing: model.yaml reads data as it did then",
    "replaced": "nothing: a later version of the file was delivered",
    "later run": "nothing: a later run has read the files again",
    "gone": "nothing: its bytes are gone, drop it again",
}


@dataclass(frozen=True)
class RefusedFile:
    """One quarantined object version, the code it was refused with, and what replay does with it."""

    row: ObjectRow
    code: str
    way: Way


@dataclass(frozen=True)
class RejectedRows:
    """Rows of one file that one run rejected for one reason, and what replay does with them."""

    run_id: str
    key: str
    code: str
    count: int
    way: Way


def refused_files(stack: Stack, spec: ModelSpec) -> list[RefusedFile]:
    """List the quarantined object versions of a model, in the order of their keys."""
    rows = [row for row in stack.ledger.objects.of_model(spec.model) if row.state == "quarantined"]
    oldest = min((row.received for row in rows), default="")
    runs = [
        run for run in stack.ledger.runs.of_model(spec.model) if run.ended_at and run.started_at >= oldest
    ]
    refusing = [_Refusing.of(run, run_document(stack, run)) for run in runs] if rows else []
    return [RefusedFile(row, row.reason.partition(":")[0], _way(stack, spec, row, refusing)) for row in rows]


@dataclass(frozen=True)
class _Refusing:
    """A run that ended: since when, which keys it refused, and the model.yaml it went by."""

    started_at: str
    keys: frozenset[str]
    spec: dict[str, Any]

    @classmethod
    def of(cls, run: RunRow, document: dict[str, Any]) -> "_Refusing":
        keys = (str(refusal.get("key")) for refusal in refusals(document))
        return cls(run.started_at, frozenset(keys), document.get("spec") or {})


def rejected_rows(stack: Stack, spec: ModelSpec, run: RunRow | None = None) -> list[RejectedRows]:
    """Count the rows a run rejected, by file and reason; of no run in particular, those of the last one.

    Every run reads all files of its window again, so what an earlier run rejected is history.
    """
    last, document = _last_reading(stack, spec.model)
    run = run or last
    if run is None or last is None:
        return []
    way: Way = "reread"
    if run.run_id != last.run_id:
        way = "later run"
    elif _reads_alike(spec, document.get("spec") or {}):
        way = "unchanged"
    counts = _count_rows(stack, run)
    return [RejectedRows(run.run_id, key, code, n, way) for (key, code), n in sorted(counts.items())]


def quarantined_copy(stack: Stack, row: ObjectRow) -> S3Uri:
    """Say where the bytes of a refused object version were kept."""
    name = row.key.rsplit("/", 1)[-1]
    return S3Uri(stack.names.artifact_bucket, quarantine_key(row.model, row.version or row.etag, name))


def _way(stack: Stack, spec: ModelSpec, row: ObjectRow, runs: list[_Refusing]) -> Way:
    if stack.ledger.objects.successor(row) is not None:
        return "replaced"
    told = (run for run in runs if row.key in run.keys and run.started_at >= row.received)
    if any(_reads_alike(spec, run.spec) for run in told):
        return "unchanged"  # not only by the last: model.yaml may have gone back to what it was before
    if stack.objects.size(row.bucket, row.key, row.version) is not None:
        return "reopen"
    if stack.objects.exists(S3Uri(row.bucket, row.key)):
        return "replaced"  # by a version the trigger has not entered yet
    return "restore" if stack.objects.exists(quarantined_copy(stack, row)) else "gone"


def _last_reading(stack: Stack, model: str) -> tuple[RunRow | None, dict[str, Any]]:
    """Find the last run that ended and had read its rows."""
    for run in stack.ledger.runs.of_model(model):
        document = run_document(stack, run) if run.ended_at else {}
        if document.get("preprocessing"):
            return run, document
    return None, {}


def _reads_alike(spec: ModelSpec, other: dict[str, Any]) -> bool:
    now = spec.model_dump(mode="json", exclude_none=True)
    return bool(other) and all(now.get(part) == other.get(part) for part in READS)


def _count_rows(stack: Stack, run: RunRow) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    key = quarantine_key(run.model, run.run_id, "rows.jsonl.gz")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl.gz"
        try:
            stack.objects.download(stack.names.artifact_bucket, key, "", path)
        except ObjectGone:
            return counts  # a run that rejects nothing keeps no file
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for entry in map(json.loads, lines):
                code = ": ".join(filter(None, (entry.get("column"), entry["reason"])))
                counts[entry.get("key", "captured traffic"), code] += 1
    return counts
