"""One record of 20 columns into features: the row function beside DuckDB, pandas, scikit-learn, ONNX Runtime.

Prints p50 and p99 per record in microseconds, all in one run, and holds the row function to the batch engine
on as many records as asked (0 mismatches, or it fails).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import data
import duckdb
from engines import PEERS
from environments import python_of

from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, feature_sql, target_sql
from driftwheel.recipe.fit import DuckRows, fit
from driftwheel.recipe.literals import identifier
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import load_spec

HERE = Path(__file__).parent


def quantiles(seconds: list[float]) -> tuple[float, float]:
    """Give p50 and p99 in microseconds."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6


def timed(function, records) -> tuple[float, float]:
    """Time every call."""
    found = []
    for record in records:
        start = time.perf_counter()
        function(record)
        found.append(time.perf_counter() - start)
    return quantiles(found)


def main() -> None:
    """Fit on the generated rows, compare, time, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    recipe = declare(load_spec((HERE / "model.yaml").read_bytes()))
    records = [
        dict(zip(data.HEADER, map(str, row), strict=True)) for row in islice(data.rows(count, 11), count)
    ]
    names = [column["name"] for column in recipe["columns"]]
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1}) as connection:
        path = data.write(Path(folder) / "events.csv", count, 11)
        reader = f"read_csv('{path}', all_varchar=true, header=true, nullstr='\x01')"
        connection.execute(f"CREATE TABLE raw AS SELECT *, row_number() OVER () AS n FROM {reader}")
        query = cleaning_query(connection, "raw", recipe)
        connection.execute(f"CREATE TABLE clean AS SELECT *, {target_sql(recipe)} FROM ({query})")
        params = fit(DuckRows(connection, "clean"), recipe)
        row = load_recipe(recipe, params)
        select = ", ".join(feature_sql(recipe, params))
        batch = connection.execute(f"SELECT {select} FROM clean ORDER BY n").fetchall()
        different = sum(list(one) != row.features(record) for one, record in zip(batch, records, strict=True))
        found = {"row function, whole recipe": timed(row.features, records)}
        connection.execute("CREATE TABLE one AS SELECT * FROM raw LIMIT 0")
        listed = ", ".join(identifier(name) for name in names)
        marks = ", ".join("?" * len(names))
        cleaned = cleaning_query(connection, "one", recipe)

        def through_duckdb(record: dict[str, str]) -> object:
            connection.execute("DELETE FROM one")
            connection.execute(f"INSERT INTO one ({listed}) VALUES ({marks})", list(record.values()))
            return connection.execute(f"SELECT {select} FROM ({cleaned})").fetchone()

        found["DuckDB, one row, whole recipe"] = timed(through_duckdb, records[:200])
        peer = [python_of(PEERS), str(HERE / "peers/one_row.py"), str(path)]
        theirs = json.loads(subprocess.run(peer, check=True, capture_output=True, text=True).stdout)
        apart = theirs.pop("apart")
        found |= theirs
    print(f"{count:,} records of {len(names)} columns into {len(row.feature_names)} features")
    print(f"{different} mismatches with the batch engine")
    print(f"ONNX Runtime's float32 lies up to {apart:.1e} from scikit-learn's doubles\n")
    print("| method | p50 µs | p99 µs |\n|---|---|---|")
    for name, (middle, high) in found.items():
        print(f"| {name} | {middle:,.0f} | {high:,.0f} |")
    if different:
        sys.exit("the row function and the batch engine differ")


if __name__ == "__main__":
    main()
