"""All at once: every request goes to the challenger, and comes back when an alarm fires while it bakes."""

from typing import Literal

from driftwheel.deployment.mode import Mode, Request


class AllAtOnce(Mode):
    """Move all traffic in one step."""

    mode: Literal["all_at_once"] = "all_at_once"

    def traffic(self) -> Request:
        """Build the ALL_AT_ONCE routing."""
        return {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": self.bake_seconds}
