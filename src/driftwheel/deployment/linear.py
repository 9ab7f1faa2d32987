"""Linear: traffic moves in equal steps, each baked."""

from typing import Literal

from pydantic import Field

from driftwheel.deployment.mode import Mode, Request


class Linear(Mode):
    """Move ``size`` percent of the capacity at a time.

    AWS takes a step between 10 and 50 percent of the fleet.
    """

    mode: Literal["linear"] = "linear"
    size: int = Field(10, ge=10, le=50)

    @property
    def steps(self) -> int:
        """Bakes after each step; the last may be smaller."""
        return -(-100 // self.size)

    def traffic(self) -> Request:
        """Build the LINEAR routing."""
        return {
            "Type": "LINEAR",
            "WaitIntervalInSeconds": self.bake_seconds,
            "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": self.size},
        }
