"""Preprocessing: the frozen objects become training files; what is unusable is set aside with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.dataset import CaptureFile, DataFile, Inputs, LabelFile, Pinned, Prepared, prepare
from driftwheel.dataset.finish import FILES, HOLDOUT, PREPARED, REJECTED, question
from driftwheel.dataset.outputs import file_sha256
from driftwheel.errors import ArtifactInvalid, ObjectGone
from driftwheel.layout import RunLayout, S3Uri, holdout_prefix, quarantine_key
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.runs import Runs
from driftwheel.ledger.table import Table
from driftwheel.recipe.declare import declare
from driftwheel.refusal import Refusal
from driftwheel.run import PreprocessingSection, Run
from driftwheel.steps.data_arrival import set_aside
from driftwheel.steps.shortened import LEAKAGE_BYTES, SHIFT_BYTES, all_refused, few_of, refused_fields

GZIP_OF_NOTHING = 64
"""A gzip file of at most so many bytes holds no row: it is not worth an object."""


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger this step touches."""

    objects: ObjectLedger
    runs: Runs

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        return cls(ObjectLedger(table), Runs(table))


@dataclass(frozen=True)
class Place:
    """Where artifacts go, where the work is done, and how much memory DuckDB may take (MB)."""

    artifact_bucket: str
    folder: Path
    memory_mb: int


def preprocess(run: Run, objects: Objects, ledger: Ledger, place: Place) -> PreprocessingSection:
    """Prepare the run's data set, or take what Spark prepared, and publish it, manifest last.

    ``refused``: nothing can be trained on it. ``unchanged``: another run already decided on these rows.
    May be repeated: the same objects give the same files under the same names. Raises LeaseLost when another
    run took over and has the same rows.
    """
    entries = Entries(run, objects, place.folder)
    outcome: Folder | Output
    if run.preprocessing_launch is None:
        prepared = _prepare(run, entries, objects, place)
        outcome = Folder(place.folder, objects)
    else:
        document = objects.read_json(S3Uri.parse(run.preprocessing_launch.output_uri) / PREPARED)
        prepared, outcome = from_json(document), Output(run, document["files"], objects)
    refused = [*entries.gone, *prepared.refused]
    for key, refusal in refused:
        set_aside(run, entries.by_key[key], refusal, objects, ledger.objects, place.artifact_bucket)
    kept = quarantine_key(run.model, run.run_id, "rows.jsonl.gz")
    outcome.keep_rejected(S3Uri(place.artifact_bucket, kept))
    reasons = [refusal for _, refusal in refused] + ([prepared.problem] if prepared.problem else [])
    where = RunLayout(place.artifact_bucket, run.model, run.run_id).step("preprocessing")
    fields = refused_fields(reasons, where / "refused.json", objects)
    if prepared.outcome == "refused":
        return PreprocessingSection(outcome="refused", uri=str(where), rows=prepared.rows, **fields)
    section = PreprocessingSection(
        outcome="ready",
        uri=str(where),
        data_digest=prepared.data_digest,
        recipe_digest=prepared.recipe_digest,
        holdout_digest=prepared.holdout_digest,
        holdout_uri=prepared.holdout_uri or str(_holdout_uri(run, prepared, place)),
        rolled_over=prepared.rolled_over,
        rows=prepared.rows,
        positives=prepared.positives,
        suspected_leakage=few_of(prepared.leakage, LEAKAGE_BYTES),
        suspected_shift=few_of(prepared.shifts, SHIFT_BYTES),
        **fields,
    )
    owner = ledger.runs.claim_data(run.model, prepared.data_digest, run.run_id, run.fence)
    if owner != run.run_id:
        return section.model_copy(update={"outcome": "unchanged", "same_as": owner})
    if not prepared.holdout_uri:
        outcome.publish(HOLDOUT, S3Uri.parse(section.holdout_uri))
    for name in FILES:
        outcome.publish(name, where / name)
    objects.write_json(where / "manifest.json", _manifest(section, prepared, outcome, run))
    return section


