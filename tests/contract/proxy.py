"""A proxy on loopback that harms planned requests to AWS's stand-in and passes all others byte for byte."""

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, get_args
from urllib.parse import urlsplit

from .requests import Request, denied, operation_of, throttled, unavailable

Kind = Literal["refuse", "throttle", "delay", "reset", "truncate", "drop", "forbid"]
KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "forbid")
"""Refused with 503 or throttled, both unexecuted; answered late; reset unexecuted; executed and the answer
cut in half; executed and no byte of the answer sent. What no retry mends is never drawn: AccessDenied."""
REFUSALS: Mapping[Kind | None, Callable[[Request], bytes]] = {
    "refuse": unavailable,
    "throttle": throttled,
    "forbid": denied,
}
EXECUTED = frozenset({"delay", "truncate", "drop"})
DELAY_SECONDS, PATIENCE_SECONDS = 0.3, 300
CHUNK = 1 << 16


@dataclass(frozen=True)
class Harm:
    """What the n-th request (from 1) of an operation (``service.Operation``) meets."""

    operation: str
    nth: int
    kind: Kind


@dataclass(frozen=True)
class Always:
    """What every request of an operation meets whose path and query hold ``path``."""

    operation: str
    kind: Kind
    path: str = ""


class Plan:
    """Decides what a request meets: named harms first, else by the shares, from (seed, operation, n) alone.

    One ``share`` is of all ``kinds`` alike; ``shares`` gives each kind its own. ``most`` bounds how many
    harms are drawn for one operation in all.
    """

    def __init__(
        self,
        harms: Iterable[Harm] = (),
        *,
        always: Iterable[Always] = (),
        seed: int = 0,
        share: float = 0.0,
        kinds: tuple[Kind, ...] = KINDS,
        shares: Mapping[Kind, float] | None = None,
        most: int = 1 << 30,
    ) -> None:
        self._always = tuple(always)
        self._named = {(each.operation, each.nth): each.kind for each in harms}
        self._seed, self._most = seed, most
        self._shares = shares or dict.fromkeys(kinds, share / len(kinds))
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.injected: Counter[tuple[str, Kind]] = Counter()

    def next(self, operation: str, path: str = "") -> Kind | None:
        with self._lock:
            self.calls[operation] += 1
            nth = self.calls[operation]
            meant = (each.kind for each in self._always if each.operation == operation and each.path in path)
            kind = next(meant, None) or self._named.get((operation, nth)) or self._drawn(operation, nth)
            if kind is not None:
                self.injected[operation, kind] += 1
            return kind

    def _drawn(self, operation: str, nth: int) -> Kind | None:
        drawn = random.Random(f"{self._seed}/{operation}/{nth}").random()
        so_far = sum(count for (name, _), count in self.injected.items() if name == operation)
        for kind, share in self._shares.items() if so_far < self._most else ():
            if (drawn := drawn - share) < 0:
                return kind
        return None


class FaultProxy:
    """Enter it to listen on a free port of 127.0.0.1; ``target`` and ``plan`` may change meanwhile."""

    def __init__(self, target: str = "", plan: Plan | None = None) -> None:
        self.target, self.plan = target, plan or Plan()
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client went away: killed functions do."""


class _Connection(StreamRequestHandler):
    server: _Server
    timeout = PATIENCE_SECONDS

    def handle(self) -> None:
        while self._exchange():
            pass

    def _exchange(self) -> bool:
        head = head_of(self.rfile)
        if not head:
            return False
        if b"100-continue" in head.lower():
            head = without(head, b"expect")
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Request(head, b"".join(pieces_of(self.rfile, head, until_close=False)))
        kind = self.server.proxy.plan.next(operation_of(request), request.line[1])
        if kind in REFUSALS:
            self.wfile.write(REFUSALS[kind](request))
            return True
        if kind == "reset":
            return self._reset()
        if kind == "delay":
            time.sleep(DELAY_SECONDS)
        with self._upstream() as upstream:
            upstream.sendall(with_host(request.head, self.server.proxy.target) + request.body)
            return self._answer(request, upstream.makefile("rb"), kind)

    def _upstream(self) -> socket.socket:
        target = urlsplit(self.server.proxy.target)
        return socket.create_connection((target.hostname, target.port), PATIENCE_SECONDS)

    def _answer(self, request: Request, upstream: BinaryIO, kind: Kind | None) -> bool:
        head = head_of(upstream)
        while head.split(b" ", 2)[1:2] == [b"100"]:
            head = head_of(upstream)
        status = head.split(b" ", 2)[1]
        empty = request.method == "HEAD" or status in {b"204", b"304"}
        body = iter(()) if empty else pieces_of(upstream, head, until_close=True)
        if kind in {"drop", "truncate"}:
            whole = b"".join(body)
            if kind == "truncate":
                cut = head + whole[: len(whole) // 2] if whole else head[:5]
                self.wfile.write(cut)
                return False
            return self._reset()
        self.wfile.write(head)
        for piece in body:
            self.wfile.write(piece)
        self.wfile.flush()
        return not _closes(head)

    def _reset(self) -> bool:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return False

    def finish(self) -> None:
        """Close what is still open."""
        if self.connection.fileno() >= 0:
            super().finish()


def head_of(stream: BinaryIO) -> bytes:
    """Read a message's head with its empty line; nothing when the peer closed."""
    lines = []
    while line := stream.readline(CHUNK):
        lines.append(line)
        if line in {b"\r\n", b"\n"}:
            return b"".join(lines)
    return b""


def field_of(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def without(head: bytes, name: bytes) -> bytes:
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].strip().lower() != name)


def with_host(head: bytes, target: str) -> bytes:
    """Name the stack as the host, which it insists on; nothing else is touched."""
    first, _, rest = without(head, b"host").partition(b"\r\n")
    return first + b"\r\nHost: " + urlsplit(target).netloc.encode() + b"\r\n" + rest


def pieces_of(stream: BinaryIO, head: bytes, *, until_close: bool) -> Iterator[bytes]:
    """Read a body as it is on the wire, chunk lines included."""
    length = field_of(head, b"content-length")
    if (field_of(head, b"transfer-encoding") or b"").lower() == b"chunked":
        while True:
            line = stream.readline(CHUNK)
            size = int(line.split(b";")[0], 16) if line.strip() else 0
            yield line + stream.read(size + 2 if size else 0)
            if not size:
                break
        while (trailer := stream.readline(CHUNK)) not in {b"\r\n", b"\n", b""}:
            yield trailer
        yield b"\r\n"
    elif length is not None:
        left = int(length)
        while left and (piece := stream.read(min(left, CHUNK))):
            left -= len(piece)
            yield piece
    elif until_close:
        while piece := stream.read(CHUNK):
            yield piece


def _closes(head: bytes) -> bool:
    if (field_of(head, b"connection") or b"").lower() == b"close" or head.startswith(b"HTTP/1.0"):
        return True
    framed = field_of(head, b"content-length") or field_of(head, b"transfer-encoding")
    return framed is None and head.split(b" ", 2)[1] not in {b"204", b"304"}
