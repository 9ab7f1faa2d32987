# ruff: noqa: S608  # every name below is ours
"""From cleaned rows to the files a training job reads, on whatever engine holds the rows."""

import gzip
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from driftwheel.dataset import checks, leakage, outputs, profile, rollover, schema_diff, splits
from driftwheel.dataset.files import Assembled, CaptureFile, DataFile, LabelFile
from driftwheel.dataset.redundancy import redundant
from driftwheel.dataset.shift import find_shifts, strange_categories
from driftwheel.dataset.workspace import Workspace
from driftwheel.digest import digest, recipe_digest
from driftwheel.recipe.fit import fit, fit_folds
from driftwheel.refusal import Refusal

if TYPE_CHECKING:
    from driftwheel.spec import ModelSpec

FILES = ("train.parquet", "validation.parquet", "recipe.json", "params.json", "golden.jsonl", "profile.json")
"""What a run publishes beside its manifest; the holdout goes to a place of its own."""

HOLDOUT, REJECTED = "holdout.jsonl.gz", "rejected.jsonl.gz"
PREPARED = "prepared.json"
"""What a Spark job says of its outcome, for the step that publishes it."""


@dataclass(frozen=True)
class Pinned:
    """The champion's holdout: its file, SHA-256, and the question its rows answer (see ``question``)."""

    path: Path
    sha256: str
    uri: str
    question: str


@dataclass(frozen=True)
class Inputs:
    """What a run may read; ``rollover`` allows the pinned holdout to be replaced by the newest rows.

    ``baseline`` is the champion's profile.json: what its rows looked like. ``taught`` are the Parquet files
    it was trained on, where a new holdout must leave their keys out. ``held_hours`` are those of captured
    traffic that no row may come from.
    """

    files: Iterable[DataFile]
    labels: Iterable[LabelFile] = ()
    captures: Iterable[CaptureFile] = ()
    pinned: Pinned | None = None
    baseline: Mapping[str, Any] | None = None
    rollover: bool = False
    taught: Sequence[Path] = ()
    held_hours: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """What became of the rows.

    ``refused`` pairs the S3 key of a refused file with why; ``problem`` is what is wrong with the whole.
    ``holdout_uri`` is empty when the folder holds a holdout of its own.
    """

    outcome: Literal["ready", "refused"]
    rows: dict[str, int]
    refused: list[tuple[str, Refusal]]
    problem: Refusal | None = None
    data_digest: str = ""
    recipe_digest: str = ""
    holdout_digest: str = ""
    holdout_uri: str = ""
    rolled_over: bool = False
    positives: float | None = None
    leakage: list[str] = field(default_factory=list)
    shifts: list[str] = field(default_factory=list)
    question: str = ""


def finish(
    space: Workspace,
    found: Assembled,
    inputs: Inputs,
    declared: Mapping[str, object],
    keep_usable: Callable[[list[int]], dict[str, int]],
) -> Prepared:
    """Check, split, fit, describe and write the rows of ``cleaned``.

    ``keep_usable`` is given the numbers of the refused files, makes ``usable`` and ``rows``, and counts what
    stayed behind. ``declared`` is what of the specification rows and model depend on.
    """
    checks.refuse_files(space, found)
    _write_rejected(space, found)
    left_out = [number for number, facts in found.files.items() if facts.refusal]
    counts = _read(space, found) | keep_usable(left_out)
    problem = None
    if not found.readable("source") or (problem := checks.refuse_whole(space)):
        return refused(found, problem, counts)
    return _publish(space, found, inputs, declared, counts)


def question(recipe: dict[str, Any], spec: "ModelSpec") -> str:
    """Name what a holdout's rows answer: another key, target or set of inputs needs another holdout."""
    return digest(spec.source.key, recipe["target"], sorted(outputs.requested(recipe, spec)))


