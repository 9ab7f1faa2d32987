"""The Lambda Runtime API of one worker: AWS's HTTP contract between a sandbox and the runtime inside it.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Each worker has a listener of its own,
because awslambdaric takes an address without a path.
"""

import queue
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, Literal

from driftwheel_local.threads import start_daemon

_PREFIX = "/2018-06-01/runtime/"
_MAX_LINE = 2 * 1024 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
"""Far more than the 6 MB that Lambda takes as an answer; a worker that sends more has run wild."""
"""awslambdaric sends up to 1 MB of X-Ray cause in one header; http.server stops at 64 kB."""


@dataclass(frozen=True)
class Request:
    """One invocation as the runtime client receives it; `deadline_ms` is machine time since the epoch."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str


@dataclass(frozen=True)
class Outcome:
    """What came back for a request; `ended` says that the process is gone without an answer."""

    kind: Literal["response", "error", "init_error", "ended"]
    payload: bytes = b""


class RuntimeApi:
    """Serve `next`, `response`, `error` and `init/error` to one worker on 127.0.0.1."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        """Set when the worker asked for its first invocation: initialisation is over."""
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._current: str | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: set[socket.socket] = set()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        start_daemon("runtime-api", self._accept)

    def send(self, request: Request) -> None:
        """Hand `request` to the worker's next `next`."""
        self._requests.put(request)

    def outcome(self, timeout_seconds: float) -> Outcome | None:
        """Wait for the answer to the request sent; None when it did not come in time."""
        try:
            return self._outcomes.get(timeout=max(0.0, timeout_seconds))
        except queue.Empty:
            return None

    def report_end(self) -> None:
        """Tell who waits that the process has ended."""
        self._outcomes.put(Outcome("ended"))
        self.ready.set()

    def close(self) -> None:
        """Stop listening and drop the worker's connections."""
        self._requests.put(None)
        for open_socket in (self._listener, *self._connections):
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # Already disconnected by the worker's end: what was wanted.
                pass
            finally:
                open_socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Without it each answer waits 40 ms for the worker's delayed acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            start_daemon("runtime-api-connection", self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read_request(stream, self.address)) is not None:
                    answer = self._answer(*request)
                    if answer is None:
                        return
                    connection.sendall(answer)
        except OSError:
            # The worker died with its connection; report_end speaks for it.
            return
        finally:
            self._connections.discard(connection)

    def _answer(self, method: str, path: str, body: bytes) -> bytes | None:
        match method, path.removeprefix(_PREFIX).split("/"):
            case "GET", ["invocation", "next"]:
                self.ready.set()
                request = self._requests.get()
                if request is None:
                    return None
                self._current = request.request_id
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(request.deadline_ms),
                    "Lambda-Runtime-Invoked-Function-Arn": request.function_arn,
                    "Lambda-Runtime-Trace-Id": request.trace_id,
                }
                return _response(HTTPStatus.OK, request.payload, headers)
            case "POST", ["invocation", request_id, "response" | "error" as kind]:
                if request_id != self._current:
                    return _response(HTTPStatus.BAD_REQUEST, b'{"errorType":"InvalidRequestID"}')
                self._current = None
                self._outcomes.put(Outcome("response" if kind == "response" else "error", body))
                return _response(HTTPStatus.ACCEPTED, b'{"status":"OK"}')
            case "POST", ["init", "error"]:
                self._outcomes.put(Outcome("init_error", body))
                self.ready.set()
                return _response(HTTPStatus.ACCEPTED, b'{"status":"OK"}')
            case _:
                return _response(HTTPStatus.NOT_FOUND, b'{"errorType":"UnknownPath"}')


def _read_request(stream: BinaryIO, address: str) -> tuple[str, str, bytes] | None:
    """Read one request; None ends the connection: nothing more, not for this door, or more than an answer.

    A page in a browser can reach 127.0.0.1 under a name of its own: the Host header must name this door.
    """
    start = stream.readline(_MAX_LINE)
    if not start.strip():
        return None
    method, path, _ = start.decode("latin-1").split(" ", 2)
    length, host = 0, ""
    while line := stream.readline(_MAX_LINE).strip():
        name, _, value = line.decode("latin-1").partition(":")
        match name.lower(), value.strip():
            case "content-length", text:
                length = int(text) if text.isdecimal() else MAX_BODY_BYTES + 1
            case "host", text:
                host = text
    if host != address or length > MAX_BODY_BYTES:
        return None
    body = stream.read(length)
    return (method, path, body) if len(body) == length else None


def _response(status: HTTPStatus, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json"]
    lines += [
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
