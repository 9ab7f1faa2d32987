"""One container's process: started from a command, its output in a file, stopped as SageMaker stops it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class Command:
    """What runs in a container's stead: absolute program first, complete environment, working folder."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    isolated: bool = False


class ContainerProcess:
    """A running command in its own session, so that everything it started ends with it."""

    def __init__(
        self,
        command: Command,
        log: Path,
        memory_bytes: int | None = None,
        *,
        file_bytes: int | None = None,
        tethered: bool = True,
    ) -> None:
        """Start `command`; tethered, it dies with the *thread* that starts it (parent-death signal)."""
        parent = os.getpid() if tethered else 0
        limits = {
            "memory_bytes": memory_bytes,
            "file_bytes": file_bytes,
            "isolate": command.isolated,
            "parent": parent,
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(limits), *command.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=command.folder,
                env=command.environment,
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        """Answer the process id, which is also its group's."""
        return self._process.pid

    def poll(self) -> int | None:
        """Answer the exit code once it ended (negative: the signal that ended it)."""
        return self._process.poll()

    def seconds(self) -> float:
        """Answer the real seconds since the start."""
        return time.monotonic() - self.started

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to the program itself, as to PID 1 of a container."""
        if self.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def finish(self) -> int:
        """Kill whatever is left of the session and answer the exit code."""
        with contextlib.suppress(ProcessLookupError):  # the whole session has ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()