def _publish(
    space: Workspace,
    found: Assembled,
    inputs: Inputs,
    declared: Mapping[str, object],
    counts: dict[str, int],
) -> Prepared:
    spec, recipe, folder = space.spec, space.recipe, space.folder
    asked = question(recipe, spec)
    judges = rollover.choose(space, inputs, asked)
    pinned = judges.pinned
    keys = outputs.holdout_keys(pinned.path) if pinned else None
    if problem := splits.assign(space, keys, judges.seen, judges.taught):
        return refused(found, problem, counts)
    training = space.training()
    params = fit(training, recipe)
    outputs.write_splits(space, params, fit_folds(training, recipe, params))
    space.keep_sample(params)
    outputs.write_golden(space, params)
    holdout = pinned.sha256 if pinned else outputs.write_holdout(space)
    parted = dict(space.rows("SELECT __split, count(*) FROM parted GROUP BY 1"))
    counts |= {name: parted.get(name, 0) for name in splits.SPLITS}
    if pinned:
        counts["holdout"] = sum(1 for _ in outputs.holdout_keys(pinned.path))
    used = _used(space)
    suspects = leakage.suspected(space, params)
    shifts = find_shifts(space, found, inputs.baseline) if inputs.baseline else []
    labels = profile.label_profile(space)
    columns = profile.column_profiles(space)
    for counts_of in (profile.rewritten_texts(space), profile.fitted_rules(space, params)):
        for name, counted in counts_of.items():
            columns[name] |= counted
    unreadable = [name for name, facts in columns.items() if facts["bad_literal"]]
    extra = schema_diff.undeclared(space, found)
    outputs.write_json(folder / "recipe.json", recipe)
    outputs.write_json(folder / "params.json", params)
    document = {
        "version": 1,
        "model": spec.model,
        "rows": counts,
        "sources": _sources(found, used),
        "captured": found.captured | {"used": used.get(None, {})},
        "unmatched": found.unmatched,
        "rejected_by_rule": profile.rejected_by_rule(space),
        "columns": columns,
        "undeclared": extra,
        "label": labels,
        "time": profile.spans(space),
        "suspected_leakage": suspects,
        "notes": [
            *judges.notes,
            *_held(spec.model, found.captured),
            *schema_diff.differences(space, found, extra, inputs.baseline),
            *(strange_categories(space, found, inputs.baseline) if inputs.baseline else ()),
            *profile.unlisted(columns),
            *checks.unreadable_values(space, found, unreadable),
            *redundant(space, params),
        ],
        "suspected_shift": shifts,
    }
    outputs.write_json(folder / "profile.json", _finite(document))
    rows = outputs.rows_digest(space)
    return Prepared(
        outcome="ready",
        rows=counts,
        refused=_refusals(found),
        data_digest=digest("rows", rows, holdout, declared),
        recipe_digest=recipe_digest(recipe),
        holdout_digest=holdout,
        holdout_uri=pinned.uri if pinned else "",
        rolled_over=inputs.pinned is not None and pinned is None,
        positives=labels["mean"] if spec.target.kind == "binary" else None,
        leakage=[*dict.fromkeys(entry["feature"] for entry in suspects)],
        shifts=shifts,
        question=asked,
    )


def refused(found: Assembled, problem: Refusal | None, counts: dict[str, int]) -> Prepared:
    """Answer that nothing can be trained on these files."""
    return Prepared(outcome="refused", rows=counts, refused=_refusals(found), problem=problem)


def _refusals(found: Assembled) -> list[tuple[str, Refusal]]:
    return [(facts.key, facts.refusal) for facts in found.files.values() if facts.refusal]


def _read(space: Workspace, found: Assembled) -> dict[str, int]:
    bad_lines = sum(facts.bad_line_count for facts in found.files.values() if facts.role == "source")
    rejected, captured = space.one(
        "SELECT count(*) FILTER (WHERE __rejected IS NOT NULL), "
        "count(*) FILTER (WHERE __origin = 'captured') FROM cleaned"
    )
    return {
        "read": space.count("cleaned") + bad_lines,
        "captured": captured,
        "held": found.captured.get("held", 0),
        "rejected": rejected + bad_lines,
        "refused_files": sum(facts.refusal is not None for facts in found.files.values()),
    }


def _held(model: str, captured: Mapping[str, int]) -> Iterator[str]:
    if rows := captured.get("held", 0):
        hours = captured["held_hours"]
        yield (
            f"captured traffic: {rows:,} labelled rows of {hours:,} held {'hour' if hours == 1 else 'hours'} "
            f"are left out: `driftwheel hours {model}` says why, and how to release them"
        )


def _used(space: Workspace) -> dict[int | None, dict[str, int]]:
    """Count the rows of each file by split; captured ones have no file."""
    found: dict[int | None, dict[str, int]] = {}
    for file, split, rows in space.rows("SELECT __file, __split, count(*) FROM parted GROUP BY 1, 2"):
        found.setdefault(file, {})[split] = rows
    return found


def _sources(found: Assembled, used: Mapping[int | None, dict[str, int]]) -> list[dict[str, Any]]:
    return [
        {
            "key": facts.key,
            "version": facts.version,
            "role": facts.role,
            "rows": facts.rows,
            "rejected": facts.rejected,
            "bad_lines": facts.bad_line_count,
            "used": used.get(number, {}),
        }
        | ({"refused": facts.refusal.facts()} if facts.refusal else {})
        for number, facts in found.files.items()
    ]


def _write_rejected(space: Workspace, found: Assembled) -> None:
    """Write every rejected row and line to ``rejected.jsonl.gz``: where it stood, the rule, the value."""
    with gzip.GzipFile(space.folder / REJECTED, "wb", mtime=0) as stream:
        for entry in _rejections(space, found):
            stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def _rejections(space: Workspace, found: Assembled) -> Iterator[dict[str, Any]]:
    for facts in found.files.values():
        for bad in facts.bad_lines:
            yield {"key": facts.key} | asdict(bad)
    for file, line, rule, value, row_id in _rejected_rows(space):
        where = {"key": found.files[file].key} if file is not None else {"captured": row_id}
        column, _, reason = rule.partition(": ")
        yield where | {"line": line, "column": column, "reason": reason, "value": value}


def _rejected_rows(space: Workspace) -> Iterator[tuple[Any, ...]]:
    """Give file number, line, rule, value and captured row id of every rejected row."""
    order = ", ".join(f"{name} NULLS LAST" for name in ("__file", "__line", "__rejected", "__value", "__id"))
    for batch in space.batches(
        "SELECT __file, __line, __rejected, __value, __id FROM cleaned "
        f"WHERE __rejected IS NOT NULL ORDER BY {order}"
    ):
        yield from batch


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value
