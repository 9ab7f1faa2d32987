"""Preprocess the same messy CSV with Driftwheel, pandas and polars, side by side in one run.

Each engine runs in a process of its own; wall and CPU seconds and peak memory are its own and its
children's. Compare CPU and memory within one run: wall time on a shared machine is noise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import data

HERE = Path(__file__).parent
VENV = HERE / ".venv-peers"
ENGINES = ("arrow_parse", "driftwheel_prepare", "pandas_pipeline", "polars_pipeline")


def peers_python() -> str:
    """Make the peers' environment once; give its interpreter."""
    python, wanted = VENV / "bin/python", HERE / "peers/requirements.txt"
    if not python.exists() or python.stat().st_mtime < wanted.stat().st_mtime:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(VENV)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-r", str(wanted)], check=True)
        python.touch()
    return str(python)


def measure(engine: str, source: Path, folder: Path, memory: int) -> dict[str, object]:
    """Run one engine; give seconds, CPU seconds, peak MiB and what it says of its result."""
    out = folder / engine
    out.mkdir()
    python = sys.executable if engine == "driftwheel_prepare" else peers_python()
    command = [python, str(HERE / "peers" / f"{engine}.py"), str(source), str(out), str(memory)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        return {"failed": os.waitstatus_to_exitcode(status)}
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "mib": usage.ru_maxrss / 1024,
        "said": json.loads(said),
    }


def main() -> None:
    """Generate the file, run every engine, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=600_000, help="600,000 rows are about 90 MB")
    parser.add_argument(
        "--memory", type=int, default=1_060, help="DuckDB's limit, MB (0.6 of a 1,769 MB function)"
    )
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        print(f"writing {arguments.rows:,} rows …", file=sys.stderr)
        source = data.write(folder / "events.csv", arguments.rows)
        found = {}
        for engine in arguments.engines:
            print(f"running {engine} …", file=sys.stderr)
            found[engine] = measure(engine, source, folder, arguments.memory)
        size = source.stat().st_size / 1e6
    print(f"{arguments.rows:,} rows, {size:.0f} MB, DuckDB limit {arguments.memory} MB\n")
    print("| engine | wall s | CPU s | peak MiB | wall : parse | rows (train / validation / holdout) |")
    print("|---|---|---|---|---|---|")
    base = found.get("arrow_parse", {}).get("wall")
    for engine, one in found.items():
        if "failed" in one:
            print(f"| {engine} | failed with exit code {one['failed']} | | | | |")
            continue
        splits = one["said"].get("splits")
        rows = " / ".join(f"{splits[s]:,}" for s in ("train", "validation", "holdout")) if splits else ""
        ratio = f"{one['wall'] / base:.1f}×" if base else ""
        print(f"| {engine} | {one['wall']:.1f} | {one['cpu']:.1f} | {one['mib']:,.0f} | {ratio} | {rows} |")
    ours = found.get("driftwheel_prepare", {})
    for peer in ("pandas_pipeline", "polars_pipeline"):
        other = found.get(peer, {})
        if "cpu" in ours and "cpu" in other:
            cpu, memory = ours["cpu"] / other["cpu"], ours["mib"] / other["mib"]
            print(f"\nagainst {peer}: {cpu:.2f} of its CPU, {memory:.2f} of its memory")
            if ours["said"]["splits"] != other["said"]["splits"]:
                sys.exit(f"{peer} gives other splits: the comparison is void")


if __name__ == "__main__":
    main()
