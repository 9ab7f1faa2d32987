"""JobCallback: events only wake us; the truth is described, and a parked token is completed once."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftwheel.aws import executions
from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import existing, stop_job
from driftwheel.deployment.registry import approval_request
from driftwheel.deployment.verification import NotYet, Serving, Wanted, verify
from driftwheel.errors import (
    CapacityExceeded,
    ChampionMoved,
    DeploymentFailed,
    DriftwheelError,
    PreprocessingFailed,
    TrainingFailed,
)
from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.outbox import Outbox
from driftwheel.ledger.rollbacks import record_rollback
from driftwheel.ledger.runs import Runs, Status
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Parked, Tokens
from driftwheel.run import (
    ApprovalSection,
    DeploymentSection,
    PreprocessingLaunchSection,
    TrainingLaunchSection,
)
from driftwheel.steps.proof import prove
from driftwheel.steps.remedy import end_alert
from driftwheel.steps.training_launch import UNSAID, end_reason, lacked_machine

Section = dict[str, Any]

UNSEEN_SECONDS = 300
"""How long what was just asked for may be unknown to Describe (eventual consistency)."""


@dataclass(frozen=True)
class Clients:
    """What the callback asks and answers."""

    sagemaker: Any
    runtime: Any
    stepfunctions: Any
    sqs: Any
    arrival_queue_url: str


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger a callback reads and moves."""

    tokens: Tokens
    champions: Champions
    decisions: Decisions
    leases: Leases
    runs: Runs
    models: Models
    outbox: Outbox

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        return cls(
            tokens=Tokens(table),
            champions=Champions(table),
            decisions=Decisions(table),
            leases=Leases(table),
            runs=Runs(table),
            models=Models(table),
            outbox=Outbox(table),
        )


def wake(
    event: dict[str, Any], clients: Clients, ledger: Ledger, objects: Objects, now: datetime
) -> list[str]:
    """Handle one message: a state change, the end of an execution, or the reconciler's tick.

    Returns one line per wait that was looked at.
    """
    if event.get("kind") == "reconcile":
        lines = [settle(parked, clients, ledger, objects, now) for parked in ledger.tokens.all()]
        return lines + unseen(clients, ledger, now) + unreleased(clients, ledger) + unwritten(ledger)
    if event.get("detail-type") == "Step Functions Execution Status Change":
        return release(event["detail"], clients, ledger, now)
    found = [parked for arn in event.get("resources", []) for parked in ledger.tokens.waiting_for(arn)]
    return [settle(parked, clients, ledger, objects, now) for parked in found]


def settle(parked: Parked, clients: Clients, ledger: Ledger, objects: Objects, now: datetime) -> str:
    """Read what became of what a run waits for, and end the wait if it has come to an end."""
    look = LOOKS[parked.kind]
    try:
        section = look(parked, clients, ledger, objects, now)
    except DriftwheelError as error:
        executions.fail(clients.stepfunctions, parked.token, type(error).__name__, str(error))
        ledger.tokens.settle(parked)
        return f"{parked.arn}: {type(error).__name__}"
    if section is not None:
        executions.succeed(clients.stepfunctions, parked.token, section)
        ledger.tokens.settle(parked)
        return f"{parked.arn}: done"
    if executions.still_waiting(clients.stepfunctions, parked.token):
        return f"{parked.arn}: still at work"
    if executions.status(clients.stepfunctions, parked.execution_arn) == "RUNNING":
        # Whoever waited was killed: its retry attaches to what it started, or the run's end stops that.
        return f"{parked.arn}: its attempt has ended, its run goes on"
    ledger.tokens.settle(parked)
    _stop(parked, clients)
    return f"{parked.arn}: nobody waits any more"


def release(detail: dict[str, Any], clients: Clients, ledger: Ledger, now: datetime) -> list[str]:
    """Clean up after an execution that ended without its own last state: stop its job, free its lease.

    The trigger then looks again: an aborted run's data set may get another.
    """
    lines = []
    for parked in ledger.tokens.all():
        if parked.execution_arn == detail["executionArn"]:
            _stop(parked, clients)
            ledger.tokens.settle(parked)
            lines.append(f"{parked.arn}: its execution ended {detail['status']}")
    model, run_id = _run_of(detail)
    if model:
        status: Status = "aborted" if detail["status"] == "ABORTED" else "failed"
        why = detail.get("error")
        sentence = (
            f"the execution ended {detail['status']}{f' by {why}' if why else ''} before it could say why"
        )
        if _close(model, run_id, status, sentence, ledger, now):
            lines.append(f"run {run_id} of {model}: {status}")
        lease = ledger.leases.get(model)
        if lease is not None and lease.run_id == run_id:
            ledger.leases.release(model, run_id, lease.fence)
        if lines:
            _wake_trigger(model, clients)
    return lines


