"""The one HTTP door of the stack: moto behind checks that only local programs pass."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from driftwheel_local.permissions.answers import Gated
from driftwheel_local.permissions.gate import Gate

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
BODY_LIMIT_BYTES = 1 << 30  # moto holds bodies in memory; one S3 part is at most 5 GB, a demo file some MB
_READS_BODY_ITSELF = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Guard:
    """Refuses requests that no local AWS client sends.

    A page in a browser can reach 127.0.0.1 under a name of its own (DNS rebinding) or post across origins:
    the Host header must name this door, and an Origin header none but it.
    """

    def __init__(self, application: Application, body_limit: int = BODY_LIMIT_BYTES) -> None:
        self._application = application
        self._body_limit = body_limit
        self.hosts: frozenset[str] = frozenset()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass a good request on, answer a bad one."""
        fault = self._fault(environ)
        if fault is None:
            return self._application(environ, start_response)
        status, code, message = fault
        log.warning("refused %s %s: %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], message)
        body = json.dumps({"__type": code, "message": message}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _fault(self, environ: dict[str, Any]) -> tuple[HTTPStatus, str, str] | None:
        host = environ.get("HTTP_HOST", "")
        if host.lower() not in self.hosts:
            return HTTPStatus.FORBIDDEN, "ForbiddenHost", f"Host {host!r} is not this stack"
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.removeprefix("http://").lower() not in self.hosts:
            return HTTPStatus.FORBIDDEN, "ForbiddenOrigin", f"Origin {origin!r} may not call this stack"
        length = environ.get("CONTENT_LENGTH") or ""
        if not length:
            if environ.get("HTTP_TRANSFER_ENCODING") and environ["REQUEST_METHOD"] not in _READS_BODY_ITSELF:
                return HTTPStatus.LENGTH_REQUIRED, "MissingContentLength", "Content-Length is required"
            return None
        if not length.isdecimal():
            return HTTPStatus.BAD_REQUEST, "InvalidContentLength", f"Content-Length {length!r} is no number"
        if int(length) > self._body_limit:
            message = f"{length} bytes are more than the {self._body_limit} this stack takes at once"
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "EntityTooLarge", message
        return None


class _QuietHandler(MotoRequestHandler):
    """Writes no line for each request; errors still go to werkzeug's logger."""

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Say nothing."""


class Endpoint:
    """moto's server on a port of this machine only; `port` 0 or a port in use means any free one."""

    def __init__(self, port: int = 0, gate: Gate | None = None) -> None:
        moto: Application = DomainDispatcherApplication(create_backend_app)
        self._guard = Guard(moto if gate is None else Gated(moto, gate))
        self._server = self._bind(port)
        self.port = int(self._server.server_address[1])
        self._guard.hosts = frozenset({f"{ADDRESS}:{self.port}", f"localhost:{self.port}"})
        self.url = f"http://{ADDRESS}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _bind(self, port: int) -> BaseWSGIServer:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((ADDRESS, port))
            except OSError:
                listener.bind((ADDRESS, 0))
            listener.listen(128)
            return make_server(
                ADDRESS,
                listener.getsockname()[1],
                self._guard,
                threaded=True,
                request_handler=_QuietHandler,
                fd=listener.fileno(),  # werkzeug duplicates it; binding itself, it would exit when refused
            )
