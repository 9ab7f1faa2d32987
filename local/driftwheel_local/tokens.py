"""Task tokens of waitForTaskToken states: issued per attempt, settled once."""

import base64
import binascii
import json
import threading
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from driftwheel_local.clock import Clock
from driftwheel_local.waits import Waits


class TokenRefusedError(Exception):
    """When a SendTask* call cannot be honoured; `code` is the error code AWS answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Succeeded:
    """The task's output, as the JSON text that was sent."""

    output: str


@dataclass(frozen=True)
class Failed:
    """The task's error name and cause, as they were sent."""

    error: str | None
    cause: str | None


@dataclass(frozen=True)
class HeartbeatMissed:
    """No heartbeat came within HeartbeatSeconds."""


Outcome = Succeeded | Failed | HeartbeatMissed


@dataclass
class _Pending:
    outcome: Succeeded | Failed | None = None
    last_beat: float = field(default=0.0)


def _encode(execution_arn: str) -> str:
    body = json.dumps([execution_arn, uuid.uuid4().hex]).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()


def execution_of(token: str) -> str:
    """Answer the execution ARN a token was issued for; TokenRefusedError InvalidToken for any other text."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        body = raw[4:]
        if zlib.crc32(body).to_bytes(4, "big") == raw[:4]:
            return str(json.loads(body)[0])
    except (ValueError, binascii.Error, IndexError, TypeError):
        pass  # whatever cannot be read is not a token of ours: refused below
    raise TokenRefusedError("InvalidToken", "Invalid Token: 'Invalid token'")


class TaskTokens:
    """Every token somebody waits for now.

    As on AWS a retry gets a new token, and a token answers once: later calls get TaskTimedOut
    ("does not exist anymore"); a token of an execution nobody knows gets TaskDoesNotExist.
    """

    def __init__(self, clock: Clock, waits: Waits, knows_execution: Callable[[str], bool]) -> None:
        self._clock = clock
        self._waits = waits
        self._knows_execution = knows_execution
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}

    def issue(self, execution_arn: str) -> str:
        """Create the token of one attempt of one task."""
        token = _encode(execution_arn)
        with self._lock:
            self._pending[token] = _Pending(last_beat=self._clock.monotonic())
        return token

    def retire(self, token: str) -> None:
        """Forget a token: its attempt is over, whatever the outcome."""
        with self._lock:
            self._pending.pop(token, None)

    def settle(self, token: str, outcome: Succeeded | Failed) -> None:
        """Deliver an outcome to the waiting task; TokenRefusedError when nobody waits for one."""
        with self._lock:
            self._open(token).outcome = outcome
        self._waits.ring()

    def beat(self, token: str) -> None:
        """Restart the task's heartbeat interval."""
        with self._lock:
            self._open(token).last_beat = self._clock.monotonic()
        self._waits.ring()

    def wait(
        self, token: str, heartbeat_seconds: float | None, running: Callable[[], bool]
    ) -> Outcome | None:
        """Wait for the outcome of a token; None when `running()` became false first."""
        with self._lock:
            pending = self._pending.get(token)
            if pending is None:
                return None
            # AWS counts heartbeats from the start of the wait, the launcher's own run is not part of it.
            pending.last_beat = max(pending.last_beat, self._clock.monotonic())
        while True:
            remaining = None
            if heartbeat_seconds is not None:
                remaining = pending.last_beat + heartbeat_seconds - self._clock.monotonic()
                if remaining <= 0 and pending.outcome is None:
                    return HeartbeatMissed()
            seen = pending.last_beat

            def changed(pending: _Pending = pending, seen: float = seen) -> bool:
                return pending.outcome is not None or not running() or pending.last_beat != seen

            self._waits.until(changed, remaining)
            if pending.outcome is not None:
                return pending.outcome
            if not running():
                return None

    def _open(self, token: str) -> _Pending:
        execution_arn = execution_of(token)
        pending = self._pending.get(token)
        if pending is not None and pending.outcome is None:
            return pending
        if self._knows_execution(execution_arn):
            raise TokenRefusedError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        raise TokenRefusedError("TaskDoesNotExist", f"Task Does Not Exist: no execution {execution_arn}")
