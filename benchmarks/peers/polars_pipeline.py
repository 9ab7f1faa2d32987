"""A polars pipeline of benchmarks/model.yaml: lazy and streaming as far as polars can.

Polars has no MD5: the split's digest is computed in Python, batch by batch, as its users would.
"""

import hashlib
import json
import sys
from pathlib import Path

import polars as pl
from meaning import CANONICAL, FILLED, HOLDOUT, INTEGERS, NULLS, NUMBERS, RANGES, SALT, TEXTS, VALIDATION

out, source = Path(sys.argv[1]), sys.argv[2]


def place(keys: pl.Series) -> pl.Series:
    found = []
    for e in keys:
        key = hashlib.md5(f"{len(e)}:{e}".encode(), usedforsecurity=False).hexdigest()
        found.append(hashlib.md5((SALT + key).encode(), usedforsecurity=False).hexdigest()[:8])
    return pl.Series(found, dtype=pl.String)


lazy = pl.scan_csv(source, infer_schema=False, row_index_name="line")
names = [name for name in lazy.collect_schema().names() if name != "line"]
cells = []
for name in names:
    text = pl.col(name).str.strip_chars()
    if name in TEXTS:
        text = text.str.replace_all(r"\s+", " ")
    cells.append(pl.when(~text.is_in(NULLS.get(name, [""]))).then(text).alias(name))
lazy = lazy.with_columns(cells)
lower = pl.col("country").str.to_lowercase()
casts = [lower.replace_strict(CANONICAL, default=pl.col("country")).alias("country")]
for name in (*INTEGERS, *NUMBERS):
    value = pl.col(name).cast(pl.Int64 if name in INTEGERS else pl.Float64, strict=False)
    if name in RANGES:
        value = pl.when(value.is_between(*RANGES[name])).then(value)
    casts.append(value.alias(name))
casts += [
    pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).alias(name) for name in ("event_time",)
]
casts.append(pl.col("signup").str.to_date("%Y-%m-%d", strict=False))
casts.append(pl.col("label").cast(pl.Float64, strict=False))
lazy = lazy.with_columns(casts).filter(pl.col("label").is_not_null() & pl.col("event_id").is_not_null())
lazy = lazy.sort("line").unique("event_id", keep="last")
lazy = lazy.with_columns(pl.col("event_id").map_batches(place, return_dtype=pl.String).alias("place"))
split = pl.when(pl.col("place") < HOLDOUT).then(pl.lit("holdout"))
split = split.when(pl.col("place") < VALIDATION).then(pl.lit("validation")).otherwise(pl.lit("train"))
frame = lazy.with_columns(split.alias("split")).drop("place").collect(engine="streaming")
train = frame.filter(pl.col("split") == "train")
frame = frame.with_columns([pl.col(name).fill_null(train[name].median()) for name in FILLED])
codes = {}
for name in TEXTS:
    counts = (
        train[name].drop_nulls().value_counts().sort(["count", name], descending=[True, False]).head(1000)
    )
    codes[name] = {value: float(n) for n, value in enumerate(counts[name])}
frame = frame.with_columns(
    (pl.col("temp") * pl.col("humidity") / 100).alias("feels_like"),
    pl.when(pl.col("visits") != 0).then(pl.col("amount") / pl.col("visits")).alias("per_visit"),
    pl.col("event_time").dt.hour().alias("hour"),
    *(pl.col(name).replace_strict(codes[name], default=None).alias(f"x.{name}") for name in TEXTS),
)
counts = {}
for (name,), part in frame.group_by("split"):
    counts[name] = part.height
    part.write_parquet(out / f"{name}.parquet", compression="zstd")
print(json.dumps({"splits": counts}))