def _prepare(run: Run, entries: "Entries", objects: Objects, place: Place) -> Prepared:
    frozen = entries.frozen
    pinned = pinned_holdout(run, objects, place.artifact_bucket, place.folder)
    taught = taught_files(run, pinned, place.artifact_bucket, rollover=frozen["rollover"])
    for name, uri in taught.items():
        _fetch(uri, place.folder / name, objects)
    inputs = Inputs(
        files=entries.data(),
        labels=entries.labels(),
        captures=[CaptureFile(e["key"], objects.stream(e["bucket"], e["key"])) for e in frozen["captures"]],
        pinned=pinned,
        baseline=champion_profile(run, objects, place.artifact_bucket),
        rollover=frozen["rollover"],
        taught=[place.folder / name for name in taught],
        held_hours=frozen.get("held_hours", []),
    )
    return prepare(run.spec, inputs, place.folder, memory_mb=place.memory_mb)


def from_json(document: dict[str, Any]) -> Prepared:
    """Read what ``jobs.preprocess_spark`` says it prepared; raises ArtifactInvalid."""
    fields = {name: value for name, value in document.items() if name != "files"}
    try:
        refused = [(key, Refusal(**refusal)) for key, refusal in fields["refused"]]
        problem = Refusal(**fields["problem"]) if fields["problem"] else None
        return Prepared(**fields | {"refused": refused, "problem": problem})
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid(f"{PREPARED} of the processing job is not what this version reads") from error


@dataclass(frozen=True)
class Folder:
    """What DuckDB left in a folder of this machine."""

    path: Path
    objects: Objects

    def keep_rejected(self, target: S3Uri) -> None:
        """Keep the rejected rows, if there are any."""
        path = self.path / REJECTED
        if path.exists() and path.stat().st_size > GZIP_OF_NOTHING:
            self.objects.upload(path, target)

    def publish(self, name: str, target: S3Uri) -> None:
        """Put a file in its place."""
        self.objects.upload(self.path / name, target)

    def described(self, name: str) -> dict[str, Any]:
        """Give a file's SHA-256 and bytes."""
        path = self.path / name
        return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


@dataclass(frozen=True)
class Output:
    """What the processing job left in S3, already where the run's files belong."""

    run: Run
    files: dict[str, dict[str, Any]]
    objects: Objects

    def _place(self, name: str) -> S3Uri:
        assert self.run.preprocessing_launch is not None
        return S3Uri.parse(self.run.preprocessing_launch.output_uri) / name

    def keep_rejected(self, target: S3Uri) -> None:
        """Keep the rejected rows, if there are any."""
        if self.files.get(REJECTED, {"bytes": 0})["bytes"] > GZIP_OF_NOTHING:
            self.publish(REJECTED, target)

    def publish(self, name: str, target: S3Uri) -> None:
        """Copy a file inside S3 unless it is in its place; raises ArtifactInvalid when it is missing."""
        source = self._place(name)
        if name not in self.files or not self.objects.exists(source):
            raise ArtifactInvalid(f"{source} is missing")
        if source != target:
            self.objects.stage(source.bucket, source.key, "", target)

    def described(self, name: str) -> dict[str, Any]:
        """Give a file's SHA-256 and bytes, as the job took them."""
        return self.files[name]


def pinned_holdout(run: Run, objects: Objects, artifact_bucket: str, folder: Path) -> Pinned | None:
    """Fetch the champion's holdout; None without a champion.

    Raises ArtifactInvalid when it is missing or not the recorded bytes: a run must not choose its own judge.
    """
    if run.champion is None:
        return None
    layout = RunLayout(artifact_bucket, run.model, run.champion.run_id)
    holdout = objects.read_json(layout.step("preprocessing") / "manifest.json")["holdout"]
    uri, path = S3Uri.parse(holdout["uri"]), folder / "pinned.jsonl.gz"
    listed = f"aws s3api list-object-versions --bucket {uri.bucket} --prefix {uri.key}"
    try:
        objects.download(uri.bucket, uri.key, "", path)
    except ObjectGone as error:
        gone = f"{uri}, the holdout of champion {run.champion.run_id}, is missing"
        raise ArtifactInvalid(f"{gone}; {listed} shows what to bring back") from error
    if file_sha256(path) != holdout["sha256"]:
        other = f"{uri} is not the holdout recorded by run {run.champion.run_id}"
        raise ArtifactInvalid(f"{other}; {listed} shows what to bring back")
    return Pinned(path, holdout["sha256"], holdout["uri"], holdout["question"])


