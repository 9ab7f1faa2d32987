"""What every deployment mode shares: the fleet, its captured traffic, and how an update is undone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Request = dict[str, Any]

SHORTEST_LIMIT = 600
LONGEST_LIMIT = 28_800
"""Bounds of ``MaximumExecutionTimeoutInSeconds`` in the service model."""

FLEET_SECONDS = 1_200
"""Allowed for starting a fleet and pulling the image; bake and termination come on top."""


class Mode(BaseModel, ABC):
    """How a fleet is exchanged: blue/green, watched by alarms.

    ``bake_seconds`` is how long alarms are watched after traffic moved, ``termination_seconds`` how long the
    old fleet is kept afterwards. ``capture`` is the percentage of requests recorded; ``captured_by`` says by
    whom: SageMaker's DataCapture, or the callers (``driftwheel.capture``) where that is not to be had.
    ``when_deleted`` says what becomes of an endpoint that somebody deleted: it costs money by the hour, so a
    person is told; ``redeploy`` puts the champion back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    mode: str
    bake_seconds: int = Field(300, ge=0, le=3600)
    termination_seconds: int = Field(60, ge=0, le=3600)
    instance: str = Field("ml.m5.large", pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")
    instance_count: int = Field(1, ge=1, le=100)
    capture: int = Field(100, ge=0, le=100)
    captured_by: Literal["endpoint", "writer"] = "endpoint"
    keep_previous: int = Field(2, ge=1, le=10)
    when_deleted: Literal["alert", "redeploy"] = "alert"

    @property
    def steps(self) -> int:
        """How many times the update waits ``bake_seconds``."""
        return 1

    @property
    def limit_seconds(self) -> int:
        """After which SageMaker gives up and rolls back."""
        return max(FLEET_SECONDS + self.steps * self.bake_seconds + self.termination_seconds, SHORTEST_LIMIT)

    @model_validator(mode="after")
    def _ends_in_time(self) -> "Mode":
        if self.limit_seconds > LONGEST_LIMIT:
            raise ValueError(
                f"bake_seconds: {self.steps} steps of {self.bake_seconds} s take longer than the "
                f"{LONGEST_LIMIT} s SageMaker gives an update; bake shorter or in fewer steps"
            )
        return self

    @abstractmethod
    def traffic(self) -> Request:
        """Build ``TrafficRoutingConfiguration``: how traffic moves to the new fleet."""

    def deployment_config(self, alarms: Sequence[str]) -> Request:
        """Build UpdateEndpoint's ``DeploymentConfig``.

        Raises ValueError without an alarm: SageMaker then never rolls back by itself
        (``AutoRollbackConfiguration``), and with more than ten, which it refuses.
        """
        if not 1 <= len(alarms) <= 10:
            raise ValueError(f"automatic rollback needs 1 to 10 alarms, got {len(alarms)}")
        return {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": self.traffic(),
                "TerminationWaitInSeconds": self.termination_seconds,
                "MaximumExecutionTimeoutInSeconds": self.limit_seconds,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
        }
