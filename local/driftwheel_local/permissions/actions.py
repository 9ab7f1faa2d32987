"""Which rights each API call asks for: more than its name says, where AWS asks for more.

Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/ and, for SageMaker,
https://docs.aws.amazon.com/sagemaker/latest/dg/api-permissions-reference.html
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from driftwheel_local.permissions.policies import Need
from driftwheel_local.permissions.requests import Call


class UnmappedOperationError(LookupError):
    """When nobody wrote down what a call asks for: it is denied."""


class Facts(Protocol):
    """What a request does not say."""

    def key_of(self, arn: str) -> str | None:
        """Answer the ARN of the customer's key of a bucket, table, queue, topic or endpoint config."""

    def machine_of(self, token: str) -> str | None:
        """Answer the ARN of the state machine a task token belongs to; None for a text that is no token."""

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Answer the tags of a SageMaker resource; none where there is no such resource."""


@dataclass(frozen=True)
class Place:
    """Where a call is made, to write ARNs, and what is known there."""

    account: str
    region: str
    facts: Facts

    def arn(self, service: str, resource: str) -> str:
        """Write an ARN of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def sealed(self, arn: str, *actions: str) -> Iterator[Need]:
        """Ask for KMS rights when a customer's key protects `arn`."""
        key = self.facts.key_of(arn)
        if key:
            yield from (Need(f"kms:{action}", key) for action in actions)


Asked = Iterator[Need]
Rule = Callable[[Mapping[str, Any], Place], Asked]


def needs_of(call: Call, account: str, facts: Facts) -> tuple[Need, ...]:
    """Answer every right the call asks for. Raises UnmappedOperationError for a call not listed here."""
    rule = RULES.get((call.service, call.operation))
    if rule is None:
        raise UnmappedOperationError(f"{call.service}:{call.operation}")
    return tuple(rule(call.parameters, Place(account, call.region, facts)))


def needs_when_absent(call: Call) -> tuple[Need, ...]:
    """Answer what S3 asks before it says that an object does not exist; without it the answer is 403.

    The request has no prefix, so that a condition on s3:prefix does not hold: the safe reading where AWS's
    pages are silent.
    """
    if (call.service, call.operation) not in {
        ("s3", "GetObject"),
        ("s3", "HeadObject"),
        ("s3", "CopyObject"),
    }:
        return ()
    bucket = call.parameters.get("CopySource", call.parameters)["Bucket"]
    return (Need("s3:ListBucket", f"arn:aws:s3:::{bucket}"),)


def _read(source: Mapping[str, Any], place: Place) -> Asked:
    action = "s3:GetObjectVersion" if source.get("VersionId") else "s3:GetObject"
    yield Need(action, f"arn:aws:s3:::{source['Bucket']}/{source['Key']}")
    yield from place.sealed(f"arn:aws:s3:::{source['Bucket']}", "Decrypt")


def _write(request: Mapping[str, Any], place: Place) -> Asked:
    yield Need("s3:PutObject", f"arn:aws:s3:::{request['Bucket']}/{request['Key']}")
    yield from place.sealed(f"arn:aws:s3:::{request['Bucket']}", "GenerateDataKey")


def _write_parts(request: Mapping[str, Any], place: Place) -> Asked:
    yield from _write(request, place)
    yield from place.sealed(f"arn:aws:s3:::{request['Bucket']}", "Decrypt")


def _copy(request: Mapping[str, Any], place: Place) -> Asked:
    yield from _read(request["CopySource"], place)
    yield from _write(request, place)


def _list_bucket(request: Mapping[str, Any], _: Place) -> Asked:
    yield Need("s3:ListBucket", f"arn:aws:s3:::{request['Bucket']}", {"s3:prefix": request.get("Prefix", "")})


def _abort(request: Mapping[str, Any], _: Place) -> Asked:
    yield Need("s3:AbortMultipartUpload", f"arn:aws:s3:::{request['Bucket']}/{request['Key']}")


def _on_table(action: str) -> Rule:
    def rule(request: Mapping[str, Any], place: Place) -> Asked:
        name = str(request["TableName"]).rpartition("/")[2]
        table = place.arn("dynamodb", f"table/{name}")
        index = f"/index/{request['IndexName']}" if request.get("IndexName") else ""
        yield Need(f"dynamodb:{action}", table + index)
        yield from place.sealed(table, "Decrypt")

    return rule


