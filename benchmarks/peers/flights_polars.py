"""A polars pipeline of examples/flights/model.yaml: lazy and streaming as far as polars can.

Polars has no MD5: the folds' digests are computed in Python, as its users would.
"""

import json
import sys
from pathlib import Path

import polars as pl
from flights_meaning import (
    CANONICAL,
    CODED,
    FILLED,
    FOLDS,
    KEY,
    LATE_MINUTES,
    RANGES,
    SKY,
    SMOOTHING,
    cuts,
    fold,
    key,
)

out, flights, weather = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def scan(path, names):
    lazy = pl.scan_csv(path, infer_schema=False, row_index_name="line")
    lazy = lazy.select("line", *(pl.col(name).str.strip_chars() for name in names))
    origin = pl.col("origin").str.to_lowercase().replace_strict(CANONICAL, default=pl.col("origin"))
    moment = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False)
    return lazy.with_columns(origin, moment.dt.strftime("%Y-%m-%d %H:%M:%S"))


def number(name):
    value = pl.col(name).cast(pl.Int64 if name in ("flight", "sched_dep_time") else pl.Float64, strict=False)
    return pl.when(value.is_between(*RANGES[name])).then(value).alias(name) if name in RANGES else value


sky = scan(weather, ("origin", "time_hour", *SKY)).sort("line").unique(["origin", "time_hour"], keep="last")
lazy = scan(flights, (*KEY, "distance", "arr_delay"))
lazy = lazy.join(sky.drop("line"), how="left", on=["origin", "time_hour"])
lazy = lazy.with_columns(number(n) for n in ("flight", "sched_dep_time", "distance", "arr_delay", *SKY))
lazy = lazy.filter(pl.col("time_hour").is_not_null() & pl.col("arr_delay").is_not_null())
lazy = lazy.sort("line").unique(list(KEY), keep="last")
late = (pl.col("arr_delay") > LATE_MINUTES).cast(pl.Float64)
frame = lazy.with_columns(late.alias("label")).collect(engine="streaming")
validation, holdout = cuts(sorted(frame["time_hour"]))
split = pl.when(pl.col("time_hour") >= holdout).then(pl.lit("holdout"))
split = split.when(pl.col("time_hour") >= validation).then(pl.lit("validation")).otherwise(pl.lit("train"))
frame = frame.with_columns(split.alias("split"), pl.concat_str("origin", pl.lit("-"), "dest").alias("route"))
train = frame.filter(pl.col("split") == "train")
frame = frame.with_columns(pl.col(name).fill_null(train[name].median()) for name in FILLED)
codes = {}
for name in CODED:
    counts = train[name].drop_nulls().value_counts().sort(["count", name], descending=[True, False])
    codes[name] = {value: float(n) for n, value in enumerate(counts.head(1000)[name])}
frame = frame.with_columns(
    (pl.col("sched_dep_time") // 100).alias("hour"),
    pl.col("time_hour").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.weekday().alias("weekday"),
    pl.when(pl.col("temp") <= 35).then(pl.col("humid") / 100).otherwise(0.0).alias("icing_risk"),
    (pl.col("temp") * pl.col("humid") / 100).alias("muggy"),
    *(pl.col(name).replace_strict(codes[name], default=None).alias(f"x.{name}") for name in CODED),
)


def target_means(rows):
    prior = rows["label"].mean()
    found = rows.group_by("route").agg(pl.col("label").sum().alias("ones"), pl.len().alias("rows"))
    mean = (pl.col("ones") + SMOOTHING * prior) / (pl.col("rows") + SMOOTHING)
    return found.select("route", mean.alias("x.route")), prior


def encoded(rows, fitted_on):
    means, prior = target_means(fitted_on)
    return rows.join(means, how="left", on="route").with_columns(pl.col("x.route").fill_null(prior))


folds = pl.Series("fold", [fold(key(*row)) for row in train.select(KEY).iter_rows()], dtype=pl.Int64)
trained = frame.filter(pl.col("split") == "train").with_columns(folds)
parts = {
    "train": pl.concat(
        encoded(trained.filter(pl.col("fold") == n), trained.filter(pl.col("fold") != n))
        for n in range(FOLDS)
    )
}
for name in ("validation", "holdout"):
    parts[name] = encoded(frame.filter(pl.col("split") == name), trained)
for name, part in parts.items():
    part.write_parquet(out / f"{name}.parquet", compression="zstd")
print(json.dumps({"splits": {name: part.height for name, part in parts.items()}}))
