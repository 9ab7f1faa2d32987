"""EvaluationGate: two models' predictions on the same rows become a verdict and a registered version."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from driftwheel.algorithms.images import image_uri
from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import is_taken
from driftwheel.deployment.names import resource_name
from driftwheel.deployment.registry import Approval, Lineage, approval_request, group_request, package_request
from driftwheel.drift.monitor_files import constraints, statistics
from driftwheel.errors import ArtifactInvalid
from driftwheel.gate.decision import evaluate
from driftwheel.gate.verdict import Verdict
from driftwheel.jobs.artifact import read_members, verify
from driftwheel.layout import RunLayout, S3Uri
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.run import EvaluationGateSection, Run
from driftwheel.steps.shortened import few_reasons

EVIDENCE = re.compile(r"predictions\.csv\.gz|baseline\.json|metrics\.json|probe\.json")
"""What a training job's ``output.tar.gz`` may hold, and must."""

SHA256 = re.compile(r"[0-9a-f]{64}")

NAMES = ("predictions.csv.gz", "baseline.json", "metrics.json", "probe.json")

APPROVALS: dict[str, Approval] = {
    "promote": "Approved",
    "reject": "Rejected",
    "needs_approval": "PendingManualApproval",
}


def read_evidence(objects: Objects, output_uri: str) -> dict[str, bytes]:
    """Fetch and unpack what the training job wrote; raises ArtifactInvalid when a part is missing."""
    uri = S3Uri.parse(output_uri)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "output.tar.gz"
        archive.write_bytes(objects.read(uri))
        found = {member.name: member.content for member in read_members(archive, allowed=EVIDENCE)}
    missing = sorted(set(NAMES) - set(found))
    if missing:
        raise ArtifactInvalid(
            f"{uri} lacks {', '.join(missing)}: the training job did not finish its evidence"
        )
    return found


def check_model(objects: Objects, model_data_url: str, manifest_sha256: str) -> None:
    """Read what was trained to its end before it becomes a version; raises ArtifactInvalid naming the object.

    A job may be ``Completed`` and its ``model.tar.gz`` absent, empty or cut: SageMaker would say so only when
    an endpoint cannot start. ``manifest_sha256`` is what the job's evidence says of its artifact.
    """
    uri = S3Uri.parse(model_data_url)
    packed, size = objects.open(uri)
    try:
        verify(packed, "model.tar.gz", size, manifest_sha256)
    except ArtifactInvalid as error:
        raise ArtifactInvalid(f"{uri}: {error}; train again") from error


def artifact_digest(evidence: dict[str, bytes]) -> str:
    """Read the sha256 of the artifact's manifest, by which every later reader knows the judged model.

    Raises ArtifactInvalid when the training job left none.
    """
    found = str(_metrics(evidence).get("manifest_sha256"))
    if SHA256.fullmatch(found):
        return found
    raise ArtifactInvalid("the training job's metrics.json does not say which artifact it wrote; train again")


