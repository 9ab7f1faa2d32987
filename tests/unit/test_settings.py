"""What a function reads of its environment says whether there is a VPC."""

import pytest
from pydantic import ValidationError

from driftwheel.aws.settings import DeploymentSettings, DriftSettings, JobSettings, NetworkSettings
from driftwheel.vpc import NO_VPC, Vpc

STARTS_MACHINES = [DeploymentSettings, DriftSettings, JobSettings]
ENVIRONMENT = {
    "STACK": "driftwheel",
    "TABLE": "ledger",
    "ARTIFACT_BUCKET": "artifacts",
    "SAGEMAKER_ROLE_ARN": "role",
    "DOMAIN_ROLE_ARN": "role",
    "KMS_KEY_ARN": "key",
    "ALERT_TOPIC_ARN": "topic",
}


def read(
    settings: type[NetworkSettings], monkeypatch: pytest.MonkeyPatch, subnets: str, groups: str
) -> NetworkSettings:
    given = {"VPC_SUBNET_IDS": subnets, "VPC_SECURITY_GROUP_IDS": groups}
    for name, value in (ENVIRONMENT | given).items():
        monkeypatch.setenv(name, value)
    return settings.from_env()


@pytest.mark.parametrize("settings", STARTS_MACHINES)
def test_who_starts_machines_knows_the_vpc(
    settings: type[NetworkSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(settings, monkeypatch, "", "").vpc == NO_VPC
    found = read(settings, monkeypatch, "subnet-1,subnet-2", "sg-1").vpc
    assert found == Vpc(("subnet-1", "subnet-2"), ("sg-1",))


@pytest.mark.parametrize(("subnets", "groups"), [("subnet-1", ""), ("", "sg-1")])
def test_half_a_vpc_is_refused_when_the_function_starts(
    monkeypatch: pytest.MonkeyPatch, subnets: str, groups: str
) -> None:
    with pytest.raises(ValidationError, match="both VPC_SUBNET_IDS and VPC_SECURITY_GROUP_IDS"):
        read(JobSettings, monkeypatch, subnets, groups)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("VPC_SUBNET_IDS", raising=False)

    with pytest.raises(ValidationError, match="vpc_subnet_ids"):
        JobSettings.from_env()
