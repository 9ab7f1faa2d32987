"""Driftwheel's fitted part on cleaned rows: fit on the training rows, transform both splits to Parquet."""

import json
import sys
from pathlib import Path

import duckdb

from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import feature_sql
from driftwheel.recipe.fit import DuckRows, fit, fit_folds, fold_sql
from driftwheel.spec import load_spec

out, cleaned = Path(sys.argv[1]), sys.argv[2]
recipe = declare(load_spec((Path(__file__).parent.parent / "fitted_part.yaml").read_bytes()))
with duckdb.connect(config={"threads": 2}) as connection:
    connection.execute(f"CREATE VIEW parted AS SELECT *, {fold_sql()} AS __fold FROM '{cleaned}'")
    rows = DuckRows(connection, "(SELECT * FROM parted WHERE __split = 'train')")
    params = fit(rows, recipe)
    folds = fit_folds(rows, recipe, params)
    for split, without in (("train", folds), ("validation", None)):
        columns = ", ".join(feature_sql(recipe, params, without))
        connection.execute(
            f"COPY (SELECT __key, {columns} FROM parted WHERE __split = '{split}') "
            f"TO '{out}/{split}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
keys = {name: params["encodings"][name]["keys"] for name in ("country", "device", "browser", "plan")}
print(json.dumps({"keys": keys}))
