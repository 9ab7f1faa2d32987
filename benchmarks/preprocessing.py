"""Preprocess the same messy CSV with Driftwheel, pandas and polars, side by side in one run.

    python benchmarks/preprocessing.py --rows 6000000
    python benchmarks/preprocessing.py --rows 600000 --cap 512
    python benchmarks/preprocessing.py --rows 600000 --growth 1 4 10 40

Each engine runs in a process of its own; wall and CPU seconds and peak memory are its own and its
children's. Compare CPU and memory within one run: wall time on a shared machine is noise. The command fails
when an engine gives other rows in a split, or other values, than Driftwheel.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import data
import duckdb
from engines import HEAD, Measured, differences, measure, ratios

ENGINES = ("arrow_parse", "driftwheel_prepare", "pandas_pipeline", "polars_pipeline", "duckdb_pipeline")
OURS, PARSE = "driftwheel_prepare", "arrow_parse"
SHARE = 0.6
"""Of a function's memory DuckDB gets so much (template.yaml: PREPROCESSING_MEMORY_MB)."""

VALUES = ("feels_like", "per_visit", "hour", "age", "income", "temp", "humidity", "clicks", "visits")
CODES = ("country", "city", "device", "browser", "plan")


def run(rows: int, folder: Path, arguments: argparse.Namespace) -> dict[str, Measured]:
    """Write a file of so many rows, run every engine on it, and compare what they gave."""
    print(f"writing {rows:,} rows …", file=sys.stderr)
    source = data.write(folder / "events.csv", rows)
    memory = arguments.memory or round(SHARE * (arguments.cap or 1_769))
    found = {
        engine: measure(engine, [source, memory], folder / engine, arguments.cap)
        for engine in arguments.engines
    }
    under = f", each under a cap of {arguments.cap} MB" if arguments.cap else ""
    print(
        f"\n{rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB{under}; DuckDB limit {memory} MB\n\n{HEAD}"
    )
    print("\n".join(one.row for one in found.values()))
    if (ours := found.get(OURS)) and ours.ended == "ok":
        print("\n" + "\n".join(ratios(ours, found.values())))
        compare(folder, ours, [one for one in found.values() if one.ended == "ok" and "splits" in one.said])
    return found


def compare(folder: Path, ours: Measured, engines: list[Measured]) -> None:
    """Exit when an engine's rows or values are not ours: what it took would say nothing."""
    with duckdb.connect() as connection:
        for split in ("train", "validation"):
            tables = {one.engine: f"'{folder / one.engine / split}.parquet'" for one in engines}
            names = {name: [f"x.{name}" if one is ours else name for one in engines] for name in VALUES}
            names |= {name: [f"x.{name}"] * len(engines) for name in CODES}
            found = differences(connection, tables, names)
            found += [
                f"{one.engine} has {one.said['splits'][name]} rows in {name}, {ours.engine} {count}"
                for one in engines
                for name, count in ours.said["splits"].items()
                if one.said["splits"][name] != count
            ]
            if found:
                sys.exit("the comparison is void:\n" + "\n".join(found))
    if len(engines) > 1:
        print(f"equal rows in every split, equal values in {len(VALUES) + len(CODES)} columns")


def grown(sizes: dict[int, dict[str, Measured]]) -> None:
    """Print how CPU and memory grow with the rows."""
    first = next(iter(sizes))
    print("\n| rows | engine | CPU s | against the first | peak RSS MiB | against the first |")
    print("|---|---|---|---|---|---|")
    for times, found in sizes.items():
        for engine, one in found.items():
            base = sizes[first][engine]
            if one.ended != "ok" or base.ended != "ok":
                print(f"| {times}× | {engine} | **{one.ended}** | | | |")
                continue
            cpu, mib = one.cpu / base.cpu, one.mib / base.mib
            print(f"| {times}× | {engine} | {one.cpu:.1f} | {cpu:.1f}× | {one.mib:,.0f} | {mib:.2f}× |")


def main() -> None:
    """Run once, or once for every size; fail when Driftwheel itself failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=600_000, help="600,000 rows are 82 MB, 6,000,000 823 MB")
    parser.add_argument("--growth", type=int, nargs="+", default=[1], help="multiples of --rows, in turn")
    parser.add_argument("--cap", type=int, help="MB each engine may take; beyond, the kernel kills it")
    parser.add_argument(
        "--memory", type=int, help=f"DuckDB's limit, MB (default: {SHARE:g} of the cap, or of 1,769)"
    )
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    sizes = {}
    for times in arguments.growth:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            sizes[times] = run(times * arguments.rows, Path(folder), arguments)
    if len(sizes) > 1:
        grown(sizes)
    if any(one.ended != "ok" for found in sizes.values() for name, one in found.items() if name == OURS):
        sys.exit("Driftwheel did not finish")


if __name__ == "__main__":
    main()
