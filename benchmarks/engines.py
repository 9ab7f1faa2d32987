"""Run engines side by side, each in a process of its own: what it took and how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import caps
import environments

HERE = Path(__file__).parent
PEERS = "pipelines"
"""The environment of everything that is not Driftwheel here."""


@dataclass(frozen=True)
class Measured:
    """One engine's seconds, CPU seconds and peak resident MiB; ``said`` is what it printed as JSON."""

    engine: str
    ended: str
    wall: float
    cpu: float
    mib: float
    said: dict[str, object] = field(default_factory=dict)

    @property
    def row(self) -> str:
        """A row of a table; an engine that was killed has used what it used for nothing."""
        if self.ended == "ok":
            return f"| {self.engine} | ok | {self.wall:.1f} | {self.cpu:.1f} | {self.mib:,.0f} |"
        return f"| {self.engine} | **{self.ended}** after {self.wall:.0f} s | | | |"


HEAD = "| engine | ended | wall s | CPU s | peak RSS MiB |\n|---|---|---|---|---|"


def measure(engine: str, arguments: Iterable[object], out: Path, cap: int | None = None) -> Measured:
    """Run ``peers/<engine>.py`` with its folder ``out`` before the arguments, under a cap of so many MB.

    Memory is the peak resident set of the process and of those it started and waited for; page cache is not
    in it, but under a cap the kernel has to take that away before it kills.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # timeout(1) sends it
    out.mkdir()
    python = sys.executable if engine.startswith("driftwheel") else environments.python_of(PEERS)
    command = [python, str(HERE / "peers" / f"{engine}.py"), str(out), *map(str, arguments)]
    print(f"running {engine} …", file=sys.stderr)
    with caps.memory_cap(cap) if cap else nullcontext() as group:
        start = time.perf_counter()
        if group:
            command = group.joining(command)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                said = process.stdout.read()
            except BaseException:  # stopped by a signal: no engine and no control group may stay behind
                process.kill()
                raise
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        killed = group is not None and group.killed
    code = process.returncode
    ended = "ok" if not code else "OOM-killed" if killed else f"failed with exit code {code}"
    figures = wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return Measured(engine, ended, *figures, json.loads(said) if not code else {})


def ratios(ours: Measured, others: Iterable[Measured]) -> list[str]:
    """Say what ours took of what each other engine took, in sentences."""
    return [
        f"against {other.engine}: {ours.cpu / other.cpu:.2f} of its CPU, {ours.wall / other.wall:.2f} of its "
        f"time, {ours.mib / other.mib:.2f} of its memory"
        for other in others
        if other.ended == ours.ended == "ok" and other is not ours
    ]


def differences(connection, tables: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> list[str]:
    """Say where tables differ: by the count and the sum of every column they share.

    ``tables`` is an engine's relation (SQL), ``names`` a column's name in each of them, in that order. Sums
    are compared to nine digits: no two engines add doubles in one order.
    """
    found: dict[str, list[float]] = {}
    for place, (engine, table) in enumerate(tables.items()):
        cells = ", ".join(
            f'count("{listed[place]}"), coalesce(sum(CAST("{listed[place]}" AS DOUBLE)), 0)'
            for listed in names.values()
        )
        found[engine] = list(connection.execute(f"SELECT {cells} FROM {table}").fetchone())
    first, *rest = found
    return [
        f"{engine}: {list(names)[place // 2]} has {'a sum' if place % 2 else 'a count'} of {theirs}, "
        f"{first} has {ours}"
        for engine in rest
        for place, (ours, theirs) in enumerate(zip(found[first], found[engine], strict=True))
        if abs(ours - theirs) > 1e-9 * max(abs(ours), abs(theirs))
    ]
