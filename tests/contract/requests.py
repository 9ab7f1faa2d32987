"""What an HTTP request to AWS asks for, and the refusals any service may answer it with."""

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs, urlsplit

_SCOPE = re.compile(rb"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
_PATHS = (
    (re.compile(r"^POST /service/[^/]+/operation/(\w+)"), r"\1"),  # smithy rpc-v2-cbor (CloudWatch)
    (re.compile(r"^POST /endpoints/[^/]+/invocations"), "InvokeEndpoint"),
    (re.compile(r"^POST /2015-03-31/functions/[^/]+/invocations"), "Invoke"),
)


@dataclass(frozen=True)
class Request:
    """One request as it was on the wire."""

    head: bytes
    body: bytes

    @cached_property
    def line(self) -> tuple[str, str]:
        method, path = self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        return method, path

    @property
    def method(self) -> str:
        return self.line[0]

    @cached_property
    def service(self) -> str:
        """The service it was signed for."""
        scope = _SCOPE.search(self.head)
        return scope.group(1).decode() if scope else "unsigned"

    @cached_property
    def target(self) -> str:
        found = re.search(rb"(?im)^x-amz-target:\s*(\S+)", self.head)
        return found.group(1).decode() if found else ""


def operation_of(request: Request) -> str:
    """Name the operation, e.g. ``s3.PutObject``."""
    return f"{request.service}.{_operation(request)}"


def _operation(request: Request) -> str:
    if request.target:
        return request.target.rpartition(".")[2]
    method, path = request.line
    if request.service == "s3":
        return _s3(request, method, path)
    action = re.search(rb"(?:^|&)Action=(\w+)", request.body)
    if action:
        return action.group(1).decode()
    for pattern, name in _PATHS:
        if found := pattern.match(f"{method} {path}"):
            return found.expand(name)
    return f"{method}{re.sub(r'[^/]*[0-9][^/]*', '*', urlsplit(path).path)}"


def _s3(request: Request, method: str, path: str) -> str:
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    on_object = bool(parts.path.strip("/").partition("/")[2])
    if method == "GET":
        return "GetObject" if on_object else "ListObjectVersions" if "versions" in query else "ListObjectsV2"
    if method == "HEAD":
        return "HeadObject" if on_object else "HeadBucket"
    if method == "POST":
        names = {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"}
        return next((name for key, name in names.items() if key in query), "DeleteObjects")
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    if b"x-amz-copy-source" in request.head.lower():
        return "CopyObject"
    return "UploadPart" if "partNumber" in query else "PutObject" if on_object else "PutBucket"


def unavailable(request: Request) -> bytes:
    """Answer 503 as a load balancer before the service would."""
    return _answer(request, 503, "ServiceUnavailable", "Service is unable to handle request.")


def throttled(request: Request) -> bytes:
    """Answer as the service does when it is asked too often: 503 SlowDown from S3, else 400."""
    if request.service == "s3":
        return _answer(request, 503, "SlowDown", "Please reduce your request rate.")
    return _answer(request, 400, "ThrottlingException", "Rate exceeded")


def denied(request: Request) -> bytes:
    """Answer as IAM or a key's policy does: no retry mends it."""
    if request.service == "s3":
        return _answer(request, 403, "AccessDenied", "Access Denied")
    return _answer(request, 400, "AccessDeniedException", "not authorized to perform this operation")


def _answer(request: Request, status: int, code: str, message: str) -> bytes:
    if request.target:
        kind, body = "application/x-amz-json-1.1", f'{{"__type":"{code}","message":"{message}"}}'
    else:
        inner = f"<Code>{code}</Code><Message>{message}</Message>"
        error = f"<Error>{inner}</Error>"
        kind = "application/xml"
        body = error if request.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
    if request.method == "HEAD":
        body = ""
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}x-amzn-RequestId: harmed\r\n\r\n{body}".encode()
