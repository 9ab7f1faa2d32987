"""The gate at the botocore boundary of a test process: a loaded function asks with its own role."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse

from driftwheel_local.permissions.answers import denial
from driftwheel_local.permissions.gate import Asked, Denied, Gate
from driftwheel_local.permissions.keys import access_key_of
from driftwheel_local.permissions.requests import Call, call_of, caller_of, needs_body
from driftwheel_local.permissions.roles import Role

from . import asked
from .iam import ACCOUNT, KEY, REGION, roles


class FixedFacts:
    """What the template says of keys and tokens, under the fixed names."""

    def key_of(self, arn: str) -> str | None:
        """Everything of ours is sealed with the one key."""
        return KEY

    def tags_of(self, arn: str) -> dict[str, str]:
        """Everything with our name carries our stack's tag."""
        return {"driftwheel:stack": "driftwheel"} if "/driftwheel-" in arn else {}

    def machine_of(self, token: str) -> str | None:
        """There is one state machine."""
        return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:driftwheel-model-loop"


def role_arn(step: str) -> str:
    """Answer the ARN of the role of a function by its folder's name."""
    return f"arn:aws:iam::{ACCOUNT}:role/{step.title().replace('_', '')}FunctionRole"


def find(access_key: str) -> Role | None:
    """Answer the template's role that signs with this key."""
    for name, statements in roles().items():
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        if access_key_of(arn) == access_key:
            return Role(name, arn, statements)
    return None


@contextmanager
def acting_as(step: str) -> Iterator[None]:
    """Let clients made in this block sign with the role of a function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", _session(step))
        yield


_LOADER = Loader()  # one for all: each would parse the service models anew


@cache
def _session(step: str) -> boto3.Session:
    core = botocore.session.get_session()
    core.register_component("data_loader", _LOADER)
    return boto3.Session(
        botocore_session=core,
        aws_access_key_id=access_key_of(role_arn(step)),
        aws_secret_access_key="testing",
        region_name=REGION,
    )


def judge_fake(
    step: str,
    service: str,
    operation: str,
    request: dict[str, Any],
    record: Callable[[Asked], None] = asked.note,
) -> None:
    """Hold a call to a stand-in client to the rights of a function's role; raises ClientError as AWS does."""
    role = find(access_key_of(role_arn(step)))
    assert role is not None, step
    call = Call(service, operation, request, REGION)
    denied = Gate(ACCOUNT, find, FixedFacts(), record).judge(role, call)
    if denied:
        error = {"Error": {"Code": "AccessDeniedException", "Message": denied.message}}
        raise ClientError(error, call.operation)


def xform_back(operation: str) -> str:
    """Write boto3's name of an operation as the API does.

    >>> xform_back("create_training_job")
    'CreateTrainingJob'
    """
    return "".join(word.title() for word in operation.split("_"))


def stand(patch: pytest.MonkeyPatch, gate: Gate | None = None) -> None:
    """Stand before moto until `patch` is undone."""
    inner = BotocoreStubber.__call__
    gate = gate or Gate(ACCOUNT, find, FixedFacts(), asked.note)

    def call(stubber: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **more: Any) -> Any:
        caller = caller_of(_text(request.headers.get("Authorization", "")))
        role = gate.role(caller.access_key) if caller else None
        if caller is None or role is None:
            return inner(stubber, event_name, request, **more)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        body = (
            _body(request) if needs_body(caller.service, request.url.partition("amazonaws.com")[2]) else b""
        )
        asked_call = call_of(caller, request.method, request.url, headers, body)
        denied = gate.judge(role, asked_call)
        answer = None if denied else inner(stubber, event_name, request, **more)
        if answer is not None and answer.status_code in {404, 405}:
            denied = gate.judge_absent(role, asked_call)
        return _refused(denied, request) if denied else answer

    patch.setattr(BotocoreStubber, "__call__", call)


def _refused(denied: Denied, request: AWSPreparedRequest) -> AWSResponse:
    status, headers, body = denial(denied, request.method)
    return AWSResponse(request.url, int(status), headers, MockRawResponse(body))


def _body(request: AWSPreparedRequest) -> bytes:
    body = request.body or b""
    if isinstance(body, io.IOBase):
        raise TypeError(f"{request.url}: a streamed body is read by S3 only")
    return body if isinstance(body, bytes) else str(body).encode()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
