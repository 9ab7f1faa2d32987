"""What is wrong with a model's runs: the one at work, those nobody closed, the last one that ended."""

from datetime import datetime, timedelta

from driftwheel.aws import executions
from driftwheel.aws.sagemaker import existing
from driftwheel.deployment.verification import NotYet, Serving, Wanted, verify
from driftwheel.ledger.tokens import Kind, Parked
from driftwheel.spec import ModelSpec
from driftwheel.steps.remedy import ENDS, remedy_of
from driftwheel_cli.connection import Stack
from driftwheel_cli.troubles import SCHEDULES, UNHEARD, Known, Words, at

CLOSED = "nothing: it is closed within minutes; if it is not, driftwheel doctor"
WAITS_LONG = "nothing for a day: it is asked for again; driftwheel doctor MODEL.YAML names the quotas"


def run_troubles(stack: Stack, known: Known) -> Words:
    """Say what is wrong with a model's runs."""
    waits = [wait for wait in known.waits if not _given_up(known, wait)]
    if not waits:
        yield from _attempts(known)
    for wait in waits:
        yield from WAITS[wait.kind](stack, known, wait)
    yield from _unheard(stack, known)
    yield from _last(known)


def _given_up(known: Known, wait: Parked) -> bool:
    """Whether the attempt that began to wait has failed since: what it waits for was never made."""
    faults = known.progress.faults
    return bool(faults) and datetime.fromisoformat(wait.parked_at) <= faults[-1].at


def _attempts(known: Known) -> Words:
    """A state that fails and is tried again."""
    faults = known.progress.faults
    if not faults:
        return
    last, times = faults[-1], f"{len(faults)} times" if len(faults) > 1 else "once"
    do = WAITS_LONG if last.error == "CapacityExceeded" else "nothing: the state machine tries again"
    yield f"run {known.in_flight}: {last.state} failed {times}, {last.error}: {last.cause}", do


def _job(stack: Stack, known: Known, wait: Parked) -> Words:
    kind, name = wait.kind.replace("_", " "), wait.arn.rpartition("/")[2]
    member = kind.title().replace(" ", "")
    job = existing(stack.client("sagemaker"), wait.kind, {f"{member}Name": name}) or {}
    if job.get("SecondaryStatus") == "Interrupted":
        do = "nothing: it goes on from its checkpoint; training.spot: false asks for machines that stay"
        yield f"{kind} {name} was interrupted: AWS took its spot machine", do
    since = datetime.fromisoformat(wait.parked_at)
    if job.get(f"{member}Status") == "InProgress" and known.now - since > _longest(known, wait.kind):
        do = f"nothing: its run gives it up within the hour; driftwheel logs {wait.run_id} says more"
        yield f"{kind} {name} is at work since {at(since)}, longer than max_runtime_seconds", do
    ended = job.get("TrainingEndTime") or job.get("ProcessingEndTime")
    if ended and known.now - ended > UNHEARD:
        found = f"{kind} {name} ended {job[f'{member}Status']} at {at(ended)}"
        do = f"{SCHEDULES}; driftwheel logs job_callback says more"
        yield f"{found}, run {wait.run_id} has not heard of it", do


def _longest(known: Known, kind: Kind) -> timedelta:
    """How long a job may take by its run's own model.yaml; a spot job may wait for machines as long again."""
    declared = known.progress.document.get("spec")
    spec = ModelSpec.model_validate(declared) if declared else known.spec
    if kind == "processing_job":
        return timedelta(seconds=spec.preprocessing.max_runtime_seconds)
    return timedelta(seconds=spec.training.max_runtime_seconds * (2 if spec.training.spot else 1))


def _approval(_stack: Stack, known: Known, wait: Parked) -> Words:
    seconds = known.progress.document.get("limits", {}).get("approval_seconds", 0)
    until = at(datetime.fromisoformat(wait.parked_at) + timedelta(seconds=seconds))
    do = f"driftwheel approve {wait.run_id}, or reject"
    yield f"run {wait.run_id} waits for a person; at {until} it is rejected", do


def _deployment(_stack: Stack, known: Known, wait: Parked) -> Words:
    if known.described is None:
        return
    outcome = verify(known.described, Wanted.of(wait.detail, wait.parked_at), known.now)
    do = f"nothing: run {wait.run_id} ends as failed within minutes"
    do += ", the champion keeps serving" if known.champion else ""
    if isinstance(outcome, NotYet):
        if outcome.status == "RollingBack":
            yield f"endpoint {known.endpoint} is rolling back", do
    elif not isinstance(outcome, Serving):
        yield f"endpoint {known.endpoint}: {outcome.reason}", do


WAITS = {
    "training_job": _job,
    "processing_job": _job,
    "model_package": _approval,
    "endpoint": _deployment,
}
"""What a run waits for → what may be wrong with it."""


def _unheard(stack: Stack, known: Known) -> Words:
    """Runs that are running by the ledger and not by Step Functions, or that lost their lease."""
    for run in known.runs:
        if run.status != "running":
            continue
        status = executions.status(stack.client("stepfunctions"), run.execution_arn)
        if status in {"FAILED", "TIMED_OUT", "ABORTED"}:
            yield f"the execution of run {run.run_id} ended {status}, the ledger has not heard of it", CLOSED
        elif run.run_id == known.in_flight:
            continue
        elif status is None:
            yield f"run {run.run_id} was never started", CLOSED
        elif status == "RUNNING":
            yield f"run {run.run_id} goes on without its lease", "nothing: it can deploy no more and fails"


def _last(known: Known) -> Words:
    last = next(iter(known.runs), None)
    if last is None or known.in_flight or last.status not in ENDS:
        return
    do = remedy_of(last.model, last.run_id, last.status, last.outcome)
    yield f"run {last.run_id} {last.status}: {last.outcome}", do
