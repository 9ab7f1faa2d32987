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
import time
from pathlib import Path
from typing import Any

import drift_data

HERE = Path(__file__).parent
TABLE = ("decode_only", "driftwheel", "duckdb", "polars", "scipy", "frouros", "alibi_detect", "nannyml")
SLOW = ("whylogs", "evidently")
CAPTURE = ("capture_duckdb", "capture_msgspec", "capture_driftwheel")
ENVIRONMENTS = {name: name for name in ("frouros", "alibi_detect", "nannyml", "whylogs", "evidently")}


def python_of(engine: str) -> str:
    """Make the pinned environment of an engine on first use; give its interpreter."""
    if engine.endswith("driftwheel"):
        return sys.executable
    name = ENVIRONMENTS.get(engine, "plain")
    wanted, python = HERE / f"peers/{name}.txt", HERE / f".venv-{name}/bin/python"
    if not python.exists() or python.stat().st_mtime < wanted.stat().st_mtime:
        uv = str(Path(sys.executable).with_name("uv"))
        folder = str(python.parents[1])
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-r", str(wanted)], check=True)
        python.touch()
    return str(python)


def run(engine: str, script: str, *arguments: object) -> dict[str, Any]:
    """Run one process; give seconds, CPU seconds, peak MiB and what it said."""
    command = [python_of(engine), str(HERE / "peers" / script), *map(str, arguments)]
    print(f"{time.strftime('%H:%M:%S')} {engine} …", file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{engine} failed with exit code {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    found = {
        "engine": engine,
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "mib": usage.ru_maxrss / 1024,
    }
    return found | {"said": json.loads(said.strip().splitlines()[-1])}


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
        run("plain", "drift_engines.py", "reduce", self.parquet(rows, changed=False), path)
        return path


def ours(files: Files, what: str, known: Path, path: Path) -> dict[str, Any]:
    """Run Driftwheel, with a fresh folder to work in."""
    with tempfile.TemporaryDirectory(dir=files.folder) as folder:
        engine = "capture_driftwheel" if "capture" in what else "driftwheel"
        return run(engine, "driftwheel_drift.py", what, known, path, folder)


def measure(engine: str, files: Files, before: int, rows: int, known: Path, reduced: Path) -> dict[str, Any]:
    """Run one engine on the table."""
    now = files.parquet(rows, changed=True)
    if engine == "driftwheel":
        return ours(files, "table", known, now)
    baseline = reduced if engine in {"duckdb", "polars"} else files.parquet(before, changed=False)
    return run(engine, "drift_engines.py", engine, baseline, now)


def judged(flags: list[str]) -> str:
    """Say which planted changes were found, and what else was flagged."""
    right = [name for name, columns in drift_data.PLANTED.items() if set(columns) & set(flags)]
    planted = {column for columns in drift_data.PLANTED.values() for column in columns}
    wrong = sorted(set(flags) - planted)
    return f"{len(right)} of {len(drift_data.PLANTED)} | {', '.join(wrong) or '-'}"


def show(found: list[dict[str, Any]], base: str, *, verdicts: bool = True) -> None:
    """Print one table; ratios are to ``base`` and to Driftwheel."""
    limit = next((one for one in found if one["engine"] == base), None)
    mine = next((one for one in found if one["engine"].endswith("driftwheel")), None)
    last = " planted changes found | other columns flagged |" if verdicts else ""
    print(
        f"| engine | wall s | CPU s | peak MiB | inside: wall s | inside: CPU s | inside CPU : {base} |",
        end="",
    )
    print(f" CPU : Driftwheel's |{last}\n|{'---|' * (10 if verdicts else 8)}")
    for one in found:
        said = one["said"]
        to_limit = f"{said['cpu'] / limit['said']['cpu']:.2f}×" if limit else "-"
        to_mine = f"{one['cpu'] / mine['cpu']:.1f}×" if mine else "-"
        flags = (
            f" {judged(said['flags'])} |"
            if verdicts and one["engine"] != base
            else " | |"
            if verdicts
            else ""
        )
        print(
            f"| {one['engine']} | {one['wall']:.1f} | {one['cpu']:.1f} | {one['mib']:,.0f} | "
            f"{said['wall']:.2f} | {said['cpu']:.2f} | {to_limit} | {to_mine} |{flags}",
            flush=True,
        )
        if said.get("page"):
            print(f"  its report page: {said['page'] / 1000:.0f} kB", file=sys.stderr)


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
        if given.capture:
            path, known = files.capture(given.capture, given.encoding), folder / "known-capture.json"
            ours(files, "learn_capture", known, path)
            found = [run(engine, "drift_engines.py", engine, known, path) for engine in CAPTURE[:2]]
            found.append(ours(files, "capture", known, path))
            print(f"{given.capture:,} requests, {given.encoding}, {path.stat().st_size / 1e6:.0f} MB\n")
            show(found, "capture_duckdb", verdicts=False)
            return
        known = files.known(given.baseline) if "driftwheel" in given.engines else Path()
        reduced = files.reduced(given.baseline) if {"duckdb", "polars"} & {*given.engines} else Path()
        found = [measure(one, files, given.baseline, given.rows, known, reduced) for one in given.engines]
        print(f"{given.rows:,} rows beside {given.baseline:,}\n")
        show(found, "decode_only")


if __name__ == "__main__":
    main()
