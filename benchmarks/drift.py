"""Look for drift in the same files with Driftwheel and its peers, side by side in one run.

Every engine is a process of its own: wall, CPU and peak memory are its own; ``inside`` is what passes after
its imports. Driftwheel's, DuckDB's and polars' baseline is reduced once beforehand (Driftwheel's cost is
printed); the other peers can only read it again. Compare CPU and memory within one run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import drift_data
import environments

HERE = Path(__file__).parent
LIMITS = ("decode_only", "decode_and_count")
TABLE = (*LIMITS, "driftwheel", "duckdb", "polars", "scipy", "frouros", "alibi_detect", "nannyml")
SLOW = ("whylogs", "evidently")
CAPTURE = ("capture_duckdb", "capture_msgspec", "capture_driftwheel")
PATIENCE = 3600
"""Seconds one process may take."""

ENVIRONMENTS = ("frouros", "alibi_detect", "nannyml", "whylogs", "evidently")
"""Engines with an environment of their own; the others share ``plain``."""

SHORT, REPEATS = 5.0, 5
"""CPU seconds below which an engine is run again, and how often it then runs in all."""


def python_of(engine: str) -> str:
    """Give the interpreter of an engine's environment."""
    if engine.endswith("driftwheel"):
        return sys.executable
    return environments.python_of(engine if engine in ENVIRONMENTS else "plain")


class Failed(Exception):
    """When an engine broke or took too long: the others go on."""