def _transaction(request: Mapping[str, Any], place: Place) -> Asked:
    names = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
    for item in request["TransactItems"]:
        for kind, inner in item.items():
            yield from _on_table(names.get(kind, "ConditionCheckItem"))(inner, place)


def _named(
    action: str, kind: str, member: str, *, passes: str = "", tagged: bool = False, key: str = ""
) -> Rule:
    """Write the rule of a SageMaker call on one resource.

    `passes` is the member with the role it hands on, `key` the path of the member with a volume's KMS key.
    """

    def rule(request: Mapping[str, Any], place: Place) -> Asked:
        given = str(request[member])
        name = given if given.startswith("arn:") else place.arn("sagemaker", f"{kind}/{given}")
        yield Need(f"sagemaker:{action}", name)
        if tagged and request.get("Tags"):
            yield Need("sagemaker:AddTags", name)
        if passes and request.get(passes):
            yield Need("iam:PassRole", request[passes], {"iam:passedtoservice": "sagemaker.amazonaws.com"})
        volume: Any = request
        for step in key.split(".") if key else ():
            volume = (volume or {}).get(step)
        if key and volume:
            yield Need("kms:CreateGrant", volume)

    return rule


def _delete(kind: str, noun: str) -> Rule:
    """Write the rule of a SageMaker deletion, whose condition may ask for the resource's tags."""

    def rule(request: Mapping[str, Any], place: Place) -> Asked:
        arn = place.arn("sagemaker", f"{kind}/{request[f'{noun}Name']}")
        tags = {f"aws:resourcetag/{key}".lower(): value for key, value in place.facts.tags_of(arn).items()}
        yield Need(f"sagemaker:Delete{noun}", arn, tags)

    return rule


def _package(request: Mapping[str, Any], place: Place) -> Asked:
    group = str(request["ModelPackageGroupName"]).rpartition("/")[2]
    name = place.arn("sagemaker", f"model-package/{group}/1")  # the version is not known before
    yield Need("sagemaker:CreateModelPackage", name)
    if request.get("Tags"):
        yield Need("sagemaker:AddTags", name)


def _endpoint(action: str) -> Rule:
    def rule(request: Mapping[str, Any], place: Place) -> Asked:
        endpoint = place.arn("sagemaker", f"endpoint/{request['EndpointName']}")
        config = place.arn("sagemaker", f"endpoint-config/{request['EndpointConfigName']}")
        yield Need(f"sagemaker:{action}", endpoint)
        yield Need(f"sagemaker:{action}", config)
        if request.get("Tags"):
            yield Need("sagemaker:AddTags", endpoint)
        yield from place.sealed(config, "CreateGrant")

    return rule


def _alarms(request: Mapping[str, Any], place: Place) -> Asked:
    for name in request.get("AlarmNames") or ["*"]:
        yield Need("cloudwatch:DescribeAlarms", place.arn("cloudwatch", f"alarm:{name}"))


def _events(request: Mapping[str, Any], place: Place) -> Asked:
    for entry in request["Entries"]:
        bus = str(entry.get("EventBusName", "default")).rpartition("/")[2]
        context = {
            "events:source": entry.get("Source", ""),
            "events:detail-type": entry.get("DetailType", ""),
        }
        yield Need("events:PutEvents", place.arn("events", f"event-bus/{bus}"), context)


def _send_message(request: Mapping[str, Any], place: Place) -> Asked:
    queue = place.arn("sqs", str(request["QueueUrl"]).rpartition("/")[2])
    yield Need("sqs:SendMessage", queue)
    yield from place.sealed(queue, "GenerateDataKey", "Decrypt")


def _publish(request: Mapping[str, Any], place: Place) -> Asked:
    yield Need("sns:Publish", request["TopicArn"])
    yield from place.sealed(request["TopicArn"], "GenerateDataKey", "Decrypt")


def _token(action: str) -> Rule:
    def rule(request: Mapping[str, Any], place: Place) -> Asked:
        machine = place.facts.machine_of(str(request["taskToken"]))
        if machine is not None:  # else Step Functions answers InvalidToken
            yield Need(f"states:{action}", machine)

    return rule


def _whole(action: str, member: str) -> Rule:
    return lambda request, _: iter((Need(action, request[member]),))


def _everywhere(action: str) -> Rule:
    """Write the rule of a SageMaker list: IAM knows no resource for it."""
    return lambda _request, _place: iter((Need(f"sagemaker:{action}", "*"),))