def _metrics(evidence: dict[str, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(evidence["metrics.json"])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def judge(run: Run, evidence: dict[str, bytes]) -> Verdict:
    """Compare challenger and champion on the pinned holdout; the bootstrap's seed is the run's."""
    assert run.preprocessing is not None
    metrics = _metrics(evidence)
    champion = metrics.get("champion") or {}
    return evaluate(
        evidence["predictions.csv.gz"],
        run.spec.evaluation,
        run.spec.target.kind,
        seed=int(run.run_id, 16) % 2**32,
        champion_expected=run.champion is not None,
        champion_fault=str(champion.get("reason", "")),
        suspected_leakage=run.preprocessing.suspected_leakage,
        suspected_shift=run.preprocessing.suspected_shift,
        request_change=str(metrics.get("request_change") or ""),
    )


def publish(
    run: Run, verdict: Verdict, evidence: dict[str, bytes], objects: Objects, artifact_bucket: str
) -> S3Uri:
    """Keep the evidence under the run's prefix, the evaluation last; returns the evaluation's URI.

    The baseline is kept a second time as ``statistics.json`` and ``constraints.json``, as SageMaker Model
    Monitor would have written them of the training data. Raises ArtifactInvalid when it is no baseline.
    """
    place = RunLayout(artifact_bucket, run.model, run.run_id).step("evaluation_gate")
    for name in NAMES:
        objects.write(place / name, evidence[name])
    try:
        baseline = json.loads(evidence["baseline.json"])
        familiar = {"statistics.json": statistics(baseline), "constraints.json": constraints(baseline)}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactInvalid(
            f"the training job's baseline.json is no drift baseline: {type(error).__name__}; train again"
        ) from error
    for name, document in familiar.items():
        objects.write_json(place / name, document)
    objects.write_json(place / "evaluation.json", verdict.model_dump(mode="json"))
    return place / "evaluation.json"


def register(
    run: Run, verdict: Verdict, evaluation: S3Uri, manifest_sha256: str, stack: str, client: Any
) -> str:
    """Make the trained model a version of its package group and return its ARN.

    The client token is the run's: a retry gets the same version, whose status then follows this verdict.
    """
    assert run.training_launch is not None
    assert run.preprocessing is not None
    group = resource_name(stack, run.model)
    tags = {"driftwheel:stack": stack, "driftwheel:model": run.model}
    if not group_exists(client, group):
        try:
            client.create_model_package_group(**group_request(name=group, model=run.model, tags=tags))
        except ClientError as error:
            if not is_taken(error):  # by an earlier attempt: Describe need not see yet what was just made
                raise
    lineage = Lineage(
        model=run.model,
        run_id=run.run_id,
        data_digest=run.preprocessing.data_digest,
        recipe_digest=run.preprocessing.recipe_digest,
        code_sha256=run.training_launch.code_sha256,
        manifest_sha256=manifest_sha256,
        training_job_arn=run.training_launch.training_job_arn,
    )
    request = package_request(
        group=group,
        image=image_uri(run.spec.training.algorithm, run.training_launch.training_job_arn.split(":")[3]),
        model_data_url=run.training_launch.model_data_url,
        metrics_uri=str(evaluation),
        baseline_uri=str(
            S3Uri(evaluation.bucket, evaluation.key.replace("evaluation.json", "baseline.json"))
        ),
        lineage=lineage,
        approval="PendingManualApproval",
        description=verdict.sentence,
        instance=run.spec.deployment.instance,
    )
    arn = str(client.create_model_package(**request)["ModelPackageArn"])
    wanted = APPROVALS[verdict.decision]
    if wanted != "PendingManualApproval":
        client.update_model_package(
            **approval_request(package_arn=arn, approval=wanted, reason=verdict.sentence)
        )
    return arn


def group_exists(client: Any, group: str) -> bool:
    """Tell whether a package group is there; a missing one is a ValidationException."""
    try:
        client.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ValidationException", "ResourceNotFound"}:
            return False
        raise
    return True


def section_of(verdict: Verdict, arn: str, evaluation: S3Uri, manifest_sha256: str) -> EvaluationGateSection:
    """Word the verdict for the state machine: small, its evidence by reference."""
    metrics = verdict.model_dump(mode="json", include={"metric", "rows", "challenger", "champion", "gain"})
    return EvaluationGateSection(
        outcome=verdict.decision,
        reasons=few_reasons([reason.model_dump(mode="json") for reason in verdict.reasons]),
        metrics=metrics,
        model_package_arn=arn,
        evaluation_uri=str(evaluation),
        manifest_sha256=manifest_sha256,
    )


def remember(run: Run, verdict: Verdict, decisions: Decisions, now: str) -> None:
    """Write the verdict to the decision ledger; twice is once, and the first moment stands."""
    numbers = verdict.model_dump(mode="json", include={"metric", "rows", "challenger", "champion", "gain"})
    decisions.record(
        Decision(
            model=run.model,
            at=run.started.at,
            id=f"{run.run_id}-gate",
            step="evaluation_gate",
            outcome=verdict.decision,
            reason=verdict.sentence,
            numbers=numbers | {"at": now},
            run_id=run.run_id,
        )
    )
