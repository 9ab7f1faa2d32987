"""The fitted part alone, in batch: Driftwheel beside scikit-learn's ColumnTransformer on cleaned rows.

    python benchmarks/fitted_part.py --rows 600000

Ten numbers (median, then scaled), four categories (one-hot), one category (target mean), learned from the
training rows and applied to training and validation rows, Parquet in and out. The command fails when the
validation rows differ in what both define alike: the scaled numbers, the columns of the categories that both
keep, and the target mean. Left out, because defined otherwise: a missing category (a column of its own in
scikit-learn, all zeros here), rare ones, and the training rows' target means (other folds).
"""

import argparse
import sys
import tempfile
from pathlib import Path

import data
import duckdb
from engines import HEAD, HERE, Measured, measure, ratios

from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, target_sql
from driftwheel.spec import load_spec

SCALED = ("age", "income", "temp", "humidity", "clicks", "visits", "amount", "discount", "score", "rating")
LARGEST = 1e-9
"""Relative difference allowed: a mean of a million doubles depends on their order from the 12th digit on."""


def write_cleaned(folder: Path, rows: int) -> Path:
    """Clean generated rows and part them by their key, as ``dataset.prepare`` does; give the Parquet file."""
    recipe = declare(load_spec((HERE / "fitted_part.yaml").read_bytes()))
    source, cleaned = data.write(folder / "events.csv", rows), folder / "cleaned.parquet"
    with duckdb.connect(config={"threads": 2}) as connection:
        reader = f"(SELECT * FROM read_csv('{source}', all_varchar=true, header=true, nullstr='\x01'))"
        query = cleaning_query(connection, reader, recipe)
        names = ", ".join(column["name"] for column in recipe["columns"])
        connection.execute(
            f"COPY (SELECT {names}, {target_sql(recipe)}, md5(event_id) AS __key, "
            "CASE WHEN md5(event_id) < '33333333' THEN 'validation' ELSE 'train' END AS __split "
            f"FROM ({query}) WHERE event_id IS NOT NULL AND label IS NOT NULL "
            f"QUALIFY row_number() OVER (PARTITION BY event_id) = 1) TO '{cleaned}' (FORMAT parquet)"
        )
    source.unlink()
    return cleaned


def differences(folder: Path, ours: Measured, theirs: Measured) -> dict[str, tuple[int, float]]:
    """Give, for each kind of column, how many are compared and the largest difference in a validation row."""
    pairs = {"scale": [(f"x.{name}", name) for name in SCALED], "target mean": [("x.city", "city")]}
    pairs["one-hot"] = [
        (f"x.{name}__{place}", f"{name}_{key}")
        for name, keys in ours.said["keys"].items()
        for place, key in enumerate(keys, start=1)
        if f"{name}_{key}" in theirs.said["names"]
    ]
    found = {}
    with duckdb.connect() as connection:
        joined = " JOIN ".join(
            f"'{folder / one.engine}/validation.parquet' {name}" for one, name in ((ours, "o"), (theirs, "t"))
        )
        for kind, listed in pairs.items():
            # A scaled number lies around 0: its difference is measured against 1 there.
            largest = ", ".join(
                f'max(abs(o."{a}" - t."{b}") / greatest(1, abs(t."{b}"))), count(*) FILTER '
                f'((o."{a}" IS NULL) <> (t."{b}" IS NULL))'
                for a, b in listed
            )
            row = connection.execute(f"SELECT {largest} FROM {joined} USING (__key)").fetchone()
            if any(row[1::2]) or None in row[::2]:
                sys.exit(f"{kind}: a value is missing on one side only")
            found[kind] = len(listed), max(row[::2])
    return found


def main() -> None:
    """Clean once, run both, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--cap", type=int, help="MB each engine may take; beyond, the kernel kills it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cleaned = write_cleaned(folder, arguments.rows)
        ours, theirs = (
            measure(engine, [cleaned], folder / engine, arguments.cap)
            for engine in ("driftwheel_fitted", "sklearn_fitted")
        )
        print(f"{arguments.rows:,} rows, {cleaned.stat().st_size / 1e6:,.0f} MB of Parquet\n\n{HEAD}")
        print(f"{ours.row}\n{theirs.row}\n\n" + "\n".join(ratios(ours, [theirs])))
        if ours.ended == theirs.ended == "ok":
            for kind, (columns, largest) in differences(folder, ours, theirs).items():
                print(f"{kind}: {columns} columns alike to {largest:.1e}")
                if largest > LARGEST:
                    sys.exit(f"{kind}: the validation rows differ")
        if ours.ended != "ok":
            sys.exit("Driftwheel did not finish")


if __name__ == "__main__":
    main()
