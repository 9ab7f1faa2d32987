"""Does the endpoint serve what we asked for? The status alone never says so.

After a failed update SageMaker puts the endpoint back to ``InService`` on the **old** config, with a
``FailureReason`` that may be empty (hashicorp/terraform-provider-aws issues 48997 and 39099).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from driftwheel.layout import VARIANT

NO_REASON = "SageMaker gave no reason; look at the endpoint's log group and its rollback alarms"


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the config, how many instances, when, and how long it may take.

    ``requested_at`` and ``limit_seconds`` bound every wait; both need the caller's ``now``.
    ``seen_modified`` is the endpoint's LastModifiedTime just before: while it stands, nothing has begun.
    """

    config_name: str
    instance_count: int = 1
    variant: str = VARIANT
    requested_at: datetime | None = None
    limit_seconds: int | None = None
    seen_modified: datetime | None = None

    @classmethod
    def of(cls, detail: Mapping[str, Any], parked_at: str) -> Self:
        """Read what a run's wait for an endpoint was parked with; an older release saw no modification."""
        seen = detail.get("seen_modified")
        return cls(
            detail["endpoint_config"],
            detail["instance_count"],
            requested_at=datetime.fromisoformat(parked_at),
            limit_seconds=detail["limit_seconds"],
            seen_modified=datetime.fromisoformat(seen) if seen else None,
        )


@dataclass(frozen=True)
class Serving:
    """When status, config, variant, weight and instances are what we asked for; a probe comes next."""

    config_name: str


@dataclass(frozen=True)
class NotYet:
    """When SageMaker is still at work: wait for the next event or the next look."""

    status: str


@dataclass(frozen=True)
class RolledBack:
    """When the endpoint serves again, but not our config."""

    serving_config: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """When the endpoint will not serve our config; ``reason`` says what a person can look at."""

    reason: str


Outcome = Serving | NotYet | RolledBack | Failed

WORKING = {"Creating", "Updating", "SystemUpdating", "RollingBack"}

DEAD = {
    "OutOfService": "the endpoint is out of service and takes no traffic",
    "Deleting": "somebody is deleting the endpoint",
    "Failed": "the endpoint could not be created or updated",
    "UpdateRollbackFailed": "the update failed and so did its rollback: a person must look at the endpoint",
}

# Events spell a status UPDATE_ROLLBACK_FAILED where the API says UpdateRollbackFailed.
SPELLINGS = {name.upper(): name for name in (*WORKING, *DEAD, "InService")}


def verify(describe: dict[str, Any], wanted: Wanted, now: datetime | None = None) -> Outcome:
    """Decide from DescribeEndpoint's answer what became of a create or an update."""
    status = SPELLINGS.get(
        str(describe["EndpointStatus"]).upper().replace("_", ""), describe["EndpointStatus"]
    )
    if status in DEAD:
        return Failed(f"{DEAD[status]}: {_reason(describe)}")
    if status == "InService":
        outcome = _in_service(describe, wanted)
    elif status in WORKING:
        outcome = NotYet(status)
    else:
        outcome = Failed(f"SageMaker reports a status we do not know: {status}")
    if isinstance(outcome, NotYet) and _too_late(wanted, now):
        return Failed(f"still {outcome.status} after {wanted.limit_seconds} seconds: {_reason(describe)}")
    return outcome


def _in_service(describe: dict[str, Any], wanted: Wanted) -> Outcome:
    config = describe["EndpointConfigName"]
    if config != wanted.config_name:
        if describe.get("PendingDeploymentSummary") or _not_begun(describe, wanted):
            return NotYet("Updating")
        return RolledBack(config, f"serves {config}, not {wanted.config_name}: {_reason(describe)}")
    variants = {variant["VariantName"]: variant for variant in describe.get("ProductionVariants", [])}
    if list(variants) != [wanted.variant]:
        return Failed(f"expected the one variant {wanted.variant!r}, found {sorted(variants)}")
    variant = variants[wanted.variant]
    if variant.get("CurrentWeight", 0) <= 0:
        return Failed(
            f"variant {wanted.variant!r} gets no traffic: its weight is {variant.get('CurrentWeight')}"
        )
    if variant.get("CurrentInstanceCount", 0) < wanted.instance_count:
        return NotYet("Updating")
    return Serving(config)


def _not_begun(describe: dict[str, Any], wanted: Wanted) -> bool:
    """Whether this answer is older than our request: the update has not been seen yet.

    What was seen before is compared by SageMaker's own clock, and knows of an update that ended between our
    function's start and its request.
    """
    modified = describe.get("LastModifiedTime")
    if modified is None:
        return False
    if wanted.seen_modified is not None:
        return bool(modified <= wanted.seen_modified)
    return wanted.requested_at is not None and modified < wanted.requested_at


def _too_late(wanted: Wanted, now: datetime | None) -> bool:
    if now is None or wanted.requested_at is None or wanted.limit_seconds is None:
        return False
    return (now - wanted.requested_at).total_seconds() > wanted.limit_seconds


def _reason(describe: dict[str, Any]) -> str:
    return describe.get("FailureReason") or NO_REASON
