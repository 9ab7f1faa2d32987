"""Who waits: what Step Functions tells a step that leaves its wait to the callback."""

from dataclasses import dataclass
from typing import Any

from driftwheel.ledger.tokens import Kind, Parked
from driftwheel.run import Run


@dataclass(frozen=True)
class Waiting:
    """Who waits: the token Step Functions gave and the execution it belongs to."""

    task_token: str
    execution_arn: str
    now: str

    def arn_of(self, kind: str, name: str) -> str:
        """Name a SageMaker resource of the same partition, region and account before it exists."""
        _, partition, _, region, account, *_ = self.execution_arn.split(":")
        return f"arn:{partition}:sagemaker:{region}:{account}:{kind}/{name}"

    def parked(self, run: Run, kind: Kind, arn: str, detail: dict[str, Any]) -> Parked:
        """Make the wait of a run for a resource; ``detail`` is what the callback judges it by."""
        return Parked(
            arn=arn,
            kind=kind,
            token=self.task_token,
            model=run.model,
            run_id=run.run_id,
            fence=run.fence,
            execution_arn=self.execution_arn,
            parked_at=self.now,
            detail=detail,
        )

    @property
    def region(self) -> str:
        """The region of the execution."""
        return self.execution_arn.split(":")[3]