def unseen(clients: Clients, ledger: Ledger, now: datetime) -> list[str]:
    """Close runs whose execution ended unheard, or was never started: an event was lost, a trigger died."""
    lines = []
    for spec in ledger.models.all():
        for run in ledger.runs.of_model(spec.model):
            if run.status != "running":
                continue
            status = executions.status(clients.stepfunctions, run.execution_arn)
            lease = ledger.leases.get(spec.model)
            starting = lease is not None and lease.run_id == run.run_id and lease.expires_at > now.timestamp()
            if status is None and not starting:
                sentence = "the execution was never started"
                if _close(spec.model, run.run_id, "aborted", sentence, ledger, now):
                    lines.append(f"run {run.run_id} of {spec.model}: never started")
            elif status in {"FAILED", "TIMED_OUT", "ABORTED"}:
                name = run.execution_arn.rpartition(":")[2]
                detail = {"executionArn": run.execution_arn, "name": name, "status": status}
                lines += release(detail, clients, ledger, now)
    return lines


def unreleased(clients: Clients, ledger: Ledger) -> list[str]:
    """Free leases of runs that have ended, and whose execution is over: whoever had to died before it did."""
    lines = []
    for spec in ledger.models.all():
        lease = ledger.leases.get(spec.model)
        run = ledger.runs.get(spec.model, lease.run_id) if lease else None
        if lease is None or run is None or not run.ended_at:
            continue
        if executions.status(clients.stepfunctions, run.execution_arn) != "RUNNING":
            # Also where it has just been given back: who looks again finds what it left.
            ledger.leases.release(spec.model, lease.run_id, lease.fence)
            _wake_trigger(spec.model, clients)
            lines.append(f"run {run.run_id} of {spec.model}: its lease is free")
    return lines


def _wake_trigger(model: str, clients: Clients) -> None:
    woken = {"kind": "run_finished", "model": model}
    clients.sqs.send_message(QueueUrl=clients.arrival_queue_url, MessageBody=json.dumps(woken))


def _close(model: str, run_id: str, status: Status, sentence: str, ledger: Ledger, now: datetime) -> bool:
    """End a run that could not say its end itself; the alert stands before the index does.

    Who tells it is `deployment`, at its next tick: this role may publish nothing.
    """
    run = ledger.runs.get(model, run_id)
    if run is None or run.ended_at:
        return False
    ledger.outbox.leave(end_alert(model, run_id, status, sentence), now)
    return ledger.runs.end(model, run_id, status, sentence, now.isoformat())


def unwritten(ledger: Ledger) -> list[str]:
    """Write down rollbacks whose command died after the champion's move."""
    return [
        f"a rollback of {spec.model}: written down"
        for spec in ledger.models.all()
        if record_rollback(spec.model, ledger.champions, ledger.decisions)
    ]


def _training_job(
    parked: Parked, clients: Clients, _ledger: Ledger, _objects: Objects, _now: datetime
) -> Section | None:
    name = parked.arn.rsplit("/", 1)[-1]
    job = existing(clients.sagemaker, "training_job", {"TrainingJobName": name})
    if job is None or job["TrainingJobStatus"] in {"InProgress", "Stopping"}:
        # Not found right after its creation is eventual consistency; the state's timeout bounds the wait.
        return None
    if job["TrainingJobStatus"] != "Completed":
        reason = end_reason(job)
        if lacked_machine(job) and parked.detail.get("may_fall_back"):
            raise CapacityExceeded(f"training job {name}: {reason}; the next instance type is tried")
        raise TrainingFailed(f"training job {name} ended {job['TrainingJobStatus']}: {reason}")
    return TrainingLaunchSection(
        training_job=name,
        training_job_arn=job["TrainingJobArn"],
        model_data_url=job["ModelArtifacts"]["S3ModelArtifacts"],
        output_uri=parked.detail["output_uri"],
        code_sha256=parked.detail["code_sha256"],
        seconds=job.get("TrainingTimeInSeconds"),
        billable_seconds=job.get("BillableTimeInSeconds"),
    ).model_dump(mode="json", exclude_none=True)


def _processing_job(
    parked: Parked, clients: Clients, _ledger: Ledger, _objects: Objects, _now: datetime
) -> Section | None:
    name = parked.arn.rsplit("/", 1)[-1]
    job = existing(clients.sagemaker, "processing_job", {"ProcessingJobName": name})
    if job is None or job["ProcessingJobStatus"] in {"InProgress", "Stopping"}:
        return None
    if job["ProcessingJobStatus"] != "Completed":
        told = (job.get("FailureReason"), job.get("ExitMessage"))
        reason = "; ".join(filter(None, told)) or UNSAID
        raise PreprocessingFailed(f"processing job {name} ended {job['ProcessingJobStatus']}: {reason}")
    took = job["ProcessingEndTime"] - job["ProcessingStartTime"]
    return PreprocessingLaunchSection(
        processing_job=name,
        processing_job_arn=job["ProcessingJobArn"],
        output_uri=parked.detail["output_uri"],
        seconds=round(took.total_seconds()),
    ).model_dump(mode="json", exclude_none=True)


