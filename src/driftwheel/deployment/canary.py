"""Canary: a small share of the traffic first, the rest after one baking period."""

from typing import Literal

from pydantic import Field

from driftwheel.deployment.mode import Mode, Request


class Canary(Mode):
    """Send ``size`` percent of the capacity's traffic to the challenger, bake, then send all of it.

    AWS allows at most half of the fleet as canary.
    """

    mode: Literal["canary"] = "canary"
    size: int = Field(10, ge=1, le=50)

    @property
    def steps(self) -> int:
        """Bakes once on the canary and once on the whole fleet."""
        return 2

    def traffic(self) -> Request:
        """Build the CANARY routing."""
        return {
            "Type": "CANARY",
            "WaitIntervalInSeconds": self.bake_seconds,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": self.size},
        }
