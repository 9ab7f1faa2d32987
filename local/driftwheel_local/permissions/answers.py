"""AccessDenied as each protocol says it, and the gate in front of the stack's HTTP door."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from html import escape
from http import HTTPStatus
from typing import Any

from driftwheel_local.permissions.gate import Denied, Gate
from driftwheel_local.permissions.requests import call_of, caller_of, needs_body

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
Answer = tuple[int, dict[str, str], bytes]
_PLAIN = frozenset({"sqs", "monitoring"})  # once query services: their code has no "Exception"
_ABSENT = ("404", "405")  # S3 answers 405 for a delete marker


def denial(denied: Denied, method: str = "POST") -> Answer:
    """Answer status, headers and body of a refusal, in the words and form of the service asked."""
    message = denied.message
    if denied.call.protocol == "rest-xml":
        error = f"<Error><Code>AccessDenied</Code><Message>{escape(message, quote=False)}</Message></Error>"
        body = b"" if method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>{error}'.encode()
        return HTTPStatus.FORBIDDEN, {"Content-Type": "application/xml"}, body
    if denied.call.protocol == "query":
        code = "AuthorizationError" if denied.call.service == "sns" else "AccessDenied"
        error = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message, quote=False)}</Message>"
        body = f"<ErrorResponse><Error>{error}</Error><RequestId>local</RequestId></ErrorResponse>".encode()
        return HTTPStatus.FORBIDDEN, {"Content-Type": "text/xml"}, body
    if denied.call.protocol == "cbor":
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return HTTPStatus.FORBIDDEN, headers, _cbor({"__type": "AccessDenied", "message": message})
    code = "AccessDenied" if denied.call.service in _PLAIN else "AccessDeniedException"
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    status = HTTPStatus.FORBIDDEN if denied.call.service in {*_PLAIN, "lambda"} else HTTPStatus.BAD_REQUEST
    return status, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}, body


def _cbor(texts: Mapping[str, str]) -> bytes:
    """Encode a small map of texts (RFC 8949: major types 5 and 3)."""
    encoded = bytes([0xA0 + len(texts)])
    for text in (each for pair in texts.items() for each in pair):
        raw = text.encode()
        encoded += b"\x79" + len(raw).to_bytes(2, "big") + raw
    return encoded


class Gated:
    """A WSGI application behind a gate."""

    def __init__(self, application: Application, gate: Gate) -> None:
        self._application, self._gate = application, gate

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass on what its role may do, answer the rest with AccessDenied."""
        query = environ.get("QUERY_STRING", "")
        caller = caller_of(environ.get("HTTP_AUTHORIZATION", ""), query)
        role = self._gate.role(caller.access_key) if caller else None
        if caller is None or role is None:
            return self._application(environ, start_response)
        path, method = environ.get("RAW_URI") or environ["PATH_INFO"], environ["REQUEST_METHOD"]
        body = b""
        if needs_body(caller.service, path):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        } | {"content-type": environ.get("CONTENT_TYPE", "")}
        url = f"http://{environ.get('HTTP_HOST', '')}{path.partition('?')[0]}?{query}"
        call = call_of(caller, method, url, headers, body)
        denied = self._gate.judge(role, call)
        if denied is not None:
            return _send(start_response, denial(denied, method))
        return self._unless_absent(environ, start_response, lambda: self._gate.judge_absent(role, call))

    def _unless_absent(
        self, environ: dict[str, Any], start_response: Any, judge: Callable[[], Denied | None]
    ) -> Iterable[bytes]:
        """Run the request; who may not list a bucket learns 403 where others learn 404."""
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            started[:] = [status, headers, error]
            return lambda _: None

        parts = self._application(environ, start)
        if started and started[0].startswith(_ABSENT):
            denied = judge()
            if denied is not None:
                if hasattr(parts, "close"):
                    parts.close()
                return _send(start_response, denial(denied, environ["REQUEST_METHOD"]))
        start_response(*started)
        return parts


def _send(start_response: Any, answer: Answer) -> Iterable[bytes]:
    status, headers, body = answer
    headers["Content-Length"] = str(len(body))
    start_response(f"{int(status)} {HTTPStatus(status).phrase}", list(headers.items()))
    return [body]
