"""A container's life from start to end: watched, timed, stopped with grace."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from driftwheel_local.sagemaker.process import Command, ContainerProcess
from driftwheel_local.sagemaker.site import Site

_POLL_SECONDS = 0.05
PUMP_SECONDS = 0.5


class Cause(Enum):
    """Why a container ended."""

    EXIT = "exit"
    STOP = "stop"
    TIMEOUT = "timeout"
    DISK = "disk"


@dataclass(frozen=True)
class Volume:
    """The storage volume of a job: everything below its folder, and how many bytes that may take."""

    folder: Path
    size_bytes: int

    def is_full(self) -> bool:
        """Add up the blocks of all files; what vanishes meanwhile counts nothing."""
        used = 0
        for parent, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    used += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118  # twice a second
        return used > self.size_bytes


@dataclass(frozen=True)
class Ending:
    """How a container ended: its exit code, the cause and the real seconds it ran."""

    code: int
    cause: Cause
    seconds: float


class Interrupted(Exception):
    """When the local runtime closes while a job runs; the job is failed by the next `recover`."""


def run_container(
    site: Site,
    command: Command,
    log: Path,
    stop: threading.Event,
    *,
    limit_seconds: float,
    grace_seconds: float,
    memory_bytes: int | None,
    volume: Volume,
    tick: Callable[[], None],
    tick_seconds: float = PUMP_SECONDS,
) -> Ending:
    """Run `command` to its end; `tick` is called about twice a second. What it raises kills the process.

    `stop` or `limit_seconds` (real seconds: the process is real) send SIGTERM, and SIGKILL after the grace,
    as StopTrainingJob does. A file larger than the volume cannot be written; more than it holds in all is
    seen within a second, and the process is killed.
    """
    process = ContainerProcess(command, log, memory_bytes, file_bytes=volume.size_bytes)
    cause = Cause.EXIT
    kill_at = float("inf")
    tick_at = 0.0
    waiter = threading.Event()
    try:
        while (code := process.poll()) is None:
            seconds = process.seconds()
            if cause is Cause.EXIT and (stop.is_set() or seconds >= limit_seconds):
                cause = Cause.STOP if stop.is_set() else Cause.TIMEOUT
                kill_at = seconds + grace_seconds
                process.terminate()
            if seconds >= kill_at:
                process.finish()
                continue
            if site.closing.is_set():
                raise Interrupted
            if seconds >= tick_at:
                tick()
                if volume.is_full():
                    cause = Cause.DISK
                    process.finish()
                    continue
                tick_at = seconds + tick_seconds
            # Soon after the start a short job may end any moment; later it is a long one.
            waiter.wait(_POLL_SECONDS / 5 if seconds < 1 else _POLL_SECONDS)
        if cause is Cause.EXIT and volume.is_full():  # it ended before the next look
            cause = Cause.DISK
        return Ending(code, cause, process.seconds())
    finally:
        process.finish()