def taught_files(
    run: Run, pinned: Pinned | None, artifact_bucket: str, *, rollover: bool
) -> dict[str, S3Uri]:
    """Name the rows the champion was trained on, where a new holdout must leave them out by their keys.

    Names of local files and where each lies; none where the pinned holdout stays, or where time tells.
    """
    if run.champion is None or pinned is None or run.spec.split.by == "time":
        return {}
    if not rollover and pinned.question == question(declare(run.spec), run.spec):
        return {}
    prepared = RunLayout(artifact_bucket, run.model, run.champion.run_id).step("preprocessing")
    return {f"champion-{name}": prepared / name for name in FILES if name.endswith(".parquet")}


def _fetch(uri: S3Uri, path: Path, objects: Objects) -> None:
    try:
        objects.download(uri.bucket, uri.key, "", path)
    except ObjectGone as error:
        raise ArtifactInvalid(f"{uri}, rows the champion was trained on, is missing") from error


def champion_profile(run: Run, objects: Objects, artifact_bucket: str) -> dict[str, Any] | None:
    """Read what the champion's rows looked like; None without a champion."""
    if run.champion is None:
        return None
    layout = RunLayout(artifact_bucket, run.model, run.champion.run_id)
    found: dict[str, Any] = objects.read_json(layout.step("preprocessing") / "profile.json")
    return found


class Entries:
    """The frozen objects that were not set aside, downloaded one by one as they are read."""

    def __init__(self, run: Run, objects: Objects, folder: Path) -> None:
        self.frozen: dict[str, Any] = objects.read_json(S3Uri.parse(run.data_uri))
        refused = all_refused(run.data_arrival, objects) if run.data_arrival else []
        aside = {refusal.key for refusal in refused}
        self._entries = [entry for entry in self.frozen["objects"] if entry["key"] not in aside]
        self._objects, self._folder = objects, folder
        self.by_key = {entry["key"]: entry for entry in self._entries}
        self.gone: list[tuple[str, Refusal]] = []

    def of_data(self) -> list[dict[str, Any]]:
        """Give the entries of data files by key."""
        return [entry for entry in self._entries if entry["role"] != "labels"]

    def data(self) -> Iterator[DataFile]:
        """Give the data files by key; one deleted meanwhile is noted in ``gone``."""
        for number, entry in enumerate(self.of_data()):
            path = self._folder / f"object-{number}"
            try:
                self._objects.download(entry["bucket"], entry["key"], entry["version"], path)
            except ObjectGone as error:
                self.gone.append((entry["key"], gone(entry, str(error))))
                continue
            yield DataFile(entry["role"], entry["key"], path, entry["version"])

    def labels(self) -> list[LabelFile]:
        """Give the label files in the order they arrived: a later label corrects an earlier one."""
        found = [entry for entry in self._entries if entry["role"] == "labels"]
        found.sort(key=lambda entry: (entry.get("received", ""), entry["key"]))
        return [LabelFile(e["key"], self._objects.stream(e["bucket"], e["key"], e["version"])) for e in found]


def gone(entry: dict[str, Any], message: str) -> Refusal:
    """Refuse a version that was deleted after the data set was frozen."""
    return Refusal(code="object-gone", message=message, key=entry["key"], hint="drop the file again")


def _holdout_uri(run: Run, prepared: Prepared, place: Place) -> S3Uri:
    prefix = S3Uri(place.artifact_bucket, holdout_prefix(run.model, prepared.holdout_digest))
    return prefix / HOLDOUT


def _manifest(
    section: PreprocessingSection, prepared: Prepared, outcome: Folder | Output, run: Run
) -> dict[str, Any]:
    return {
        "model": run.model,
        "run_id": run.run_id,
        "data_uri": run.data_uri,
        "files": {name: outcome.described(name) for name in FILES},
        "rows": section.rows,
        "data_digest": section.data_digest,
        "recipe_digest": section.recipe_digest,
        "holdout": {
            "sha256": section.holdout_digest,
            "uri": section.holdout_uri,
            "question": prepared.question,
            "rolled_over": section.rolled_over,
        },
    }
