"""Prepare the flights of 2013 as the example declares them: Driftwheel beside pandas and polars, in one run.

    python benchmarks/flights_preparation.py

336,776 flights and 26,115 hours of weather (CC0): canonical airports, strict numbers and times, ranges, a
join, the latest row of every key, features of temperature and humidity, the time split, medians, category
codes and target means out of fold, Parquet per split. The command fails when an engine gives other rows or
other values than Driftwheel.
"""

import argparse
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import duckdb
from engines import HEAD, HERE, differences, measure, ratios

sys.path.append(str(HERE.parent / "examples/flights"))
from months import folder as package

ENGINES = ("driftwheel_flights", "flights_pandas", "flights_polars")
OURS, *PEERS = ENGINES
VALUES = (
    *("hour", "weekday", "icing_risk", "muggy", "sched_dep_time", "distance", "temp", "dewp", "humid"),
    *("wind_dir", "wind_speed", "precip", "pressure", "visib"),
)
ENCODED = ("carrier", "origin", "dest", "route")


def main() -> None:
    """Unpack, run every engine, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cap", type=int, help="MB each engine may take; beyond, the kernel kills it")
    parser.add_argument("--memory", type=int, default=1_060, help="DuckDB's limit, MB")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, duckdb.connect() as connection:
        folder = Path(name)
        with zipfile.ZipFile(package() / "flights.csv.zip") as archive:
            flights = archive.extract("flights.csv", folder)
        weather = shutil.copyfile(package() / "weather.csv", folder / "weather.csv")
        given = [flights, weather, arguments.memory]
        found = [measure(engine, given, folder / engine, arguments.cap) for engine in arguments.engines]
        print(HEAD + "\n" + "\n".join(one.row for one in found))
        ours = next((one for one in found if one.engine == OURS and one.ended == "ok"), None)
        if ours is None:
            sys.exit("Driftwheel did not finish")
        print("\n" + "\n".join(ratios(ours, found)))
        peers = [one for one in found if one.engine in PEERS and one.ended == "ok"]
        for split in ("train", "validation"):
            tables = {one.engine: f"'{folder / one.engine / split}.parquet'" for one in (ours, *peers)}
            names = {n: [f"x.{n}", *[n] * len(peers)] for n in VALUES}
            names |= {n: [f"x.{n}"] * (1 + len(peers)) for n in ENCODED}
            void = differences(connection, tables, names)
            void += [f"{one.engine}: {one.said}" for one in peers if one.said != ours.said]
            if void:
                sys.exit("the comparison is void:\n" + "\n".join(void))
    if peers:
        print(f"equal rows in every split, equal values in {len(VALUES) + len(ENCODED)} columns")


if __name__ == "__main__":
    main()
