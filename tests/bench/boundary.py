"""Faults at the botocore boundary: what one request meets before moto answers it, planned per operation."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from moto.core.botocore_stubber import BotocoreStubber

Fault = Literal["throttle", "500", "reset", "limit", "lost", "ok", "denied", "expired", "skewed"]
JSON = {"content-type": "application/x-amz-json-1.1"}
CODES = {
    "throttle": (400, "ThrottlingException"),
    "limit": (400, "ResourceLimitExceeded"),
    "denied": (400, "AccessDeniedException"),
    "expired": (400, "ExpiredTokenException"),
    "skewed": (403, "InvalidSignatureException"),
    "500": (500, "InternalFailure"),
}


class Raw:
    """A body as urllib3 hands it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        body, self._body = self._body, b""
        yield body


class Boundary:
    """Counts attempts; ``plan`` holds the coming faults of an operation, ``always`` those without end."""

    def __init__(self) -> None:
        self.plan: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.attempts: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.injected: Counter[Fault] = Counter()

    @contextmanager
    def up(self) -> Iterator["Boundary"]:
        """Stand before moto."""
        inner = BotocoreStubber.__call__

        def call(stubber: BotocoreStubber, event_name: str, request: Any, **more: Any) -> Any:
            operation = event_name.rpartition(".")[2]
            self.attempts[operation] += 1
            planned = self.plan.get(operation)
            fault = planned.pop(0) if planned else self.always.get(operation)
            if fault is not None and fault != "ok":
                self.injected[fault] += 1
            if fault == "reset":
                raise ConnectionClosedError(endpoint_url=request.url)
            if fault in CODES:
                status, code = CODES[fault]
                body = b'{"__type": "%s", "message": "said so"}' % code.encode()
                return AWSResponse(request.url, status, JSON, Raw(body))
            self.executed[operation] += 1
            answer = (
                AWSResponse(request.url, 200, JSON, Raw(b"{}"))
                if fault == "ok"
                else inner(stubber, event_name, request, **more)
            )
            if fault == "lost":
                raise ConnectionClosedError(endpoint_url=request.url)
            return answer

        BotocoreStubber.__call__ = call
        try:
            yield self
        finally:
            BotocoreStubber.__call__ = inner
