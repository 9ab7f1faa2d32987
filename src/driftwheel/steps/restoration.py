"""Restoration: endpoints that are not as the ledger says are put right, once no run is at work on them.

A challenger may be left serving by a run that was aborted after UpdateEndpoint, lost its lease, or answered
the probe wrongly; a first deployment may have failed, or its run ended before anything was champion;
somebody may have deleted an endpoint or changed it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from driftwheel.aws.sagemaker import create_once, existing, update_endpoint
from driftwheel.deployment.endpoint import create_endpoint_request
from driftwheel.deployment.names import resource_name
from driftwheel.deployment.rollback import rollback_request
from driftwheel.errors import CapacityExceeded
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.runs import Runs
from driftwheel.ledger.table import Table
from driftwheel.spec import ModelSpec

LEASE_SECONDS = 120
"""Only while we ask: what we asked for is seen by the endpoint's status."""

Fault = Literal["never_served", "abandoned", "other_config", "deleted", "failed", "broken"]

AT_REST: dict[str, Fault] = {"Failed": "failed", "OutOfService": "broken", "UpdateRollbackFailed": "broken"}


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger that say what should serve."""

    models: Models
    champions: Champions
    leases: Leases
    decisions: Decisions
    outbox: Outbox
    runs: Runs

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        rooms = (Models, Champions, Leases, Decisions, Outbox, Runs)
        return cls(*(room(table) for room in rooms))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Restored:
    """What was found and done; ``alert`` when a person must hear of it, and it was not written today."""

    model: str
    sentence: str
    alert: Alert | None = None


def restore_all(stack: str, sagemaker: Any, ledger: Ledger, now: datetime) -> list[Restored]:
    """Look at the endpoint of every model; what is as it should be, or has a run at work, is left alone."""
    done = (restore(spec, stack, sagemaker, ledger, now) for spec in ledger.models.all())
    return [restored for restored in done if restored is not None]


def restore(spec: ModelSpec, stack: str, sagemaker: Any, ledger: Ledger, now: datetime) -> Restored | None:
    """Put one model's endpoint right, under its lease, so that no run crowns or deploys meanwhile."""
    model = spec.model
    if _look(model, stack, sagemaker, ledger)[1] is None:
        return None
    lease = ledger.leases.acquire(model, "restoration", now=int(now.timestamp()), seconds=LEASE_SECONDS)
    if lease is None:
        return None
    try:
        champion, fault, endpoint = _look(model, stack, sagemaker, ledger)
        if fault is None:
            return None
        sentence, is_news = _mend(spec, stack, champion, fault, endpoint, sagemaker)
    except CapacityExceeded as error:
        return Restored(model, f"{model}: its endpoint is put right later: {error}")
    finally:
        ledger.leases.release(model, lease.run_id, lease.fence)
    decision = _decision(model, champion, fault, sentence, now)
    ledger.decisions.record(decision)
    alert = Alert(
        f"{model}#{decision.at}#{decision.id}",
        f"{model}: its endpoint is not as it should be",
        f"{model}: {sentence}",
    )
    return Restored(model, alert.message, alert if is_news and ledger.outbox.put(alert, now) else None)


def fault_of(champion: ChampionRow | None, found: dict[str, Any] | None) -> Fault | None:
    """Compare DescribeEndpoint's answer (None: no such endpoint) with the champion; None while it moves."""
    if champion is None:
        return "never_served" if found is not None and found["EndpointStatus"] == "Failed" else None
    if found is None:
        return "deleted"
    if found["EndpointStatus"] == "InService":
        return "other_config" if found["EndpointConfigName"] != champion.endpoint_config else None
    return AT_REST.get(found["EndpointStatus"])


