"""DataArrival: every frozen object version is still there and not empty; what is not is set aside."""

from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.layout import RunLayout, S3Uri, quarantine_key
from driftwheel.ledger.objects import Delivered, State
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.refusal import Refusal
from driftwheel.run import DataArrivalSection, Run
from driftwheel.steps.shortened import refused_fields


def arrive(run: Run, objects: Objects, ledger: ObjectLedger, artifact_bucket: str) -> DataArrivalSection:
    """Check the frozen data set; ``refused`` when no source object is left to read."""
    document = objects.read_json(S3Uri.parse(run.data_uri))
    frozen = document["objects"]
    refused: list[Refusal] = []
    sources = files = size = data_bytes = 0
    for entry in frozen:
        refusal = _refusal(entry, objects.size(entry["bucket"], entry["key"], entry["version"]))
        if refusal is None:
            sources += entry["role"] == "source"
            files += 1
            size += entry["size"]
            data_bytes += entry["size"] * (entry["role"] != "labels")
            continue
        refused.append(refusal)
        set_aside(run, entry, refusal, objects, ledger, artifact_bucket)
    outcome = "ready" if sources else "refused"
    if not sources and not refused:
        refused.append(Refusal(code="no-data", message=f"the data set of {run.model} holds no source file"))
    engine = run.spec.preprocessing.engine_for(data_bytes)
    whole = RunLayout(artifact_bucket, run.model, run.run_id).step("data_arrival") / "refused.json"
    return DataArrivalSection(
        outcome=outcome,
        objects=files,
        size_bytes=size,
        engine=engine,
        held_hours=len(document.get("held_hours", [])) or None,
        **refused_fields(refused, whole, objects),
    )


def set_aside(
    run: Run,
    entry: dict[str, Any],
    refusal: Refusal,
    objects: Objects,
    ledger: ObjectLedger,
    artifact_bucket: str,
) -> None:
    """Quarantine one object version: bytes copied as received, its state settled with reason and run."""
    delivered = Delivered(
        model=run.model,
        received="",
        sequencer="",
        **{k: entry[k] for k in ("role", "bucket", "key", "version", "etag", "size")},
    )
    name = entry["key"].rsplit("/", 1)[-1]
    target = S3Uri(artifact_bucket, quarantine_key(run.model, entry["version"] or entry["etag"], name))
    kept = objects.copy(entry["bucket"], entry["key"], entry["version"], target)
    state: State = "quarantined" if kept else "ignored"
    ledger.settle(delivered, state, f"{refusal.code}: {refusal.message}", run.run_id)


def _refusal(entry: dict[str, Any], size: int | None) -> Refusal | None:
    key = entry["key"]
    if size is None:
        message = f"{key}: this version was deleted before it was read"
        return Refusal(code="object-gone", message=message, key=key, hint="drop the file again")
    if size == 0:
        message = f"{key} has no bytes"
        return Refusal(code="empty-file", message=message, key=key, hint="check the export that wrote it")
    return None
