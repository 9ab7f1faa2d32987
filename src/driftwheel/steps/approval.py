"""Approval: a person decides in the model registry; the token waits under the model package."""

from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Run
from driftwheel.steps.waiting import Waiting


def ask(run: Run, waiting: Waiting, tokens: Tokens) -> str:
    """Park the token and word the question for the person who decides."""
    if run.evaluation_gate is None:
        raise ValueError(f"run {run.run_id} has no verdict to approve")
    tokens.park(waiting.parked(run, "model_package", run.evaluation_gate.model_package_arn, {}))
    why = "; ".join(str(reason.get("sentence", reason)) for reason in run.evaluation_gate.reasons)
    hours = run.limits.approval_seconds // 3600
    return (
        f"{run.model}: run {run.run_id} asks for approval within {hours} h, or it is rejected. {why}. "
        f"Decide with `driftwheel approve {run.run_id}` or `driftwheel reject {run.run_id}`."
    )