def wrong(champion: ChampionRow | None, fault: Fault, endpoint: str) -> str:
    """Say what is wrong with an endpoint."""
    who = f"champion {champion.sequence}" if champion else "a champion"
    said: dict[Fault, str] = {
        "never_served": "failed at its first deployment, there is no champion",
        "abandoned": "serves no champion: the run that made it ended without one",
        "other_config": f"serves another config than that of {who}",
        "deleted": f"was deleted, {who} does not serve",
        "failed": f"failed, {who} does not serve",
        "broken": "is out of order",
    }
    return f"endpoint {endpoint} {said[fault]}"


def remedy(spec: ModelSpec, fault: Fault, *, has_config: bool) -> str:
    """Say what is left to a person; empty when restoration mends it by itself."""
    if fault in {"never_served", "abandoned", "other_config"}:
        return ""
    if fault == "broken":
        return "delete it: it is then treated as one that was deleted"
    if spec.deployment.when_deleted == "alert":
        return "write `when_deleted: redeploy` under deployment and register the model to have it back"
    return "" if has_config else f"its endpoint config is gone too: driftwheel retrain {spec.model}"


def _look(
    model: str, stack: str, sagemaker: Any, ledger: Ledger
) -> tuple[ChampionRow | None, Fault | None, str]:
    champion = ledger.champions.get(model)
    endpoint = champion.endpoint if champion else resource_name(stack, model)
    found = existing(sagemaker, "endpoint", {"EndpointName": endpoint})
    fault = fault_of(champion, found)
    if champion is None and fault is None and found is not None and _abandoned(model, stack, found, ledger):
        fault = "abandoned"
    return champion, fault, endpoint


def _abandoned(model: str, stack: str, found: dict[str, Any], ledger: Ledger) -> bool:
    """Tell whether an endpoint at rest is that of a run which has ended.

    Only what the ledger knows a run of is: after the loss of the table nothing may be judged.
    """
    ended = (run for run in ledger.runs.of_model(model) if run.ended_at)
    configs = {resource_name(stack, model, run.run_id) for run in ended}
    return found["EndpointStatus"] in {"InService", "OutOfService"} and found["EndpointConfigName"] in configs


def _mend(
    spec: ModelSpec,
    stack: str,
    champion: ChampionRow | None,
    fault: Fault,
    endpoint: str,
    sagemaker: Any,
) -> tuple[str, bool]:
    """Act on a fault; answer what a person may read, and whether a person must."""
    found = wrong(champion, fault, endpoint)
    if champion is None:
        sagemaker.delete_endpoint(EndpointName=endpoint)
        return f"{found}: it is removed", False
    if fault == "other_config":
        update_endpoint(sagemaker, rollback_request(name=endpoint, config_name=champion.endpoint_config))
        return f"{found}: champion {champion.sequence} is put back", False
    config = {"EndpointConfigName": champion.endpoint_config}
    has_config = existing(sagemaker, "endpoint_config", config) is not None
    if todo := remedy(spec, fault, has_config=has_config):
        return f"{found}: {todo}", True
    if fault == "failed":
        sagemaker.delete_endpoint(EndpointName=endpoint)
        return f"{found}: it is deleted, and the champion deployed again at the next look", True
    tags = {"driftwheel:stack": stack, "driftwheel:model": spec.model}
    request = create_endpoint_request(name=endpoint, config_name=champion.endpoint_config, tags=tags)
    create_once(sagemaker, "endpoint", request, {"EndpointName": endpoint}, config)
    return f"{found}: it is deployed again", True


def _decision(
    model: str, champion: ChampionRow | None, fault: Fault, sentence: str, now: datetime
) -> Decision:
    """Word it for the decision ledger: of each fault once a day."""
    sequence = champion.sequence if champion else 0
    return Decision(
        model=model,
        at=now.date().isoformat(),
        id=f"restoration-{sequence}-{fault}",
        step="restoration",
        outcome=fault,
        reason=sentence,
        numbers={"at": now.isoformat(), "sequence": sequence},
        run_id=champion.run_id if champion else "",
    )
