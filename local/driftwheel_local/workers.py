"""One function's process: AWS's runtime client behind our Runtime API, one invocation at a time."""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from driftwheel_local import worker_bootstrap
from driftwheel_local.clock import Clock
from driftwheel_local.function_logs import FunctionLogs
from driftwheel_local.functions import Function
from driftwheel_local.permissions.keys import access_key_of
from driftwheel_local.runtime_api import Outcome, Request, RuntimeApi
from driftwheel_local.threads import start_daemon

INIT_SECONDS = 10.0
"""AWS's limit of the init phase; what lasts longer is taken from the first invocation's timeout."""
RESPONSE_LIMIT_BYTES = 6_291_556
"""Synchronous response limit, as AWS's own message spells it."""
TAIL_BYTES = 4_096
"""LogType=Tail returns the last 4 KB."""
_OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError")
_POLL_SECONDS = 0.25
"""A process whose children hold its output open is noticed to have ended after so long."""


@dataclass(frozen=True)
class Answer:
    """What one invocation gave; `log` are its own lines, START to REPORT."""

    payload: bytes
    function_error: str | None
    log: str


@dataclass(frozen=True)
class Sandbox:
    """What every worker of a stack shares; `environment` is the stack's, read when a worker starts."""

    runtime: Path
    folder: Path
    environment: Mapping[str, str]
    logs: FunctionLogs
    clock: Clock


