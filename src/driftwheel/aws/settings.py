"""A function's environment, validated when it starts: a missing variable is named at once."""

import os
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from driftwheel.vpc import Vpc


class Settings(BaseModel):
    """Variables every function has; a step's own settings subclass this.

    The field ``artifact_bucket`` is read from ``ARTIFACT_BUCKET``. Raises ValidationError by name.
    """

    # A function reads one of these classes and need not build the others.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    stack: str
    table: str
    artifact_bucket: str

    @classmethod
    def from_env(cls) -> Self:
        """Read exactly the declared variables."""
        given = {name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ}
        return cls.model_validate(given)


class AlertSettings(Settings):
    """Of a step that tells a person."""

    alert_topic_arn: str


class OutcomeSettings(AlertSettings):
    """Of a step after which the trigger looks again."""

    arrival_queue_url: str


class PreprocessingSettings(Settings):
    """Of the step that runs DuckDB: how many megabytes it may take before it spills to /tmp."""

    preprocessing_memory_mb: int


class NetworkSettings(Settings):
    """Of a step that starts something in SageMaker: ids separated by commas, empty without a VPC."""

    vpc_subnet_ids: str
    vpc_security_group_ids: str

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.vpc_subnet_ids) != bool(self.vpc_security_group_ids):
            raise ValueError("a VPC needs both VPC_SUBNET_IDS and VPC_SECURITY_GROUP_IDS")
        return self

    @property
    def vpc(self) -> Vpc:
        """The VPC that what is started joins."""
        return Vpc(
            *(
                tuple(filter(None, ids.split(",")))
                for ids in (self.vpc_subnet_ids, self.vpc_security_group_ids)
            )
        )


class JobSettings(NetworkSettings):
    """Of a step that starts jobs or models in the stack's name."""

    sagemaker_role_arn: str
    kms_key_arn: str


class DeploymentSettings(JobSettings):
    """Of the step that moves endpoints, whose alarms a person hears of."""

    alert_topic_arn: str


class DriftSettings(AlertSettings, NetworkSettings):
    """Of the drift check, which asks for jobs of a role of their own where a model declares them."""

    domain_role_arn: str
    kms_key_arn: str


class SweepSettings(Settings):
    """Of the step that tidies up: how old a leftover must be."""

    sweep_after_days: int


class CallbackSettings(Settings):
    """Of the step that ends waits, after which the trigger looks again."""

    arrival_queue_url: str


class TriggerSettings(Settings):
    """Of the step that starts runs and wakes itself."""

    arrival_queue_url: str
    state_machine_arn: str
    approval_hours: int
