"""PreprocessingLaunch: hand a data set too large for a function to Spark, and wait for its job."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import create_once
from driftwheel.dataset.captured import stage_captured
from driftwheel.dataset.files import CaptureFile
from driftwheel.dataset.finish import Pinned
from driftwheel.dataset.prepare import declared
from driftwheel.deployment.names import resource_name
from driftwheel.digest import digest
from driftwheel.errors import ArtifactInvalid
from driftwheel.hooks import reached
from driftwheel.layout import RunLayout, S3Uri, spark_code_prefix, staging_prefix
from driftwheel.ledger.tokens import Tokens
from driftwheel.processing import ProcessingJob, ProcessingPlace, processing_request
from driftwheel.recipe.declare import declare
from driftwheel.refusal import Refusal
from driftwheel.run import Run
from driftwheel.spec import ModelSpec
from driftwheel.steps.preprocessing import Entries, champion_profile, gone, pinned_holdout, taught_files
from driftwheel.steps.training_launch import Place
from driftwheel.steps.waiting import Waiting

COPIES_AT_ONCE = 8


def launch(
    run: Run,
    waiting: Waiting,
    place: Place,
    code: tuple[str, dict[str, bytes]],
    objects: Objects,
    tokens: Tokens,
    client: Any,
    folder: Path,
) -> str:
    """Start the run's processing job, or attach to it, and return its name.

    The frozen versions are copied inside S3 to a place of the run: a job's input is a prefix, and names no
    version. The token is parked before the job exists: its end can then never be missed. ``code`` is the
    digest and files of what Spark runs. Raises CapacityExceeded, NameTaken, ArtifactInvalid.
    """
    entries = Entries(run, objects, folder)
    staging = S3Uri(place.artifact_bucket, staging_prefix(run.model, run.run_id))
    layout = RunLayout(place.artifact_bucket, run.model, run.run_id)
    plan_uri = layout.step("preprocessing_launch") / "plan"
    files = _stage(entries, staging, objects)
    _write_plan(run, entries, files, plan_uri, place, objects, folder)
    code_uri = S3Uri(place.artifact_bucket, spark_code_prefix(code[0]))
    for name, data in code[1].items():
        if not objects.exists(code_uri / name):
            objects.write(code_uri / name, data)
    roles = dict.fromkeys(file["role"] for file in files)
    job = ProcessingJob(
        name=resource_name(place.stack, run.model, run.run_id),
        model=run.model,
        run_id=run.run_id,
        spec_digest=digest(run.spec.model_dump(mode="json")),
        stack=place.stack,
        inputs={"code": f"{code_uri}/", "plan": f"{plan_uri}/"}
        | {role: f"{staging / role}/" for role in roles},
        output_uri=str(layout.step("preprocessing")),
    )
    where = ProcessingPlace(waiting.region, place.role_arn, place.kms_key_arn, place.vpc)
    request = processing_request(run.spec.preprocessing, job, where)
    arn = waiting.arn_of("processing-job", job.name)
    tokens.park(waiting.parked(run, "processing_job", arn, {"output_uri": job.output_uri}))
    same = {key: request[key] for key in ("RoleArn", "AppSpecification", "Environment")}
    create_once(client, "processing_job", request, {"ProcessingJobName": job.name}, same)
    reached("after_create_job")
    return job.name


def _stage(entries: Entries, staging: S3Uri, objects: Objects) -> list[dict[str, str]]:
    """Copy the frozen versions; one deleted meanwhile is noted in ``entries.gone``."""
    files = [
        {"role": entry["role"], "name": f"{number:06d}", "key": entry["key"], "version": entry["version"]}
        for number, entry in enumerate(entries.of_data())
    ]

    def copy(file: dict[str, str]) -> bool:
        entry = entries.by_key[file["key"]]
        target = staging / file["role"] / file["name"]
        return objects.stage(entry["bucket"], entry["key"], entry["version"], target)

    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        copied = list(pool.map(copy, files))
    for file, there in zip(files, copied, strict=True):
        if not there:
            entry = entries.by_key[file["key"]]
            entries.gone.append(
                (entry["key"], gone(entry, f"{entry['key']}: this version was deleted before it was read"))
            )
    return [file for file, there in zip(files, copied, strict=True) if there]


def _write_plan(
    run: Run,
    entries: Entries,
    files: list[dict[str, str]],
    plan: S3Uri,
    place: Place,
    objects: Objects,
    folder: Path,
) -> None:
    recipe, frozen = declare(run.spec), entries.frozen
    captures = [CaptureFile(e["key"], objects.stream(e["bucket"], e["key"])) for e in frozen["captures"]]
    staged = folder / "captured.csv"
    most, held = run.spec.window.captured_per_hour, frozen.get("held_hours", [])
    counts = stage_captured(staged, recipe, most, captures, entries.labels(), held)
    objects.upload(staged, plan / "captured.csv")
    pinned = pinned_holdout(run, objects, place.artifact_bucket, folder)
    if pinned is not None:
        objects.upload(pinned.path, plan / "pinned.jsonl.gz")
    taught = taught_files(run, pinned, place.artifact_bucket, rollover=frozen["rollover"])
    for name, uri in taught.items():
        if not objects.stage(uri.bucket, uri.key, "", plan / name):
            raise ArtifactInvalid(f"{uri}, rows the champion was trained on, is missing")
    objects.write_json(plan / "baseline.json", champion_profile(run, objects, place.artifact_bucket))
    objects.write(plan / "recipe.json", _json(recipe))
    document = plan_document(
        run.spec,
        files,
        counts,
        gone=entries.gone,
        pinned=pinned,
        rollover=frozen["rollover"],
        taught=list(taught),
    )
    objects.write(plan / "plan.json", _json(document))


def plan_document(
    spec: ModelSpec,
    files: list[dict[str, str]],
    captured: dict[str, int],
    *,
    gone: Iterable[tuple[str, Refusal]] = (),
    pinned: Pinned | None = None,
    rollover: bool = False,
    taught: Iterable[str] = (),
) -> dict[str, Any]:
    """Write what ``jobs.preprocess_spark`` reads: ``files`` have a role, a name below it, S3 key and version.

    ``captured`` are the counts of ``stage_captured``, ``taught`` the names of the champion's files.
    """
    return {
        "spec": spec.model_dump(mode="json"),
        "declared": declared(spec),
        "files": files,
        "gone": [[key, refusal.facts()] for key, refusal in gone],
        "captured": captured,
        "pinned": pinned and {"sha256": pinned.sha256, "uri": pinned.uri, "question": pinned.question},
        "rollover": rollover,
        "taught": list(taught),
    }


def _json(document: Any) -> bytes:
    """Write JSON in its own order: a recipe's columns and features stand in theirs."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
