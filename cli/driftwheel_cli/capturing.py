"""Do callers capture where a model relies on them? Without captured traffic no drift is ever seen."""

from datetime import datetime

from driftwheel.layout import VARIANT, capture_prefix
from driftwheel_cli.checkup import Finding
from driftwheel_cli.connection import Stack

REMEDY = (
    "if the endpoint is asked, its callers use driftwheel.capture with the rights of CallerPolicyArn "
    "(docs/deploying.md)"
)


def of_callers(stack: Stack) -> list[Finding]:
    """Look for what callers captured since each promotion; nothing at all may also be no traffic."""
    return [
        _captured(stack, spec.model, champion.endpoint, champion.promoted_at)
        for spec in stack.models()
        if spec.deployment.captured_by == "writer"
        and (champion := stack.ledger.champions.get(spec.model)) is not None
    ]


def _captured(stack: Stack, model: str, endpoint: str, promoted_at: str) -> Finding:
    check = f"captured by the callers of {model}"
    prefix = f"{capture_prefix(model)}/{endpoint}/{VARIANT}/"
    answer = stack.client("s3").list_objects_v2(
        Bucket=stack.names.artifact_bucket,
        Prefix=prefix,
        StartAfter=f"{prefix}{datetime.fromisoformat(promoted_at):%Y/%m/%d/%H}",
        MaxKeys=1,
    )
    if answer.get("KeyCount"):
        return Finding(check, "ok", f"since the promotion at {promoted_at}")
    return Finding(check, "unknown", f"nothing since the promotion at {promoted_at}", REMEDY)