def run(engine: str, script: str, *arguments: object, seconds: float = PATIENCE) -> dict[str, Any]:
    """Run one process; give seconds, CPU seconds, peak MiB and what it said. Raises Failed."""
    print(f"{time.strftime('%H:%M:%S')} {engine} …", file=sys.stderr, flush=True)
    try:
        command = [python_of(engine), str(HERE / "peers" / script), *map(str, arguments)]
    except subprocess.CalledProcessError as error:
        raise Failed(f"no environment: {error}") from error
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        # For all alike: numpy's pool of threads takes 0.1 CPU s of a process, and none of these needs it; and
        # nobody deploys code that is compiled at every start.
        alike = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
        process = subprocess.Popen(command, stdout=said, stderr=wrong, env=alike)
        over = threading.Timer(seconds, process.kill)
        over.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        over.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        wrong.seek(0)
        if status:
            last = wrong.read().decode(errors="replace").strip().splitlines()[-1:]
            took = f"not done after {seconds:.0f} s" if wall >= seconds else f"exit {process.returncode}"
            raise Failed(f"{took}: {' '.join(last)[:200]}")
        answer = json.loads(said.read().strip().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    found = {"engine": engine, "wall": wall, "cpu": cpu, "mib": usage.ru_maxrss / 1024, "said": answer}
    print(f"  {cpu:.1f} CPU s, inside {answer.get('cpu', 0):.2f}", file=sys.stderr, flush=True)
    return found


class Files:
    """Generated files, kept in a folder; what is there is not made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def parquet(self, rows: int, *, changed: bool) -> Path:
        """Write the table."""
        path = self.folder / f"{'now' if changed else 'before'}-{rows}.parquet"
        return path if path.exists() else drift_data.write_parquet(path, rows, changed=changed)

    def capture(self, rows: int, encoding: str) -> Path:
        """Write captured requests."""
        path = self.folder / f"now-{rows}-{encoding}.jsonl"
        return (
            path if path.exists() else drift_data.write_capture(path, rows, changed=True, encoding=encoding)
        )

    def known(self, rows: int) -> Path:
        """What Driftwheel remembers of the baseline."""
        path = self.folder / f"known-{rows}.json"
        made = ours(self, "learn", path, self.parquet(rows, changed=False))
        print(
            f"\nDriftwheel's baseline of {rows:,} rows: {made['wall']:.1f} s, {made['cpu']:.1f} CPU s, "
            f"{path.stat().st_size / 1e6:.1f} MB; counted once, not below\n"
        )
        return path

    def reduced(self, rows: int) -> Path:
        """What the plain queries know of the baseline."""
        path = self.folder / f"reduced-{rows}.json"
        if not path.exists():
            run("plain", "drift_engines.py", "reduce", self.parquet(rows, changed=False), path)
        return path


def ours(files: Files, what: str, known: Path, path: Path) -> dict[str, Any]:
    """Run Driftwheel on a table, with a fresh folder to work in."""
    with tempfile.TemporaryDirectory(dir=files.folder) as folder:
        return run("driftwheel", "driftwheel_table.py", what, known, path, folder)


def measure(engine: str, files: Files, before: int, rows: int) -> dict[str, Any]:
    """Run one engine on the table; what it knows of the baseline is made first, where it can be."""
    now = files.parquet(rows, changed=True)
    if engine == "driftwheel":
        return ours(files, "table", files.known(before), now)
    reduced = engine in {"duckdb", "polars"}
    baseline = files.reduced(before) if reduced else files.parquet(before, changed=False)
    return run(engine, "drift_engines.py", engine, baseline, now)


def measure_capture(engine: str, files: Files, path: Path) -> dict[str, Any]:
    """Run one engine on captured requests."""
    known = files.folder / "known-capture.json"
    if engine != "capture_driftwheel":
        return run(engine, "drift_engines.py", engine, known, path)
    run(engine, "driftwheel_capture.py", "learn", known, path)
    return run(engine, "driftwheel_capture.py", "capture", known, path)


def all_of(engines: Iterable[str], measured: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Run one engine after the other; one that fails loses only its own figures.

    A run of less than ``SHORT`` CPU seconds is one of ``REPEATS``, and the median by those is shown: chance
    moves a short one by a fifth.
    """
    found = []
    for engine in engines:
        try:
            runs = [measured(engine)]
            if runs[0]["cpu"] < SHORT:
                runs += [measured(engine) for _ in range(REPEATS - 1)]
            found.append(sorted(runs, key=lambda one: one["cpu"])[len(runs) // 2])
        except Failed as error:
            found.append({"engine": engine, "failed": str(error)})
            print(f"  {engine} FAILED: {error}", file=sys.stderr, flush=True)
    return found


def judged(flags: list[str]) -> str:
    """Say which planted changes were found, and what else was flagged."""
    right = [name for name, columns in drift_data.PLANTED.items() if set(columns) & set(flags)]
    planted = {column for columns in drift_data.PLANTED.values() for column in columns}
    wrong = sorted(set(flags) - planted)
    return f"{len(right)} of {len(drift_data.PLANTED)} | {', '.join(wrong) or '-'}"


def show(found: list[dict[str, Any]], base: str, *, verdicts: bool = True) -> None:
    """Print one table; ratios are to ``base`` and to Driftwheel, by whole processes and inside."""
    done = {one["engine"]: one for one in found if "failed" not in one}
    limit = done.get(base)
    mine = next((one for name, one in done.items() if name.endswith("driftwheel")), None)
    heads = ["engine", "wall s", "CPU s", "peak MiB", "inside: wall s", "inside: CPU s"]
    heads += [f"CPU : {base}", f"inside : {base}", "CPU : Driftwheel", "inside : Driftwheel"]
    heads += ["planted changes found", "other columns flagged"] if verdicts else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for one in found:
        if "failed" in one:
            print(f"| {one['engine']} | failed: {one['failed'].replace('|', '/')} |{' |' * (len(heads) - 2)}")
            continue
        said = one["said"]
        cells = [one["engine"], f"{one['wall']:.1f}", f"{one['cpu']:.2f}", f"{one['mib']:,.0f}"]
        cells += [f"{said['wall']:.2f}", f"{said['cpu']:.2f}"]
        for other in (limit, mine):
            cells.append(f"{one['cpu'] / other['cpu']:.2f}" if other else "-")
            cells.append(f"{said['cpu'] / other['said']['cpu']:.2f}" if other else "-")
        if verdicts:
            cells += [" | "] if one["engine"] in LIMITS else [judged(said["flags"])]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Generate the files, run every engine, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", type=int, default=1_000_000, help="rows of the baseline")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table that is judged")
    parser.add_argument("--capture", type=int, default=0, help="captured requests; 0: the table instead")
    parser.add_argument("--encoding", choices=["CSV", "BASE64"], default="CSV")
    parser.add_argument("--engines", nargs="+", default=[*TABLE, *SLOW], choices=[*TABLE, *SLOW])
    parser.add_argument("--folder", type=Path, help="keep the generated files here (default: nowhere)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        files = Files(folder)
        load = os.getloadavg()
        if given.capture:
            path = files.capture(given.capture, given.encoding)
            found = all_of(CAPTURE, lambda engine: measure_capture(engine, files, path))
            print(f"\n{given.capture:,} requests, {given.encoding}, {path.stat().st_size / 1e6:.0f} MB")
        else:
            found = all_of(given.engines, lambda engine: measure(engine, files, given.baseline, given.rows))
            print(f"\n{given.rows:,} rows beside {given.baseline:,}")
        print(f"Load of the machine: {load[0]:.0f} at the beginning, {os.getloadavg()[0]:.0f} at the end\n")
        show(found, "capture_duckdb" if given.capture else "decode_only", verdicts=not given.capture)


if __name__ == "__main__":
    main()
