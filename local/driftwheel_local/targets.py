"""The targets EventBridge rules and schedules can have here, and how each is called."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import botocore.exceptions
from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.inputs import InvalidInputError, find

ClientFor = Callable[[str], Any]
"""Answers the boto3 client of a service; it must not retry by itself."""

_ARN_SERVICES = {
    "sqs": "SQS queue",
    "lambda": "Lambda function",
    "states": "state machine",
    "sns": "SNS topic",
}

_NO_RESOURCE = frozenset(
    {
        *("ResourceNotFoundException", "StateMachineDoesNotExist", "NotFound", "NotFoundException"),
        *("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    }
)
_THROTTLED = frozenset(
    {
        *("ThrottlingException", "Throttling", "TooManyRequestsException", "ThrottledException"),
        *("RequestThrottled", "ExecutionLimitExceeded", "ProvisionedThroughputExceededException"),
    }
)


class UnsupportedTargetError(ValueError):
    """When a rule or schedule names a target this runtime cannot call."""


class DeliveryError(Exception):
    """When a target did not take what was sent: `code` as in a dead-letter message, `retry` or not."""

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


@dataclass(frozen=True)
class Message:
    """What is sent to a target, when, and the event behind it when a rule sends it."""

    payload: str
    sent_at: datetime
    event: Mapping[str, Any] | None = None


def target_kind(arn: str, account: str, region: str) -> str:
    """Answer what kind of target `arn` names. Raises UnsupportedTargetError naming it."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise UnsupportedTargetError(
            f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
        )
    _, _, service, arn_region, arn_account, resource = parts
    if service == "scheduler" and resource.startswith("aws-sdk:"):
        raise UnsupportedTargetError(f"universal target {arn} is not supported by the local runtime")
    if (arn_account, arn_region) != (account, region):
        raise UnsupportedTargetError(f"target {arn} is outside account {account} and region {region}")
    if service in _ARN_SERVICES and not (service == "states" and not resource.startswith("stateMachine:")):
        return service
    if service == "logs" and resource.startswith("log-group:"):
        return service
    if service == "events" and resource.startswith("event-bus/"):
        return service
    raise UnsupportedTargetError(
        f"target type of {arn} is not supported by the local runtime; it has "
        f"{', '.join(_ARN_SERVICES.values())}, log group and event bus"
    )


def queue_url(client_for: ClientFor, arn: str) -> str:
    """Answer the URL of the queue `arn`. Raises ClientError when it does not exist."""
    return str(client_for("sqs").get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"])


def send(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    """Give `message` to the target once. Raises DeliveryError."""
    arn = target["Arn"]
    try:
        _SENDERS[arn.split(":", 5)[2]](client_for, target, message)
    except ClientError as error:
        raise _refused(error) from error
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
        raise DeliveryError("CONNECTION_FAILURE", str(error), retry=True) from error
    except (BotoCoreError, InvalidInputError) as error:
        raise DeliveryError("SDK_CLIENT_ERROR", str(error), retry=False) from error


def _refused(error: ClientError) -> DeliveryError:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    text = f"{code}: {message}"
    if code in _NO_RESOURCE:
        return DeliveryError("NO_RESOURCE", text, retry=False)
    if code.startswith("AccessDenied"):
        return DeliveryError("NO_PERMISSIONS", text, retry=False)
    if code in _THROTTLED:
        return DeliveryError("THROTTLING", text, retry=True)
    if status >= 500:
        return DeliveryError("UNKNOWN", text, retry=True)
    return DeliveryError("INVALID_PARAMETER", text, retry=False)


def _send_to_queue(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    request: dict[str, Any] = {
        "QueueUrl": queue_url(client_for, target["Arn"]),
        "MessageBody": message.payload,
    }
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    if group is not None:
        dynamic = message.event is not None and group.startswith("$.")
        request["MessageGroupId"] = str(find(message.event, group)) if dynamic else group
    client_for("sqs").send_message(**request)


def _send_to_function(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    client_for("lambda").invoke(
        FunctionName=target["Arn"], InvocationType="Event", Payload=message.payload.encode()
    )


def _send_to_machine(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    identifier = uuid.uuid4() if message.event is None else message.event["id"]
    client_for("stepfunctions").start_execution(
        stateMachineArn=target["Arn"], name=f"{identifier}_{uuid.uuid4()}", input=message.payload
    )


def _send_to_topic(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    client_for("sns").publish(TopicArn=target["Arn"], Message=message.payload)


def _send_to_log_group(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    group = target["Arn"].split(":log-group:", 1)[1].removesuffix(":*")
    stream = str(uuid.uuid4())
    logs = client_for("logs")
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    line = {"timestamp": int(message.sent_at.timestamp() * 1000), "message": message.payload}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[line])


def _send_to_bus(client_for: ClientFor, target: Mapping[str, Any], message: Message) -> None:
    parameters = target.get("EventBridgeParameters")
    if parameters is None:
        raise DeliveryError("INVALID_PARAMETER", "EventBridgeParameters are required", retry=False)
    entry = {
        "Source": parameters["Source"],
        "DetailType": parameters["DetailType"],
        "Detail": message.payload,
        "EventBusName": target["Arn"],
    }
    answer = client_for("events").put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        failed = answer["Entries"][0]
        raise DeliveryError("INVALID_PARAMETER", json.dumps(failed), retry=False)


_SENDERS: Mapping[str, Callable[[ClientFor, Mapping[str, Any], Message], None]] = {
    "sqs": _send_to_queue,
    "lambda": _send_to_function,
    "states": _send_to_machine,
    "sns": _send_to_topic,
    "logs": _send_to_log_group,
    "events": _send_to_bus,
}
