"""The process table of a local stack: what runs, listens and lies about that nobody refers to."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")
SETTLING_SECONDS = 5.0
"""A worker or a fleet that is being stopped has so long to be gone."""


@dataclass(frozen=True)
class Process:
    """One process: its parent, its command line and its environment."""

    pid: int
    parent: int
    command: str
    environment: dict[str, str]

    def ports(self) -> set[int]:
        """The TCP ports it listens on."""
        sockets = set()
        for link in (PROC / str(self.pid) / "fd").iterdir():
            try:
                sockets.add(str(link.readlink()))
            except FileNotFoundError:
                continue
        table = (PROC / str(self.pid) / "net/tcp").read_text(encoding="ascii").splitlines()[1:]
        lines = [line.split() for line in table]
        return {
            int(line[1].partition(":")[2], 16)
            for line in lines
            if line[3] == "0A" and f"socket:[{line[9]}]" in sockets
        }


def running() -> Iterator[Process]:
    """Read every process that may be read."""
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            pairs = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            continue
        if stat[0] != "Z":
            named = dict(pair.partition("=")[::2] for pair in pairs)
            yield Process(int(folder.name), int(stat[1]), command.strip(), named)


def strays(root: Path, pid: int, url: str, endpoints: set[str]) -> list[str]:
    """Name what a stack at rest holds beyond warm workers and one container for each endpoint's variant."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while (found := [*_strays(root, pid, url, endpoints)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def left_of(root: Path) -> list[str]:
    """Name the processes that still belong to a stack which has ended."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while (found := [one for one in running() if _belongs(one, root)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"process {one.pid} outlived its stack: {one.command[:120]}" for one in found]


def workers(pid: int) -> Iterator[Process]:
    """The functions' processes of a stack."""
    return (one for one in running() if one.parent == pid and "worker_bootstrap.py" in one.command)


def _belongs(process: Process, root: Path) -> bool:
    places = (process.command, process.environment.get("TMPDIR", ""))
    return any(str(root) in text for text in places)


def _strays(root: Path, pid: int, url: str, endpoints: set[str]) -> Iterator[str]:
    everything = [*running()]
    children = [one for one in everything if one.parent == pid]
    functions = [one for one in children if "worker_bootstrap.py" in one.command]
    fleets = {
        name: [one for one in children if f"/sagemaker/endpoints/{name}/" in one.command]
        for name in endpoints
    }
    known = {one.pid for group in (functions, *fleets.values()) for one in group}
    for one in children:
        if one.pid not in known:
            yield f"process {one.pid} serves nothing: {one.command[-120:]}"
    for name, fleet in fleets.items():
        if len(fleet) != 1:
            yield f"endpoint {name} has {len(fleet)} containers"
    yield from _ports(next((one for one in everything if one.pid == pid), None), functions, url)
    yield from _folders(root, functions, fleets)


def _ports(stack: Process | None, functions: list[Process], url: str) -> Iterator[str]:
    if stack is None:
        yield "the stack's process is gone"
        return
    apis = {int(one.environment["AWS_LAMBDA_RUNTIME_API"].rpartition(":")[2]) for one in functions}
    for port in stack.ports() - apis - {urlsplit(url).port}:
        yield f"port {port} listens for nobody"


def _folders(root: Path, functions: list[Process], fleets: dict[str, list[Process]]) -> Iterator[str]:
    used = {one.environment.get("TMPDIR", "") for one in functions}
    for folder in (root / "lambda" / "tmp").iterdir():
        if str(folder) not in used:
            yield f"folder {folder} belongs to no worker"
    for name, fleet in fleets.items():
        for folder in (root / "sagemaker" / "endpoints" / name).iterdir():
            if folder.is_dir() and not any(str(folder) in one.command for one in fleet):
                yield f"folder {folder} belongs to no container"
    for place in ("lambda/events", "events/pending"):
        for file in (root / place).iterdir():
            yield f"{place}/{file.name} was never delivered"
