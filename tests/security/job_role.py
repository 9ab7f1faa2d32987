"""What SageMaker will ask for in a role's name when it carries a request out, read from the request itself.

The container and the hosting service sign with the role the request passes, so no call of ours shows whether
that role suffices. The request does: it names what is read, written, encrypted and pulled
(https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html).
"""

import re
from collections.abc import Iterator
from typing import Any

from driftwheel_local.permissions.policies import Need, decide

from .iam import KEY, NAMES, fixed, role_of, roles

PULLS = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
)
"""What machines in a VPC take."""
IMAGE = re.compile(r"(\d+)\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:]+):.+")


def passed(request: dict[str, Any]) -> str | None:
    """Answer the template's role that a request passes; None where it passes none."""
    arn = request.get("RoleArn") or request.get("ExecutionRoleArn")
    if arn is None:
        return None
    name = role_of(arn.rpartition("/")[2])
    return {value: logical_id for logical_id, value in NAMES.items()}.get(name, name)


def needs(operation: str, request: dict[str, Any]) -> Iterator[Need]:
    """Say what a request makes its role do."""
    if request.get("NetworkConfig", request).get("VpcConfig"):
        yield from (Need(action, "*") for action in INTERFACES)
    if operation == "CreateTrainingJob":
        yield from _pull(request["AlgorithmSpecification"]["TrainingImage"])
        for channel in request.get("InputDataConfig", []):
            yield from _read(channel["DataSource"]["S3DataSource"]["S3Uri"])
        yield from _write(request["OutputDataConfig"]["S3OutputPath"])
        if checkpoints := request.get("CheckpointConfig"):
            yield from _read(checkpoints["S3Uri"])
            yield from _write(checkpoints["S3Uri"])
        yield _key("kms:CreateGrant")
    elif operation == "CreateProcessingJob":
        yield from _pull(request["AppSpecification"]["ImageUri"])
        for each in request.get("ProcessingInputs", []):
            yield from _read(each["S3Input"]["S3Uri"])
        for each in request["ProcessingOutputConfig"]["Outputs"]:
            yield from _write(each["S3Output"]["S3Uri"])
        yield _key("kms:CreateGrant")
    elif operation == "CreateModel":
        container = request["PrimaryContainer"]
        yield from _pull(container["Image"])
        if artifact := container.get("ModelDataUrl"):
            yield _object("s3:GetObject", artifact)
            yield _key("kms:Decrypt")


def captured(request: dict[str, Any]) -> Iterator[Need]:
    """Say what an endpoint config makes its models' role do: write what was asked and answered."""
    if capture := request.get("DataCaptureConfig"):
        yield from _write(capture["DestinationS3Uri"])


def lacking(role: str, wanted: list[Need], *, in_vpc: bool = False) -> list[Need]:
    """Answer the needs that the template's role does not cover; all of them for a role it does not have."""
    statements = roles(in_vpc=in_vpc).get(role, ())
    return [need for need in wanted if decide(statements, need) != "allowed"]


def _read(uri: str) -> Iterator[Need]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    yield Need("s3:ListBucket", fixed(f"arn:aws:s3:::{bucket}"), {"s3:prefix": key})
    yield _object("s3:GetObject", uri)
    yield _key("kms:Decrypt")


def _write(uri: str) -> Iterator[Need]:
    yield _object("s3:PutObject", uri.rstrip("/") + "/x")
    yield _key("kms:GenerateDataKey")


def _object(action: str, uri: str) -> Need:
    return Need(action, fixed(f"arn:aws:s3:::{uri.removeprefix('s3://')}{'x' if uri.endswith('/') else ''}"))


def _key(action: str) -> Need:
    """Everything of ours is sealed with the one key."""
    return Need(action, KEY)


def _pull(image: str) -> Iterator[Need]:
    found = IMAGE.fullmatch(image)
    assert found, f"{image} is no image of ECR"
    account, region, repository = found.groups()
    for action in PULLS:
        yield Need(action, f"arn:aws:ecr:{region}:{account}:repository/{repository}")
