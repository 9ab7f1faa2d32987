"""The gate's refusals as a client meets them, and the map of what each call asks for."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from driftwheel_local.permissions.actions import RULES, UnmappedOperationError, needs_of
from driftwheel_local.permissions.requests import Call

from . import asked
from .boundary import FixedFacts, acting_as, stand
from .iam import ACCOUNT, KEY, REGION

SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Clients of a role at the gate, before moto."""
    monkeypatch.setattr(asked, "denied", [])
    stand(monkeypatch)
    with mock_aws(), acting_as("drift_check"):
        yield lambda service: boto3.client(service, region_name=REGION)


QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/arrival"
REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    (
        "s3",
        "put_object",
        {"Bucket": "driftwheel-artifacts", "Key": "runs/x", "Body": b""},
        "AccessDenied",
        "s3:PutObject",
    ),
    ("s3", "head_object", {"Bucket": "driftwheel-artifacts", "Key": "code/x"}, "403", ""),
    (
        "s3",
        "delete_object",
        {"Bucket": "driftwheel-artifacts", "Key": "drift/x"},
        "AccessDenied",
        "s3:DeleteObject",
    ),
    ("s3", "list_buckets", {}, "AccessDenied", "s3:?"),
    ("sqs", "send_message", {"QueueUrl": QUEUE, "MessageBody": "{}"}, "AccessDenied", "sqs:SendMessage"),
    (
        "sns",
        "publish",
        {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:other", "Message": "x"},
        "AuthorizationError",
        "sns:Publish",
    ),
    (
        "cloudwatch",
        "describe_alarms",
        {"AlarmNames": ["driftwheel-x"]},
        "AccessDenied",
        "cloudwatch:DescribeAlarms",
    ),
    (
        "sagemaker",
        "update_endpoint",
        {"EndpointName": "driftwheel-x", "EndpointConfigName": "c"},
        "AccessDeniedException",
        "sagemaker:UpdateEndpoint",
    ),
    (
        "sagemaker-runtime",
        "invoke_endpoint",
        {"EndpointName": "driftwheel-x", "Body": b"{}"},
        "AccessDeniedException",
        "sagemaker:InvokeEndpoint",
    ),
    ("dynamodb", "scan", {"TableName": "ledger"}, "AccessDeniedException", "dynamodb:Scan"),
    (
        "events",
        "put_events",
        {"Entries": [{"Source": "other", "DetailType": "d", "Detail": "{}"}]},
        "AccessDeniedException",
        "events:PutEvents",
    ),
    ("iam", "list_roles", {}, "AccessDenied", "iam:ListRoles"),
]


@pytest.mark.case("SE-11")
@pytest.mark.parametrize(("service", "operation", "request_", "code", "action"), REFUSED)
def test_what_a_role_may_not_do_is_refused_in_the_services_own_words(
    client: Callable[[str], Any],
    service: str,
    operation: str,
    request_: dict[str, Any],
    code: str,
    action: str,
) -> None:
    with pytest.raises(ClientError) as refusal:
        getattr(client(service), operation)(**request_)

    error = refusal.value.response["Error"]
    assert error["Code"] == code
    assert f"not authorized to perform: {action} on resource" in error["Message"] or not action


@pytest.mark.case("SE-11")
def test_a_call_nobody_mapped_is_denied() -> None:
    with pytest.raises(UnmappedOperationError, match="sagemaker:CreateApp"):
        needs_of(Call("sagemaker", "CreateApp"), ACCOUNT, FixedFacts())


def example(service: str, operation: str) -> Call:
    """A request with every member any rule reads."""
    name = "driftwheel-x"
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}"
    parameters: dict[str, Any] = {
        **dict.fromkeys(
            ("TrainingJobName", "ProcessingJobName", "ModelName", "EndpointName", "EndpointConfigName"), name
        ),
        **dict.fromkeys(("ModelPackageGroupName", "AlarmName", "FunctionName", "TableName"), name),
        **dict.fromkeys(("RoleArn", "ExecutionRoleArn"), f"arn:aws:iam::{ACCOUNT}:role/r"),
        **dict.fromkeys(("ModelPackageName", "ModelPackageArn"), f"{SAGEMAKER}:model-package/{name}/1"),
        "Tags": [{"Key": "k", "Value": "v"}],
        "ResourceConfig": {"VolumeKmsKeyId": KEY},
        "ProcessingResources": {"ClusterConfig": {"VolumeKmsKeyId": KEY}},
        "AlarmNames": [name],
        "Bucket": "b",
        "Key": "k",
        "CopySource": {"Bucket": "b", "Key": "k", "VersionId": "v"},
        "QueueUrl": "https://sqs/q",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t",
        "stateMachineArn": f"{arn}:stateMachine:m",
        "executionArn": f"{arn}:execution:m:e",
        "taskToken": "t",
        "ResourceArn": f"{SAGEMAKER}:endpoint/{name}",
        "Entries": [{"Source": "s"}],
        "TransactItems": [{"Put": {"TableName": name}}],
    }
    return Call(service, operation, parameters, REGION)


@cache
def actions() -> dict[str, Any]:
    """cfn-lint's copy of AWS's service authorization reference: 8 MB, read once."""
    text = files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


@pytest.mark.case("SE-11")
@pytest.mark.parametrize(("service", "operation"), sorted(RULES))
def test_every_right_asked_for_exists_and_knows_that_kind_of_resource(service: str, operation: str) -> None:
    table = actions()

    for need in needs_of(example(service, operation), ACCOUNT, FixedFacts()):
        prefix, _, name = need.action.partition(":")
        entry = table[prefix]["Actions"][name.lower()]
        kinds = [table[prefix]["Resources"][kind] for kind in entry.get("Resources", [])]
        formats = [pattern for kind in kinds for pattern in kind["ARNFormats"]]
        everywhere = need.resource == "*" and not kinds
        assert any(known(need.resource, each) for each in formats) or everywhere or need.action in UNLISTED


UNLISTED = {"states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"}
"""The table knows no resource for them; IAM asks for the state machine (CDK's grantTaskResponse)."""


def known(arn: str, pattern: str) -> bool:
    return re.fullmatch(re.sub(r"\$\{\w+\}", "[^:]*", pattern), arn) is not None
