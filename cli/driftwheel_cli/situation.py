"""How one model is now, read from the ledger, Step Functions and SageMaker."""

from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from driftwheel.aws.sagemaker import existing
from driftwheel.errors import ArtifactInvalid
from driftwheel.layout import RunLayout
from driftwheel.ledger.champions import ChampionRow
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Stack
from driftwheel_cli.run_troubles import run_troubles
from driftwheel_cli.sections import verdict
from driftwheel_cli.troubles import Known, Trouble, troubles_of
from driftwheel_cli.watching import Progress, progress_of

DECISIONS = 2_000
"""How many of the newest are looked through: a week of drift checks every five minutes."""


@dataclass(frozen=True)
class ModelStatus:
    """One model: what serves, what is at work, what waits, what is wrong, and the last words about it.

    ``metrics`` are the champion's numbers when it was promoted; ``pending`` the keys no run has used;
    ``held_hours`` the hours of traffic that no data set learns from.
    """

    model: str
    champion: dict[str, Any] | None
    metrics: dict[str, str]
    endpoint: dict[str, Any]
    in_flight: dict[str, Any] | None
    pending: list[str]
    decision: dict[str, Any] | None
    drift: dict[str, Any] | None
    held_hours: list[dict[str, Any]]
    troubles: list[Trouble]


def status_of(stack: Stack, spec: ModelSpec) -> ModelStatus:
    """Read everything ``driftwheel status`` shows of a model."""
    known = _known(stack, spec)
    champion, finding = known.champion, known.finding
    latest = max(known.decisions, key=lambda d: str(d.numbers.get("at") or d.at), default=None)
    drift = None
    if finding is not None:
        current = champion is not None and finding.champion_sequence == champion.sequence
        drift = asdict(finding) | {"of_this_champion": current}
    return ModelStatus(
        model=spec.model,
        champion=asdict(champion) if champion else None,
        metrics=_metrics(stack, champion) if champion else {},
        endpoint=_endpoint(known),
        in_flight=_in_flight(known),
        pending=[row.key for row in known.rows if row.state == "pending"],
        decision=asdict(latest) | {"at": latest.numbers.get("at") or latest.at} if latest else None,
        drift=drift,
        held_hours=[asdict(row) for row in stack.ledger.hours.held(spec.model)],
        troubles=[
            Trouble(spec.model, wrong, do)
            for wrong, do in (*run_troubles(stack, known), *troubles_of(stack, known))
        ],
    )


def _known(stack: Stack, spec: ModelSpec) -> Known:
    ledger, model, now = stack.ledger, spec.model, stack.now()
    champion, lease = ledger.champions.get(model), ledger.leases.get(model)
    endpoint = champion.endpoint if champion else stack.endpoint_of(model)
    held = lease.run_id if lease is not None and lease.expires_at > now.timestamp() else ""
    run = ledger.runs.get(model, held) if held else None
    return Known(
        spec=spec,
        now=now,
        champion=champion,
        endpoint=endpoint,
        described=existing(stack.client("sagemaker"), "endpoint", {"EndpointName": endpoint}),
        in_flight=held,
        until=lease.expires_at if lease and held else 0,
        runs=ledger.runs.of_model(model),
        rows=ledger.objects.of_model(model),
        decisions=ledger.decisions.of_model(model, limit=DECISIONS),
        finding=ledger.findings.get(model),
        progress=_progress(stack, run.execution_arn) if run else Progress({}, ""),
        waits=[wait for wait in stack.tokens.all() if held and (wait.model, wait.run_id) == (model, held)],
    )


def _progress(stack: Stack, execution_arn: str) -> Progress:
    try:
        return progress_of(stack.client("stepfunctions"), execution_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return Progress({}, "")  # the ledger knows a run a moment before Step Functions does


def _metrics(stack: Stack, champion: ChampionRow) -> dict[str, str]:
    record = RunLayout(stack.names.artifact_bucket, champion.model, champion.run_id).record
    try:
        gate = stack.objects.read_json(record).get("evaluation_gate") or {}
    except ArtifactInvalid:
        return {}  # the champion moves a moment before its run's record is written
    return {
        name.removeprefix("challenger "): value
        for name, value in verdict(gate).items()
        if name.startswith("challenger")
    }


def _endpoint(known: Known) -> dict[str, Any]:
    name, champion, found = known.endpoint, known.champion, known.described
    if found is None:
        missing = "missing: somebody deleted it" if champion else "not created yet"
        return {"name": name, "status": missing, "config": "", "as_wanted": champion is None, "reason": ""}
    config = found.get("EndpointConfigName", "")
    return {
        "name": name,
        "status": found["EndpointStatus"],
        "config": config,
        "as_wanted": champion is not None and config == champion.endpoint_config,
        "reason": found.get("FailureReason", ""),
    }


def _in_flight(known: Known) -> dict[str, Any] | None:
    if not known.in_flight:
        return None
    run = next((run for run in known.runs if run.run_id == known.in_flight), None)
    return {
        "run_id": known.in_flight,
        "state": known.progress.state,
        "reason": f"{run.kind}: {run.reason}" if run else "",
        "until": known.until,
        "waits_for": [{"arn": wait.arn, "since": wait.parked_at} for wait in known.waits],
    }
