"""The errors SageMaker answers with, as exceptions that carry their wire form."""

import json
from typing import Any


class Refusal(Exception):
    """When AWS would answer a request with an error: `code`, `message` and HTTP `status`."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Answer (status, headers, body) as AWS's JSON protocols send an error."""
        body = {"__type": self.code, "Message": self.message, "message": self.message, **self.members}
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": self.code}
        return self.status, headers, json.dumps(body).encode()


def invalid(message: str) -> Refusal:
    """Answer a ValidationException."""
    return Refusal("ValidationException", message)


def in_use(message: str) -> Refusal:
    """Answer a ResourceInUse."""
    return Refusal("ResourceInUse", message)


def not_found(message: str = "Requested resource not found.") -> Refusal:
    """Answer a ResourceNotFound."""
    return Refusal("ResourceNotFound", message)


def limit_exceeded(resource: str, limit: int, used: int, wanted: int) -> Refusal:
    """Answer a ResourceLimitExceeded in AWS's words; `resource` is e.g. `ml.m5.large for endpoint usage`."""
    return Refusal(
        "ResourceLimitExceeded",
        f"The account-level service limit '{resource}' is {limit} Instances, with current utilization of "
        f"{used} Instances and a request delta of {wanted} Instances. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support "
        "to request an increase for this quota.",
    )
