"""A straightforward pandas pipeline of benchmarks/model.yaml: the whole file in memory."""

import hashlib
import json
import sys
from pathlib import Path

import pandas as pd
from meaning import CANONICAL, FILLED, HOLDOUT, INTEGERS, NULLS, NUMBERS, RANGES, SALT, TEXTS, VALIDATION

out, source = Path(sys.argv[1]), sys.argv[2]
frame = pd.read_csv(source, dtype=str, keep_default_na=False, engine="pyarrow")
for name in frame.columns:
    text = frame[name].str.strip()
    if name in TEXTS:
        text = text.str.replace(r"\s+", " ", regex=True)
    frame[name] = text.mask(text.isin(NULLS.get(name, [""])))
country = frame["country"].str.lower().map(CANONICAL)
frame["country"] = country.fillna(frame["country"])
for name in (*INTEGERS, *NUMBERS):
    value = pd.to_numeric(frame[name], errors="coerce")
    if name in RANGES:
        value = value.where(value.between(*RANGES[name]))
    frame[name] = value
for name in ("event_time", "signup"):
    frame[name] = pd.to_datetime(frame[name], errors="coerce", format="ISO8601")
frame["label"] = frame["label"].map({"1": 1.0, "0": 0.0})
frame = frame[frame["label"].notna() & frame["event_id"].notna()].drop_duplicates("event_id", keep="last")
key = frame["event_id"].map(
    lambda e: hashlib.md5(f"{len(e)}:{e}".encode(), usedforsecurity=False).hexdigest()
)
place = key.map(lambda k: hashlib.md5((SALT + k).encode(), usedforsecurity=False).hexdigest()[:8])
split = (
    pd.Series("train", index=frame.index)
    .mask(place < VALIDATION, "validation")
    .mask(place < HOLDOUT, "holdout")
)
train = split == "train"
for name in FILLED:
    frame[name] = frame[name].fillna(frame.loc[train, name].median())
frame["feels_like"] = frame["temp"] * frame["humidity"] / 100
frame["per_visit"] = (frame["amount"] / frame["visits"]).where(frame["visits"] != 0)
frame["hour"] = frame["event_time"].dt.hour
for name in TEXTS:
    counts = frame.loc[train, name].value_counts().reset_index()
    order = counts.sort_values(["count", name], ascending=[False, True])[name].head(1000)
    frame[f"x.{name}"] = frame[name].map({value: float(n) for n, value in enumerate(order)})
for name in ("train", "validation", "holdout"):
    frame[split == name].to_parquet(out / f"{name}.parquet", compression="zstd", index=False)
print(json.dumps({"splits": split.value_counts().to_dict()}))