def _invoke(request: Mapping[str, Any], place: Place) -> Asked:
    name = str(request["FunctionName"])
    yield Need("lambda:InvokeFunction", name if ":" in name else place.arn("lambda", f"function:{name}"))


RULES: dict[tuple[str, str], Rule] = {
    ("s3", "GetObject"): _read,
    ("s3", "HeadObject"): _read,
    ("s3", "PutObject"): _write,
    ("s3", "CreateMultipartUpload"): _write_parts,
    ("s3", "UploadPart"): _write_parts,
    ("s3", "CompleteMultipartUpload"): _write_parts,
    ("s3", "AbortMultipartUpload"): _abort,
    ("s3", "CopyObject"): _copy,
    ("s3", "ListObjectsV2"): _list_bucket,
    ("s3", "HeadBucket"): lambda request, _: iter(
        (Need("s3:ListBucket", f"arn:aws:s3:::{request['Bucket']}"),)
    ),
    **{
        ("dynamodb", action): _on_table(action)
        for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")
    },
    ("dynamodb", "TransactWriteItems"): _transaction,
    ("sagemaker", "CreateTrainingJob"): _named(
        "CreateTrainingJob",
        "training-job",
        "TrainingJobName",
        passes="RoleArn",
        tagged=True,
        key="ResourceConfig.VolumeKmsKeyId",
    ),
    ("sagemaker", "CreateProcessingJob"): _named(
        "CreateProcessingJob",
        "processing-job",
        "ProcessingJobName",
        passes="RoleArn",
        tagged=True,
        key="ProcessingResources.ClusterConfig.VolumeKmsKeyId",
    ),
    ("sagemaker", "CreateModel"): _named(
        "CreateModel", "model", "ModelName", passes="ExecutionRoleArn", tagged=True
    ),
    ("sagemaker", "CreateEndpointConfig"): _named(
        "CreateEndpointConfig", "endpoint-config", "EndpointConfigName", tagged=True
    ),
    ("sagemaker", "CreateModelPackageGroup"): _named(
        "CreateModelPackageGroup", "model-package-group", "ModelPackageGroupName", tagged=True
    ),
    ("sagemaker", "CreateModelPackage"): _package,
    ("sagemaker", "CreateEndpoint"): _endpoint("CreateEndpoint"),
    ("sagemaker", "UpdateEndpoint"): _endpoint("UpdateEndpoint"),
    **{
        ("sagemaker", f"{verb}{noun}"): _named(f"{verb}{noun}", kind, f"{noun}Name")
        for noun, kind, verbs in (
            ("TrainingJob", "training-job", ("Describe", "Stop")),
            ("ProcessingJob", "processing-job", ("Describe", "Stop")),
            ("Model", "model", ("Describe",)),
            ("EndpointConfig", "endpoint-config", ("Describe",)),
            ("Endpoint", "endpoint", ("Describe", "Invoke")),
            ("ModelPackage", "model-package", ("Describe",)),
            ("ModelPackageGroup", "model-package-group", ("Describe",)),
        )
        for verb in verbs
    },
    **{
        ("sagemaker", f"Delete{noun}"): _delete(kind, noun)
        for noun, kind in (
            ("Model", "model"),
            ("EndpointConfig", "endpoint-config"),
            ("Endpoint", "endpoint"),
        )
    },
    **{
        ("sagemaker", action): _everywhere(action)
        for action in ("ListEndpoints", "ListEndpointConfigs", "ListModels")
    },
    ("sagemaker", "ListTags"): _whole("sagemaker:ListTags", "ResourceArn"),
    ("sagemaker", "UpdateModelPackage"): _named("UpdateModelPackage", "model-package", "ModelPackageArn"),
    ("monitoring", "PutMetricAlarm"): lambda request, place: iter(
        (Need("cloudwatch:PutMetricAlarm", place.arn("cloudwatch", f"alarm:{request['AlarmName']}")),)
    ),
    ("monitoring", "DescribeAlarms"): _alarms,
    ("events", "PutEvents"): _events,
    ("sqs", "SendMessage"): _send_message,
    ("sns", "Publish"): _publish,
    ("states", "StartExecution"): _whole("states:StartExecution", "stateMachineArn"),
    ("states", "DescribeExecution"): _whole("states:DescribeExecution", "executionArn"),
    ("states", "StopExecution"): _whole("states:StopExecution", "executionArn"),
    **{
        ("states", action): _token(action)
        for action in ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat")
    },
    ("lambda", "Invoke"): _invoke,
}
