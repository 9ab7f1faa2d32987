"""SageMaker calls that create a resource once: a used name with our specification is ours."""

from collections.abc import Mapping
from typing import Any, Literal

from botocore.exceptions import ClientError

from driftwheel.errors import CapacityExceeded, NameTaken

Request = dict[str, Any]

BUSY = frozenset({"ResourceLimitExceeded", "ThrottlingException", "Throttling", "CapacityError"})
"""Answers that get better by waiting. The SDK never retries ResourceLimitExceeded; our state machine does."""

REFUSED = frozenset(
    {"AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException"}
    | {"UnrecognizedClientException"}
)
"""Answers that neither waiting nor looking mends: they are passed on in AWS's words, after one request."""


def create_once(
    client: Any, operation: str, request: Request, describe: Request, same: Mapping[str, Any]
) -> None:
    """Create a resource under a name that never changes.

    ``describe`` are the arguments of the matching describe operation; ``same`` are members of its answer that
    must hold our values for an existing resource to count as ours. Raises CapacityExceeded, NameTaken.
    A name that is taken by what Describe does not see yet is asked for again, by the state machine.
    """
    try:
        getattr(client, f"create_{operation}")(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in BUSY:
            raise CapacityExceeded(f"create_{operation}: {error.response['Error']['Message']}") from error
        if error.response["Error"]["Code"] in REFUSED:
            raise
        found = existing(client, operation, describe)
        if found is None:
            if is_taken(error):
                name = next(iter(describe.values()))
                raise CapacityExceeded(f"{operation} {name} was made but is not to be seen yet") from error
            raise
        differing = sorted(name for name, value in same.items() if found.get(name) != value)
        if differing:
            name = next(iter(describe.values()))
            raise NameTaken(
                f"{operation} {name} exists with another {', '.join(differing)}: "
                "somebody else made it; delete it, or give the stack another name"
            ) from error


def is_taken(error: ClientError) -> bool:
    """Tell whether a create was refused because the name is in use: said by code, or in the sentence."""
    said = error.response["Error"]
    return said["Code"] in {"ResourceInUse", "ConflictException"} or "already exist" in said["Message"]


def existing(client: Any, operation: str, describe: Request) -> Request | None:
    """Describe a resource; None when there is none (SageMaker says so in two ways)."""
    try:
        answer: Request = getattr(client, f"describe_{operation}")(**describe)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ResourceNotFound", "ValidationException"}:
            return None
        raise
    return answer


def update_endpoint(client: Any, request: Request) -> None:
    """Start an endpoint update; raises CapacityExceeded while another update is under way."""
    try:
        client.update_endpoint(**request)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in BUSY or "in-progress" in message or "in progress" in message:
            raise CapacityExceeded(f"update_endpoint: {message}") from error
        raise


def clear_failed_endpoint(client: Any, found: Request) -> None:
    """Delete an endpoint that failed, then raise CapacityExceeded: its name is free when we look again.

    Deleting is all SageMaker allows for one: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
    """
    if found["EndpointStatus"] not in {"Failed", "Deleting"}:
        return
    if found["EndpointStatus"] == "Failed":
        client.delete_endpoint(EndpointName=found["EndpointName"])
    raise CapacityExceeded(f"endpoint {found['EndpointName']} had failed and is being deleted")


def stop_job(client: Any, kind: Literal["training", "processing"], name: str) -> bool:
    """Stop a job if it still runs; False when it had ended or never was."""
    noun = kind.title()
    found = existing(client, f"{kind}_job", {f"{noun}JobName": name})
    if found is None or found[f"{noun}JobStatus"] != "InProgress":
        return False
    getattr(client, f"stop_{kind}_job")(**{f"{noun}JobName": name})
    return True
