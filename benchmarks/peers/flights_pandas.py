"""A pandas pipeline of examples/flights/model.yaml: the whole files in memory."""

import json
import sys
from pathlib import Path

import pandas as pd
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


def read(path, names):
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, engine="pyarrow")[list(names)]
    for name in frame.columns:
        frame[name] = frame[name].str.strip()
    frame["origin"] = frame["origin"].str.lower().map(CANONICAL).fillna(frame["origin"])
    moment = pd.to_datetime(frame["time_hour"], utc=True, errors="coerce", format="ISO8601")
    frame["time_hour"] = moment.dt.strftime("%Y-%m-%d %H:%M:%S")
    return frame


sky = read(weather, ("origin", "time_hour", *SKY)).drop_duplicates(["origin", "time_hour"], keep="last")
frame = read(flights, (*KEY, "distance", "arr_delay"))
frame = frame.merge(sky, how="left", on=["origin", "time_hour"])
for name in ("flight", "sched_dep_time", "distance", "arr_delay", *SKY):
    value = pd.to_numeric(frame[name], errors="coerce")
    frame[name] = value.where(value.between(*RANGES[name])) if name in RANGES else value
frame = frame[frame["time_hour"].notna() & frame["arr_delay"].notna()]
frame = frame.drop_duplicates(list(KEY), keep="last")
frame["label"] = (frame["arr_delay"] > LATE_MINUTES).astype(float)
validation, holdout = cuts(sorted(frame["time_hour"]))
split = pd.Series("train", index=frame.index).mask(frame["time_hour"] >= validation, "validation")
split = split.mask(frame["time_hour"] >= holdout, "holdout")
train = split == "train"
for name in FILLED:
    frame[name] = frame[name].fillna(frame.loc[train, name].median())
frame["hour"] = frame["sched_dep_time"] // 100
frame["weekday"] = pd.to_datetime(frame["time_hour"]).dt.day_of_week + 1
frame["icing_risk"] = (frame["humid"] / 100).where(frame["temp"] <= 35, 0)
frame["muggy"] = frame["temp"] * frame["humid"] / 100
for name in CODED:
    counts = frame.loc[train, name].value_counts().reset_index()
    order = counts.sort_values(["count", name], ascending=[False, True])[name].head(1000)
    frame[f"x.{name}"] = frame[name].map({value: float(n) for n, value in enumerate(order)})
route = frame["origin"] + "-" + frame["dest"]


def target_means(rows):
    prior = frame.loc[rows, "label"].mean()
    found = frame.loc[rows, "label"].groupby(route[rows]).agg(["sum", "count"])
    return (found["sum"] + SMOOTHING * prior) / (found["count"] + SMOOTHING), prior


means, prior = target_means(train)
frame["x.route"] = route.map(means).fillna(prior)
folds = pd.Series([fold(key(*row)) for row in frame.loc[train, list(KEY)].itertuples(index=False)])
folds.index = frame.index[train]
for n in range(FOLDS):
    mine = folds.index[folds == n]
    means, prior = target_means(folds.index[folds != n])
    frame.loc[mine, "x.route"] = route[mine].map(means).fillna(prior)
for name in ("train", "validation", "holdout"):
    frame[split == name].to_parquet(out / f"{name}.parquet", compression="zstd", index=False)
print(json.dumps({"splits": split.value_counts().to_dict()}))
