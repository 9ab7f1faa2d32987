"""Writes captured requests to S3 in the background: an inference never waits for it and never fails by it.

Requests wait in memory until enough came together or the oldest is old enough, and become one object with
one PUT, which S3 shows whole or not at all. A file keeps its key however often it is tried.
"""

import atexit
import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from driftwheel.capture.counts import Counts
from driftwheel.capture.record import Exchange, capture_key, capture_line
from driftwheel.layout import VARIANT, capture_prefix

LONGEST_WAIT_SECONDS = 3_600
"""Half of what a drift check allows a file to come after its hour before it sums the hour up."""

log = logging.getLogger("driftwheel.capture")


@dataclass
class _File:
    key: str
    lines: list[bytes] = field(default_factory=list)
    size: int = 0


class CaptureWriter:
    """Collects exchanges with one endpoint and writes them below the model's capture prefix.

    ``percentage`` is the share that is captured, chosen by the inference id, so that a request sent twice is
    captured twice or not at all. A file is written at ``file_bytes`` or ``seconds`` after its first request.
    At most ``memory_bytes`` wait; beyond that, requests are dropped and counted. ``kms_key_id`` is sent where
    a bucket policy demands the header; without it the bucket's own encryption applies. ``report`` is told
    after each round of writing what changed since the last one, on the writer's thread.

    Make one in each process, after it forked; close it, or use it in a ``with``. In a Lambda, call ``flush``
    before the handler returns: background threads are frozen between invocations.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        model: str,
        endpoint: str,
        *,
        percentage: float = 100,
        kms_key_id: str = "",
        seconds: float = 60,
        file_bytes: int = 4 << 20,
        memory_bytes: int = 32 << 20,
        report: Callable[[Counts], None] | None = None,
    ) -> None:
        if not 0 <= percentage <= 100:
            raise ValueError(f"percentage: {percentage} is not between 0 and 100")
        if not 0 < seconds <= LONGEST_WAIT_SECONDS:
            raise ValueError(f"seconds: {seconds} is not above 0 and at most {LONGEST_WAIT_SECONDS}")
        self._s3, self._bucket, self._endpoint = s3, bucket, endpoint
        self._prefix = capture_prefix(model)
        self._percentage, self._seconds = percentage, seconds
        self._file_bytes, self._memory_bytes = file_bytes, memory_bytes
        self._headers = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._report = report
        self._changed = threading.Condition()
        self._open: dict[tuple[str, str], _File] = {}
        self._full: list[_File] = []
        self._bytes = 0
        self._counts = self._told = Counts()
        self._closed = self._wanted = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def counts(self) -> Counts:
        """What became of everything offered so far."""
        with self._changed:
            return self._counts

    def offer(self, exchange: Exchange, variant: str | None = None) -> None:
        """Take one exchange, or drop it and count that; returns at once and raises nothing."""
        try:
            line = b""
            if sampled(exchange.inference_id, self._percentage):
                line = capture_line(exchange)
            with self._changed:
                self._take(line, exchange.at.astimezone(UTC), variant or VARIANT)
        except Exception as error:  # noqa: BLE001  # the inference was answered: no capture may take that back
            self._lost(error)

    def flush(self, seconds: float = 5) -> bool:
        """Write what waits now, for at most ``seconds``; False when something waits on."""
        with self._changed:
            self._seal()
            if not self._full:
                return True
            self._wake()
            failed = self._counts.failed_writes
            self._changed.wait_for(lambda: not self._full or self._counts.failed_writes > failed, seconds)
            return not self._full

    def close(self, seconds: float = 5) -> None:
        """Write what waits, for at most ``seconds``, and give up the rest: it counts as dropped."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(seconds)
        with self._changed:
            self._seal()
            lost = sum(len(file.lines) for file in self._full)
            self._full, self._bytes = [], 0
            self._counts += Counts(dropped=lost)
        if lost:
            log.warning("capture of %s: %d requests are dropped at the end", self._endpoint, lost)
        self._tell()

    def _take(self, line: bytes, at: datetime, variant: str) -> None:
        if not line:
            self._counts += Counts(offered=1, left_out=1)
            return
        if self._closed or self._bytes + len(line) > self._memory_bytes:
            self._counts += Counts(offered=1, dropped=1)
            return
        self._counts += Counts(offered=1)
        hour = variant, f"{at:%Y/%m/%d/%H}"
        file = self._open.get(hour)
        if file is None:
            key = capture_key(self._prefix, self._endpoint, variant, at, str(uuid.uuid4()))
            file = self._open[hour] = _File(key)
        file.lines.append(line)
        file.size += len(line)
        self._bytes += len(line)
        if file.size >= self._file_bytes:
            self._full.append(self._open.pop(hour))
            self._wake()
        self._start()

    def _wake(self) -> None:
        self._wanted = True
        self._changed.notify_all()
        self._start()

    def _start(self) -> None:
        """Start the writing thread where there is none: a forked process has none, whatever its parent."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="driftwheel-capture", daemon=True)
            self._thread.start()

    def _seal(self) -> None:
        self._full += self._open.values()
        self._open = {}

    def _run(self) -> None:
        due = time.monotonic() + self._seconds
        while True:
            with self._changed:
                left = due - time.monotonic()
                self._changed.wait_for(lambda: self._closed or self._wanted, max(left, 0))
                closing, self._wanted = self._closed, False
                if closing or time.monotonic() >= due:
                    self._seal()
                    due = time.monotonic() + self._seconds
            self._write()
            if closing:
                return

    def _write(self) -> None:
        """Write every full file, the oldest first, until one fails; that one waits for the next round."""
        try:
            while file := self._oldest():
                self._put(file)
                with self._changed:
                    if file in self._full:  # else close gave it up meanwhile
                        self._full.remove(file)
                        self._bytes -= file.size
                        self._counts += Counts(written=len(file.lines))
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  # whatever it is, later requests must still be captured
            with self._changed:
                self._counts += Counts(failed_writes=1)
                self._changed.notify_all()
            log.warning("capture of %s: S3 did not take a file (%s)", self._endpoint, _reason(error))
        self._tell()

    def _oldest(self) -> _File | None:
        with self._changed:
            return self._full[0] if self._full else None

    def _put(self, file: _File) -> None:
        self._s3.put_object(
            Bucket=self._bucket,
            Key=file.key,
            Body=b"".join(file.lines),
            ContentType="application/jsonlines",
            **self._headers,
        )

    def _tell(self) -> None:
        with self._changed:
            news = self._counts - self._told
            if self._report is None or not (news.written or news.dropped or news.failed_writes):
                return
            self._told = self._counts
        try:
            self._report(news)
        except Exception as error:  # noqa: BLE001  # a caller's report is no reason to stop capturing
            log.warning("capture of %s: the report failed (%s)", self._endpoint, _reason(error))

    def _lost(self, error: Exception) -> None:
        with self._changed:
            self._counts += Counts(offered=1, dropped=1)
        log.warning("capture of %s: a request is dropped (%s)", self._endpoint, _reason(error))


def sampled(inference_id: str, percentage: float) -> bool:
    """Whether a request belongs to the captured share: by a hash of its id, the same in every process.

    >>> sum(sampled(str(n), 50) for n in range(1_000))
    523
    """
    if percentage >= 100:
        return True
    digest = hashlib.sha256(inference_id.encode()).digest()
    return int.from_bytes(digest[:8]) * 100 < percentage * 2**64


def _reason(error: Exception) -> str:
    """Name an error without its words: they may quote data."""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    return f"{type(error).__name__} {code}".strip()
