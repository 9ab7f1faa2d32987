"""A memory cap on one process and its children: beyond it the kernel kills them, as Lambda does.

By a Linux control group, of version 2 where it rules memory, else of version 1; swap is no way out of either.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
SWAP = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})
REMEDY = "run it as root, on Linux, outside a container that hides its control groups; or leave --cap out"


class CapUnavailable(Exception):
    """When no control group can be made here; the message says what to do."""


@dataclass(frozen=True)
class Group:
    """A control group with a limit; ``log`` is where the kernel counts what it killed."""

    folder: Path
    log: Path

    def joining(self, command: Sequence[str]) -> list[str]:
        """Write the command so that it joins before it starts: none of its memory lies outside."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]

    @property
    def killed(self) -> bool:
        """Has the kernel killed a process of this group for want of memory?"""
        counts = dict(line.split() for line in self.log.read_text().splitlines())
        return int(counts["oom_kill"]) > 0


@contextmanager
def memory_cap(megabytes: int, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Group]:
    """Make a group that may hold so many MB (2**20 bytes, as Lambda counts); it is gone afterwards.

    Raises CapUnavailable.
    """
    limit = str(megabytes << 20)
    try:
        own = {
            part[1]: part[2] for part in (line.split(":", 2) for line in membership.read_text().splitlines())
        }
        if "memory" in own:
            folder, log = root / "memory" / own["memory"].lstrip("/"), "memory.oom_control"
            # In this order: the limit that counts swap too may never be the lower one.
            limits = {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}
        elif "memory" in (root / "cgroup.controllers").read_text().split():
            # A group that holds processes may not share memory out; the root may.
            folder, log = root, "memory.events"
            limits = {"memory.max": limit, "memory.swap.max": "0"}
            (root / "cgroup.subtree_control").write_text("+memory")
        else:
            raise CapUnavailable(f"no control group rules memory here: {REMEDY}")
        group = Group(folder := folder / f"driftwheel-{os.getpid()}", folder / log)
        folder.mkdir()
    except OSError as error:
        raise CapUnavailable(f"{error.filename}: {error.strerror}: {REMEDY}") from error
    try:
        for name, value in limits.items():
            if name in SWAP and not (folder / name).exists():
                continue  # a kernel that does not count swap: the machine must have none
            (folder / name).write_text(value)
        yield group
    finally:
        folder.rmdir()
