"""How one model is now, read from the ledger, Step Functions and SageMaker."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from driftwheel.aws.sagemaker import existing
from driftwheel.errors import ArtifactInvalid
from driftwheel.layout import RunLayout
from driftwheel.ledger.champions import ChampionRow
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Stack
from driftwheel_cli.sections import verdict
from driftwheel_cli.watching import last_document


@dataclass(frozen=True)
class ModelStatus:
    """One model: what serves, what is at work, what waits, and the last words about it.

    ``metrics`` are the champion's numbers when it was promoted; ``pending`` the keys no run has used.
    """

    model: str
    champion: dict[str, Any] | None
    metrics: dict[str, str]
    endpoint: dict[str, Any]
    in_flight: dict[str, Any] | None
    pending: list[str]
    decision: dict[str, Any] | None
    drift: dict[str, Any] | None


def status_of(stack: Stack, spec: ModelSpec) -> ModelStatus:
    """Read everything ``driftwheel status`` shows of a model."""
    ledger, model = stack.ledger, spec.model
    champion = ledger.champions.get(model)
    pending = [row.key for row in ledger.objects.of_model(model) if row.state == "pending"]
    decisions = ledger.decisions.of_model(model, limit=200)
    latest = max(decisions, key=lambda d: str(d.numbers.get("at") or d.at), default=None)
    finding = ledger.findings.get(model)
    drift = None
    if finding is not None:
        current = champion is not None and finding.champion_sequence == champion.sequence
        drift = asdict(finding) | {"of_this_champion": current}
    return ModelStatus(
        model=model,
        champion=asdict(champion) if champion else None,
        metrics=_metrics(stack, champion) if champion else {},
        endpoint=_endpoint(stack, model, champion),
        in_flight=_in_flight(stack, model),
        pending=pending,
        decision=asdict(latest) | {"at": latest.numbers.get("at") or latest.at} if latest else None,
        drift=drift,
    )


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


def _endpoint(stack: Stack, model: str, champion: ChampionRow | None) -> dict[str, Any]:
    name = stack.endpoint_of(model)
    found = existing(stack.client("sagemaker"), "endpoint", {"EndpointName": name})
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


def _in_flight(stack: Stack, model: str) -> dict[str, Any] | None:
    lease = stack.ledger.leases.get(model)
    if lease is None or lease.expires_at <= time.time():
        return None
    run = stack.ledger.runs.get(model, lease.run_id)
    flight: dict[str, Any] = {"run_id": lease.run_id, "state": "", "reason": "", "until": lease.expires_at}
    if run is None:
        return flight
    try:
        _, state = last_document(stack.client("stepfunctions"), run.execution_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        state = ""  # the ledger knows a run a moment before Step Functions does
    return flight | {"state": state, "reason": f"{run.kind}: {run.reason}"}