class Worker:
    """A started process; `invoke` may be called by one thread at a time, until `is_alive` is false."""

    def __init__(self, function: Function, sandbox: Sandbox) -> None:
        self.function = function
        self.idle_since = time.monotonic()
        self._sandbox = sandbox
        self._started = time.perf_counter()
        self._init_seconds: float | None = None
        self._log_stream = f"{sandbox.clock.now():%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
        self._folder = sandbox.folder / uuid.uuid4().hex
        self._folder.mkdir(parents=True)
        self._output = threading.Lock()
        self._closing = threading.Lock()
        self._partial = b""
        self._lines: list[str] = []
        self._peak_mb = 0
        self._api = RuntimeApi()
        self._log(f"INIT_START Runtime Version: {function.runtime}")
        lifeline, self._lifeline = os.pipe()
        import_path = [function.code, *(layer / "python" for layer in function.layers), sandbox.runtime]
        command = [_interpreter(), "-I", "-S", "-B", "-X", "utf8", worker_bootstrap.__file__]
        command += [str(function.memory_mb), str(function.storage_mb), str(lifeline)]
        command.append(os.pathsep.join(map(str, import_path)))
        try:
            self._process = subprocess.Popen(
                command,
                cwd=function.code,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lifeline,),
                bufsize=0,
            )
        except OSError:
            self._let_go()
            raise
        finally:
            os.close(lifeline)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        self._stdout = self._pipe.fileno()
        os.set_blocking(self._stdout, False)
        start_daemon(f"output-{function.name}", self._pump)

    @property
    def is_alive(self) -> bool:
        """Say whether the process can serve another invocation."""
        return self._process.poll() is None

    def invoke(self, request_id: str, payload: bytes) -> Answer:
        """Run one event; ends the worker when it times out, crashes or uses more memory than it has."""
        init_seconds = self._wait_for_init()
        timeout = self.function.timeout_seconds
        started = time.perf_counter()
        self._log(f"START RequestId: {request_id} Version: {self.function.version}")
        self._api.send(
            Request(
                request_id,
                payload,
                # Machine time, not the stack's clock: the function compares it with its own time.time().
                deadline_ms=int((time.time() + timeout) * 1000),
                function_arn=self.function.arn,
                trace_id=_trace_id(),
            )
        )
        outcome = self._outcome(started + timeout)
        elapsed = time.perf_counter() - started
        self._peak_mb = max(self._peak_mb, _peak_memory_mb(self._process.pid))
        self._drain(is_last=True)
        payload, error_type = self._judge(outcome, request_id)
        self._report(request_id, elapsed, init_seconds, error_type)
        with self._output:
            lines, self._lines = self._lines, []
        self.idle_since = time.monotonic()
        return Answer(payload, "Unhandled" if error_type else None, "\n".join(lines))

    def close(self) -> None:
        """Kill the process with all its children and forget its files."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._let_go()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _let_go(self) -> None:
        with self._closing:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
            self._api.close()

    def _wait_for_init(self) -> float | None:
        """Wait until the worker is ready, once; answer how long its start took, None for a warm one."""
        if self._init_seconds is not None:
            return None
        self._api.ready.wait(INIT_SECONDS)
        self._init_seconds = time.perf_counter() - self._started
        return self._init_seconds

    def _outcome(self, deadline: float) -> Outcome | None:
        while (remaining := deadline - time.perf_counter()) > 0:
            outcome = self._api.outcome(min(remaining, _POLL_SECONDS))
            if outcome is not None:
                return outcome
            if not self.is_alive:
                return self._api.outcome(0) or Outcome("ended")
        return None

    def _judge(self, outcome: Outcome | None, request_id: str) -> tuple[bytes, str | None]:
        """Turn what the worker said or did into AWS's payload and error type (None for success)."""
        if outcome is None:
            self.close()
            timeout = f"Task timed out after {self.function.timeout_seconds:.2f} seconds"
            now = self._sandbox.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._log(f"{now} {request_id} {timeout}")
            return _fault("Sandbox.Timedout", f"RequestId: {request_id} Error: {timeout}")
        if outcome.kind == "ended":
            self.close()
            reason = _exit_reason(self._process.returncode)
            self._log(f"RequestId: {request_id} Error: {reason}")
            return _fault("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")
        if outcome.kind == "init_error":
            self.close()
            document = json.loads(outcome.payload)
            return json.dumps(document | {"requestId": request_id}).encode(), document["errorType"]
        error_type = json.loads(outcome.payload)["errorType"] if outcome.kind == "error" else None
        if error_type in _OUT_OF_MEMORY or self._peak_mb > self.function.memory_mb:
            # AWS kills the sandbox, whatever the function would have answered.
            self.close()
            reason = "Runtime exited with error: signal: killed"
            self._log(f"RequestId: {request_id} Error: {reason}")
            return _fault("Runtime.OutOfMemory", f"RequestId: {request_id} Error: {reason}")
        if len(outcome.payload) > RESPONSE_LIMIT_BYTES:
            limit = f"({RESPONSE_LIMIT_BYTES} bytes)"
            return _fault(
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size {limit}.",
            )
        return outcome.payload, error_type

    def _report(
        self, request_id: str, elapsed: float, init_seconds: float | None, error_type: str | None
    ) -> None:
        seconds = min(elapsed, float(self.function.timeout_seconds))
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {seconds * 1000:.2f} ms",
            f"Billed Duration: {int(seconds * 1000) + 1} ms",
            f"Memory Size: {self.function.memory_mb} MB",
            f"Max Memory Used: {self._peak_mb} MB",
        ]
        if init_seconds is not None:
            fields.append(f"Init Duration: {init_seconds * 1000:.2f} ms")
        if error_type == "Sandbox.Timedout":
            fields.append("Status: timeout")
        elif error_type is not None and not self.is_alive:
            fields += ["Status: error", f"Error Type: {error_type}"]
        self._log(f"END RequestId: {request_id}", "\t".join(fields))

    def _log(self, *lines: str) -> None:
        with self._output:
            self._lines += lines
            self._sandbox.logs.write(self.function.name, self.function.log_group, self._log_stream, lines)

    def _pump(self) -> None:
        """Keep the pipe empty while the function runs; at its end say that the process is gone."""
        while self._drain():
            select.select([self._stdout], [], [])
        self._process.wait()
        self._api.report_end()

    def _drain(self, *, is_last: bool = False) -> bool:
        """Log every complete line in the pipe; with `is_last` the rest of the invocation too.

        What a function wrote before it answered is in the pipe by then, so nothing is missed.
        """
        with self._output:
            is_open = not self._pipe.closed
            while is_open:
                try:
                    chunk = os.read(self._stdout, 65_536)
                except BlockingIOError:
                    break
                if not chunk:
                    is_open = False
                    self._pipe.close()
                self._partial += chunk
            *lines, self._partial = self._partial.split(b"\n")
            if self._partial and (is_last or not is_open):
                lines.append(self._partial)
                self._partial = b""
            texts = [line.decode(errors="replace") for line in lines]
            if texts:
                self._lines += texts
                self._sandbox.logs.write(self.function.name, self.function.log_group, self._log_stream, texts)
        return is_open

    def _environment(self) -> dict[str, str]:
        """Build what AWS sets, the function's own variables, and the stack's endpoint; nothing else."""
        stack = self._sandbox.environment
        region = stack.get("AWS_DEFAULT_REGION", "us-east-1")
        function = self.function
        reserved = {
            "_HANDLER": function.handler,
            "_X_AMZN_TRACE_ID": _trace_id(),
            "AWS_ACCESS_KEY_ID": access_key_of(function.role),
            "AWS_SECRET_ACCESS_KEY": stack.get("AWS_SECRET_ACCESS_KEY", "local"),
            "AWS_SESSION_TOKEN": stack.get("AWS_SESSION_TOKEN", "local"),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log_stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            # No daemon listens. Every trace is marked "not sampled", so the SDK sends nothing to it.
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
            "LAMBDA_TASK_ROOT": str(function.code),
            "LAMBDA_RUNTIME_DIR": str(self._sandbox.runtime),
            "HOME": "/home/sbx_user1051",
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
        }
        local = {"TMPDIR": str(self._folder)}
        if "AWS_ENDPOINT_URL" in stack:
            local["AWS_ENDPOINT_URL"] = stack["AWS_ENDPOINT_URL"]
        return function.environment | reserved | local


def _interpreter() -> str:
    return getattr(sys, "_base_executable", "") or sys.executable


def _fault(error_type: str, message: str) -> tuple[bytes, str]:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode(), error_type


def _exit_reason(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    if code > 0:
        return f"Runtime exited with error: exit status {code}"
    name = "killed" if -code == signal.SIGKILL else signal.strsignal(-code)
    return f"Runtime exited with error: signal: {str(name).lower()}"


def _trace_id() -> str:
    root = f"{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root=1-{root};Parent={secrets.token_hex(8)};Sampled=0"


def _peak_memory_mb(pid: int) -> int:
    """Answer the process's largest resident set in MB; 0 where the system does not say (not Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024 + 1
    return 0
