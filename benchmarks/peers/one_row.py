"""One record through a pandas frame, and through scikit-learn's fitted part alone."""

import json
import sys
import time

import pandas as pd
from meaning import CANONICAL, INTEGERS, NULLS, NUMBERS, RANGES, TEXTS
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

frame = pd.read_csv(sys.argv[1], dtype=str, keep_default_na=False, nrows=20_000)


def clean(rows):
    rows = rows.copy()
    for name in rows.columns:
        text = rows[name].str.strip()
        rows[name] = text.mask(text.isin(NULLS.get(name, [""])))
    country = rows["country"].str.lower().map(CANONICAL)
    rows["country"] = country.fillna(rows["country"])
    for name in (*INTEGERS, *NUMBERS):
        value = pd.to_numeric(rows[name], errors="coerce")
        rows[name] = value.where(value.between(*RANGES[name])) if name in RANGES else value
    rows["feels_like"] = rows["temp"] * rows["humidity"] / 100
    rows["per_visit"] = rows["amount"] / rows["visits"]
    return rows


cleaned = clean(frame)
cleaned[list(TEXTS)] = cleaned[list(TEXTS)].astype(object).where(cleaned[list(TEXTS)].notna(), None)
fitted = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
        ("texts", OneHotEncoder(handle_unknown="ignore", max_categories=20), list(TEXTS)),
    ]
).fit(cleaned)


def timed(function, rows):
    found = []
    for n in range(200):
        one = rows.iloc[n : n + 1]
        start = time.perf_counter()
        function(one)
        found.append(time.perf_counter() - start)
    found.sort()
    return found[100] * 1e6, found[198] * 1e6


print(
    json.dumps(
        {
            "pandas, one-row frame, cleaning alone": timed(clean, frame),
            "scikit-learn ColumnTransformer, fitted part alone": timed(fitted.transform, cleaned),
        }
    )
)