def _model_package(
    parked: Parked, clients: Clients, _ledger: Ledger, _objects: Objects, now: datetime
) -> Section | None:
    package = existing(clients.sagemaker, "model_package", {"ModelPackageName": parked.arn})
    if package is None:
        if _may_be_unseen(parked, now):
            return None
        raise DeploymentFailed(f"model package {parked.arn} does not exist: somebody deleted it")
    decided = {"Approved": "approved", "Rejected": "rejected"}.get(package["ModelApprovalStatus"])
    if decided is None:
        return None
    description = package.get("ApprovalDescription", "")
    return ApprovalSection.model_validate({"outcome": decided, "description": description}).model_dump()


def _may_be_unseen(parked: Parked, now: datetime) -> bool:
    return (now - datetime.fromisoformat(parked.parked_at)).total_seconds() < UNSEEN_SECONDS


def _endpoint(
    parked: Parked, clients: Clients, ledger: Ledger, objects: Objects, now: datetime
) -> Section | None:
    wanted = parked.detail
    # Whoever was overtaken waits for nothing any more, whatever the endpoint does for its successor.
    ledger.leases.check(parked.model, parked.run_id, parked.fence)
    describe = existing(clients.sagemaker, "endpoint", {"EndpointName": wanted["endpoint"]})
    if describe is None:
        if _may_be_unseen(parked, now):
            return None
        raise DeploymentFailed(f"endpoint {wanted['endpoint']} does not exist: somebody deleted it")
    asked = Wanted.of(wanted, parked.parked_at)
    outcome = verify(describe, asked, now)
    if isinstance(outcome, NotYet):
        return None
    if not isinstance(outcome, Serving):
        raise DeploymentFailed(f"endpoint {wanted['endpoint']}: {outcome.reason}")
    prove(wanted["endpoint"], S3Uri.parse(wanted["probe_uri"]), clients.runtime, objects)
    _crown(parked, ledger, now)
    return DeploymentSection(
        outcome="deployed",
        endpoint=wanted["endpoint"],
        endpoint_config=wanted["endpoint_config"],
        sequence=wanted["sequence"],
        seconds=round((now - datetime.fromisoformat(parked.parked_at)).total_seconds()),
    ).model_dump(mode="json")


LOOKS = {
    "processing_job": _processing_job,
    "training_job": _training_job,
    "endpoint": _endpoint,
    "model_package": _model_package,
}
"""What a run waits for → how to see what became of it."""


def _crown(parked: Parked, ledger: Ledger, now: datetime) -> None:
    wanted = parked.detail
    ledger.leases.hold(parked.model, parked.run_id, parked.fence, now=int(now.timestamp()))
    names = (
        "sequence",
        "endpoint",
        "endpoint_config",
        "model_data_url",
        "model_package_arn",
        "baseline_uri",
        "reason",
    )
    fields = {name: wanted[name] for name in names}
    fields["manifest_sha256"] = wanted.get(
        "manifest_sha256", ""
    )  # a wait parked by an older release has none
    row = ChampionRow(model=parked.model, run_id=parked.run_id, promoted_at=now.isoformat(), **fields)
    stands = ledger.champions.get(parked.model)
    if stands is not None and stands.sequence > row.sequence:
        raise ChampionMoved(f"{parked.model}: champion {stands.sequence} of run {stands.run_id} is newer")
    record_rollback(parked.model, ledger.champions, ledger.decisions)
    ledger.champions.move(row)


def _stop(parked: Parked, clients: Clients) -> None:
    name = parked.arn.rsplit("/", 1)[-1]
    if parked.kind == "training_job":
        stop_job(clients.sagemaker, "training", name)
    elif parked.kind == "processing_job":
        stop_job(clients.sagemaker, "processing", name)
    elif parked.kind == "model_package":
        package = existing(clients.sagemaker, "model_package", {"ModelPackageName": parked.arn})
        if package is not None and package["ModelApprovalStatus"] == "PendingManualApproval":
            request = approval_request(
                package_arn=parked.arn, approval="Rejected", reason=f"run {parked.run_id} waits no longer"
            )
            clients.sagemaker.update_model_package(**request)


def _run_of(detail: dict[str, Any]) -> tuple[str, str]:
    """Split an execution's name, ``<model>-<run_id>``; the run id holds no hyphen."""
    model, _, run_id = str(detail["name"]).rpartition("-")
    return model, run_id
