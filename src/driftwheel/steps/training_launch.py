"""TrainingLaunch: park the token, then start the training job, or attach to the one of this run."""

from dataclasses import dataclass
from typing import Any

from driftwheel.algorithms.request import TrainingData, TrainingJob, TrainingPlace
from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import create_once, existing
from driftwheel.deployment.names import resource_name
from driftwheel.digest import digest
from driftwheel.errors import TrainingFailed
from driftwheel.hooks import reached
from driftwheel.layout import RunLayout, S3Uri, code_key
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Run
from driftwheel.steps.waiting import Waiting
from driftwheel.vpc import Vpc

UNSAID = "SageMaker gave no reason; read the job's log"
STOPPED = {
    "MaxRuntimeExceeded": "it ran longer than training.max_runtime_seconds",
    "MaxWaitTimeExceeded": "no spot machine was to be had in time; training.spot: false asks for others",
}
"""SecondaryStatus of a training job that SageMaker stopped → why."""


@dataclass(frozen=True)
class Place:
    """What the deployed stack fixes for every job."""

    stack: str
    artifact_bucket: str
    role_arn: str
    kms_key_arn: str
    vpc: Vpc


def launch(
    run: Run,
    waiting: Waiting,
    place: Place,
    code: tuple[str, bytes],
    objects: Objects,
    tokens: Tokens,
    client: Any,
) -> str:
    """Start the run's training job and return its name.

    The token is parked before the job exists: its end can then never be missed. ``code`` is the SHA-256 and
    bytes of the archive that trains and serves. Raises CapacityExceeded, NameTaken, and TrainingFailed when
    no instance type of the model's list is left to try.
    """
    if run.preprocessing is None:
        raise ValueError(f"run {run.run_id} has no preprocessing section to train on")
    code_sha256, archive = code
    code_uri = S3Uri(place.artifact_bucket, code_key(code_sha256))
    if not objects.exists(code_uri):
        objects.write(code_uri, archive, "application/gzip")
    attempt = next_attempt(run, place.stack, client)
    name = job_name(run, place.stack, attempt)
    request = training_request(run, name, attempt, waiting.region, place, code_sha256)
    output = request["OutputDataConfig"]["S3OutputPath"]
    detail = {
        "output_uri": f"{output}/{name}/output/output.tar.gz",
        "code_sha256": code_sha256,
        "may_fall_back": attempt + 1 < len(run.spec.training.instances),
    }
    tokens.park(waiting.parked(run, "training_job", waiting.arn_of("training-job", name), detail))
    same = {key: request[key] for key in ("RoleArn", "HyperParameters")}
    create_once(client, "training_job", request, {"TrainingJobName": name}, same)
    reached("after_create_job")
    return name


def job_name(run: Run, stack: str, attempt: int) -> str:
    """Name the job of an attempt: a job that failed keeps its name for good."""
    numbered = (str(attempt + 1),) if attempt else ()
    return resource_name(stack, run.model, run.run_id, *numbered)


def next_attempt(run: Run, stack: str, client: Any) -> int:
    """Count the instance types AWS had no machine of; raises TrainingFailed when none is left."""
    instances = run.spec.training.instances
    if len(instances) == 1:
        return 0
    reason = ""
    for attempt in range(len(instances)):
        job = existing(client, "training_job", {"TrainingJobName": job_name(run, stack, attempt)})
        if job is None or not lacked_machine(job):
            return attempt
        reason = end_reason(job)
    raise TrainingFailed(f"no instance type is left of {', '.join(instances)}: {reason}")


def lacked_machine(job: dict[str, Any]) -> bool:
    """Tell whether a job ended for want of a working machine, which is neither the data's nor our fault.

    A spot job that was never launched has cost nothing; one that ran and then found no machine again has.
    """
    if job.get("SecondaryStatus") == "MaxWaitTimeExceeded":
        return "TrainingStartTime" not in job
    return job["TrainingJobStatus"] == "Failed" and end_reason(job).startswith(
        ("CapacityError", "InternalServerError")
    )


def end_reason(job: dict[str, Any]) -> str:
    """Say why a training job ended: SageMaker gives no FailureReason of one that it stopped itself."""
    return str(job.get("FailureReason") or STOPPED.get(job.get("SecondaryStatus", ""), UNSAID))


def training_request(
    run: Run, name: str, attempt: int, region: str, place: Place, code_sha256: str
) -> dict[str, Any]:
    """Build the CreateTrainingJob request of a run; pure, so a test can hold it against the service model."""
    assert run.preprocessing is not None
    layout = RunLayout(place.artifact_bucket, run.model, run.run_id)
    prepared = S3Uri.parse(run.preprocessing.uri)
    files = {
        field: str(prepared / file)
        for field, file in {
            "train": "train.parquet",
            "validation": "validation.parquet",
            "recipe": "recipe.json",
            "params": "params.json",
            "golden": "golden.jsonl",
            "manifest": "manifest.json",
        }.items()
    }
    data = TrainingData(
        **files,
        holdout=run.preprocessing.holdout_uri,
        code=str(S3Uri(place.artifact_bucket, code_key(code_sha256))),
        champion=run.champion.model_data_url if run.champion else None,
    )
    job = TrainingJob(
        name=name,
        model=run.model,
        run_id=run.run_id,
        spec_digest=digest(run.spec.model_dump(mode="json")),
        code_sha256=code_sha256,
        kind=run.spec.target.kind,
        metric=run.spec.evaluation.metric,
        slices=tuple(run.spec.evaluation.slices),
        attempt=attempt,
        half_life_days=run.spec.window.half_life_days,
        champion_manifest_sha256=run.champion.manifest_sha256 if run.champion else "",
        tags={"driftwheel:stack": place.stack},
    )
    where = TrainingPlace(
        region=region,
        role_arn=place.role_arn,
        kms_key_id=place.kms_key_arn,
        output_uri=str(layout.step("training_launch")),
        checkpoint_uri=str(layout.step("training_launch") / "checkpoints"),
        vpc=place.vpc,
    )
    return run.spec.training.training_request(job, data, where)
