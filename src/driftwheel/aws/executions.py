"""Step Functions: start a run once, end a wait once."""

import json
from typing import Any

from botocore.exceptions import ClientError

SETTLED = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"})
"""Answers that mean somebody ended this wait before us."""

LONGEST_CAUSE = 32_768
LONGEST_ERROR = 256


def start(client: Any, state_machine_arn: str, name: str, payload: str) -> str | None:
    """Start an execution; None when the name was used before: a name is a data set's digest.

    An answer that was cut off on its way still is an answer: the ARN follows from the name.
    """
    try:
        answer = client.start_execution(stateMachineArn=state_machine_arn, name=name, input=payload)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
            return None
        raise
    named = f"{state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"
    return str(answer.get("executionArn", named))


def status(client: Any, arn: str) -> str | None:
    """Describe how an execution is; None when none was started under this name."""
    try:
        return str(client.describe_execution(executionArn=arn)["status"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return None
        raise


def succeed(client: Any, token: str, section: dict[str, Any]) -> bool:
    """End a wait with its section; False when it had ended before."""
    return _once(client.send_task_success, taskToken=token, output=json.dumps(section))


def fail(client: Any, token: str, error: str, cause: str) -> bool:
    """End a wait with a named fault; False when it had ended before."""
    return _once(
        client.send_task_failure, taskToken=token, error=error[:LONGEST_ERROR], cause=cause[:LONGEST_CAUSE]
    )


def still_waiting(client: Any, token: str) -> bool:
    """Send a heartbeat; False when nobody waits any more."""
    return _once(client.send_task_heartbeat, taskToken=token)


def _once(operation: Any, **request: str) -> bool:
    try:
        operation(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in SETTLED:
            return False
        raise
    return True
