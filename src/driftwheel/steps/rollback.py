"""Rollback: a person puts an earlier champion back on the endpoint; the pointer follows what serves.

Under the model's lease, so no run deploys meanwhile. Every part may be repeated: an endpoint that serves the
earlier config already is only verified, and a pointer moved twice is one move.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import existing, update_endpoint
from driftwheel.deployment.rollback import ROLLBACK_SECONDS, rollback_request
from driftwheel.deployment.verification import NotYet, Serving, Wanted, verify
from driftwheel.errors import ChampionMoved, DeploymentFailed, RollbackRefused
from driftwheel.layout import RunLayout
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.leases import Lease, Leases
from driftwheel.ledger.rollbacks import record_rollback, rollback_decision
from driftwheel.ledger.table import Table
from driftwheel.steps.proof import prove

LEASE_SECONDS = ROLLBACK_SECONDS + 600
POLL_SECONDS = 2.0

HOLDER = "rollback-"
"""How the holder of a rollback's lease is called; a run's is its id."""


@dataclass(frozen=True)
class Clients:
    """What a rollback moves and asks."""

    sagemaker: Any
    runtime: Any
    objects: Objects


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger a rollback reads and moves."""

    champions: Champions
    leases: Leases
    decisions: Decisions

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        return cls(Champions(table), Leases(table), Decisions(table))


@dataclass(frozen=True)
class Waiter:
    """How time passes while SageMaker works."""

    now: Callable[[], datetime]
    pause: Callable[[float], None]


def target_of(model: str, champions: Champions, run_id: str = "") -> tuple[ChampionRow, ChampionRow]:
    """Name what serves and what to go back to: the champion of ``run_id``, or the one before.

    Raises RollbackRefused when there is none.
    """
    stands = champions.get(model)
    if stands is None:
        raise RollbackRefused(f"{model} has no champion yet: there is nothing to go back from")
    history = [row for row in champions.history(model) if row.run_id != stands.run_id]
    if not run_id:
        if not history:
            raise RollbackRefused(f"run {stands.run_id} is the only champion {model} ever had")
        return stands, history[0]
    if stands.run_id == run_id:
        raise RollbackRefused(f"run {run_id} is the champion of {model} already")
    for row in history:
        if row.run_id == run_id:
            return stands, row
    known = ", ".join(dict.fromkeys(row.run_id for row in history)) or "none"
    raise RollbackRefused(f"run {run_id} was never champion of {model}; earlier champions: {known}")


def roll_back(
    stands: ChampionRow,
    target: ChampionRow,
    reason: str,
    artifact_bucket: str,
    clients: Clients,
    ledger: Ledger,
    waiter: Waiter,
) -> ChampionRow:
    """Put ``target`` back and return the champion it becomes, one sequence after ``stands``.

    Raises RollbackRefused while a run is at work or when the earlier config is gone, CapacityExceeded while
    the endpoint is busy, DeploymentFailed when the endpoint does not come to serve the earlier model (the
    pointer then stays), ChampionMoved or LeaseLost when somebody else was first.
    """
    if target.endpoint != stands.endpoint:
        raise RollbackRefused(f"run {target.run_id} served at {target.endpoint}, not at {stands.endpoint}")
    lease = _lease(stands, target, ledger, waiter.now())
    try:
        now = ledger.champions.get(stands.model)
        if now is None or now.sequence != stands.sequence:
            raise ChampionMoved(
                f"{stands.model}: another champion was made meanwhile; look again, then decide"
            )
        requested_at = waiter.now()
        seen = _move(target, clients)
        _await(target, requested_at, seen, clients, waiter)
        place = RunLayout(artifact_bucket, target.model, target.run_id).step("evaluation_gate")
        prove(target.endpoint, place / "probe.json", clients.runtime, clients.objects)
        ledger.leases.hold(stands.model, lease.run_id, lease.fence, now=int(waiter.now().timestamp()))
        return _crown(stands, target, reason, ledger, waiter.now())
    finally:
        ledger.leases.release(stands.model, lease.run_id, lease.fence)


def _lease(stands: ChampionRow, target: ChampionRow, ledger: Ledger, now: datetime) -> Lease:
    holder = f"{HOLDER}{stands.sequence}-{target.run_id}"
    lease = ledger.leases.acquire(stands.model, holder, now=int(now.timestamp()), seconds=LEASE_SECONDS)
    if lease is None:
        held = ledger.leases.get(stands.model)
        who = f"run {held.run_id}" if held else "a run"
        raise RollbackRefused(
            f"{who} of {stands.model} is at work: wait for its end, or reject it if it waits for a person"
        )
    return lease


def _move(target: ChampionRow, clients: Clients) -> datetime:
    """Ask for the earlier config, unless it serves; give when the endpoint had been modified before."""
    config = {"EndpointConfigName": target.endpoint_config}
    if existing(clients.sagemaker, "endpoint_config", config) is None:
        raise RollbackRefused(
            f"endpoint config {target.endpoint_config} of run {target.run_id} was deleted: retrain instead"
        )
    found = existing(clients.sagemaker, "endpoint", {"EndpointName": target.endpoint})
    if found is None:
        raise RollbackRefused(f"endpoint {target.endpoint} does not exist: somebody deleted it")
    seen: datetime = found["LastModifiedTime"]
    if found["EndpointConfigName"] == target.endpoint_config and found["EndpointStatus"] == "InService":
        return seen
    update_endpoint(
        clients.sagemaker, rollback_request(name=target.endpoint, config_name=target.endpoint_config)
    )
    return seen


def _await(
    target: ChampionRow, requested_at: datetime, seen: datetime, clients: Clients, waiter: Waiter
) -> None:
    wanted = Wanted(
        target.endpoint_config,
        requested_at=requested_at,
        limit_seconds=ROLLBACK_SECONDS,
        seen_modified=seen,
    )
    while True:
        describe = clients.sagemaker.describe_endpoint(EndpointName=target.endpoint)
        outcome = verify(describe, wanted, waiter.now())
        if isinstance(outcome, Serving):
            return
        if not isinstance(outcome, NotYet):
            raise DeploymentFailed(f"endpoint {target.endpoint}: {outcome.reason}")
        waiter.pause(POLL_SECONDS)


def _crown(
    stands: ChampionRow, target: ChampionRow, reason: str, ledger: Ledger, now: datetime
) -> ChampionRow:
    sentence = f"rolled back from run {stands.run_id} to run {target.run_id}: {reason or 'no reason given'}"
    record_rollback(stands.model, ledger.champions, ledger.decisions)
    back = replace(target, sequence=stands.sequence + 1, promoted_at=now.isoformat(), reason=sentence)
    ledger.champions.move(back)
    ledger.decisions.record(rollback_decision(back, stands))
    return back
