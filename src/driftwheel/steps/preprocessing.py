"""Preprocessing: the frozen objects become training files; what is unusable is set aside with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.dataset import CaptureFile, DataFile, Inputs, LabelFile, Pinned, Prepared, prepare
from driftwheel.dataset.finish import FILES, REJECTED
from driftwheel.dataset.outputs import file_sha256
from driftwheel.errors import ArtifactInvalid, ObjectGone
from driftwheel.layout import RunLayout, S3Uri, holdout_prefix, quarantine_key
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.runs import Runs
from driftwheel.ledger.table import Table
from driftwheel.refusal import Refusal
from driftwheel.run import PreprocessingSection, Run
from driftwheel.steps.data_arrival import set_aside

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
    """Prepare the run's data set and publish it, manifest last.

    ``refused``: nothing can be trained on it. ``unchanged``: another run already decided on these rows.
    May be repeated: the same objects give the same files under the same names.
    """
    frozen = objects.read_json(S3Uri.parse(run.data_uri))
    entries = _Entries(run, frozen["objects"], objects, place.folder)
    inputs = Inputs(
        files=entries.data(),
        labels=entries.labels(),
        captures=[CaptureFile(e["key"], objects.stream(e["bucket"], e["key"])) for e in frozen["captures"]],
        pinned=pinned_holdout(run, objects, place),
        baseline=champion_profile(run, objects, place),
        rollover=frozen["rollover"],
    )
    prepared = prepare(run.spec, inputs, place.folder, memory_mb=place.memory_mb)
    refused = [*entries.gone, *prepared.refused]
    for key, refusal in refused:
        set_aside(run, entries.by_key[key], refusal, objects, ledger.objects, place.artifact_bucket)
    _keep_rejected(run, objects, place)
    reasons = [refusal for _, refusal in refused] + ([prepared.problem] if prepared.problem else [])
    where = RunLayout(place.artifact_bucket, run.model, run.run_id).step("preprocessing")
    if prepared.outcome == "refused":
        return PreprocessingSection(outcome="refused", uri=str(where), rows=prepared.rows, refused=reasons)
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
        refused=reasons,
        suspected_leakage=prepared.leakage,
        suspected_shift=prepared.shifts,
    )
    owner = ledger.runs.claim_data(run.model, prepared.data_digest, run.run_id)
    if owner != run.run_id:
        return section.model_copy(update={"outcome": "unchanged", "same_as": owner})
    _publish(section, prepared, where, objects, place, run)
    return section


def pinned_holdout(run: Run, objects: Objects, place: Place) -> Pinned | None:
    """Fetch the champion's holdout; None without a champion.

    Raises ArtifactInvalid when it is missing or not the recorded bytes: a run must not choose its own judge.
    """
    if run.champion is None:
        return None
    layout = RunLayout(place.artifact_bucket, run.model, run.champion.run_id)
    holdout = objects.read_json(layout.step("preprocessing") / "manifest.json")["holdout"]
    uri, path = S3Uri.parse(holdout["uri"]), place.folder / "pinned.jsonl.gz"
    try:
        objects.download(uri.bucket, uri.key, "", path)
    except ObjectGone as error:
        raise ArtifactInvalid(f"{uri}, the holdout of champion {run.champion.run_id}, is missing") from error
    if file_sha256(path) != holdout["sha256"]:
        raise ArtifactInvalid(f"{uri} is not the holdout recorded by run {run.champion.run_id}")
    return Pinned(path, holdout["sha256"], holdout["uri"], holdout["question"])


def champion_profile(run: Run, objects: Objects, place: Place) -> dict[str, Any] | None:
    """Read what the champion's rows looked like; None without a champion."""
    if run.champion is None:
        return None
    layout = RunLayout(place.artifact_bucket, run.model, run.champion.run_id)
    found: dict[str, Any] = objects.read_json(layout.step("preprocessing") / "profile.json")
    return found


class _Entries:
    """The frozen objects, downloaded one by one as they are read."""

    def __init__(self, run: Run, entries: list[dict[str, Any]], objects: Objects, folder: Path) -> None:
        aside = {refusal.key for refusal in run.data_arrival.refused} if run.data_arrival else set()
        self._entries = [entry for entry in entries if entry["key"] not in aside]
        self._objects, self._folder = objects, folder
        self.by_key = {entry["key"]: entry for entry in self._entries}
        self.gone: list[tuple[str, Refusal]] = []

    def data(self) -> Iterator[DataFile]:
        """Give the data files by key; one deleted meanwhile is noted in ``gone``."""
        for number, entry in enumerate(self._entries):
            if entry["role"] == "labels":
                continue
            path = self._folder / f"object-{number}"
            try:
                self._objects.download(entry["bucket"], entry["key"], entry["version"], path)
            except ObjectGone as error:
                refusal = Refusal(
                    code="object-gone", message=str(error), key=entry["key"], hint="drop the file again"
                )
                self.gone.append((entry["key"], refusal))
                continue
            yield DataFile(entry["role"], entry["key"], path)

    def labels(self) -> list[LabelFile]:
        """Give the label files in the order they arrived: a later label corrects an earlier one."""
        found = [entry for entry in self._entries if entry["role"] == "labels"]
        found.sort(key=lambda entry: (entry.get("received", ""), entry["key"]))
        return [LabelFile(e["key"], self._objects.stream(e["bucket"], e["key"], e["version"])) for e in found]


def _holdout_uri(run: Run, prepared: Prepared, place: Place) -> S3Uri:
    prefix = S3Uri(place.artifact_bucket, holdout_prefix(run.model, prepared.holdout_digest))
    return prefix / "holdout.jsonl.gz"


def _keep_rejected(run: Run, objects: Objects, place: Place) -> None:
    path = place.folder / REJECTED
    if path.exists() and path.stat().st_size > GZIP_OF_NOTHING:
        key = quarantine_key(run.model, run.run_id, "rows.jsonl.gz")
        objects.upload(path, S3Uri(place.artifact_bucket, key))


def _publish(
    section: PreprocessingSection, prepared: Prepared, where: S3Uri, objects: Objects, place: Place, run: Run
) -> None:
    if not prepared.holdout_uri:
        objects.upload(place.folder / "holdout.jsonl.gz", S3Uri.parse(section.holdout_uri))
    for name in FILES:
        objects.upload(place.folder / name, where / name)
    manifest = {
        "model": run.model,
        "run_id": run.run_id,
        "data_uri": run.data_uri,
        "files": {
            name: {
                "sha256": file_sha256(place.folder / name),
                "bytes": (place.folder / name).stat().st_size,
            }
            for name in FILES
        },
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
    objects.write_json(where / "manifest.json", manifest)
