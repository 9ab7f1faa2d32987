"""One record through a pandas frame, and the fitted part alone through scikit-learn and ONNX Runtime."""

import json
import sys
import time

import numpy as np
import onnxruntime
import pandas as pd
from meaning import CANONICAL, INTEGERS, NULLS, NUMBERS, RANGES, TEXTS
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RECORDS = 1_000
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
cleaned[list(TEXTS)] = cleaned[list(TEXTS)].astype(object).fillna("")  # ONNX has no missing text
fitted = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
        ("texts", OneHotEncoder(handle_unknown="ignore"), list(TEXTS)),
    ],
    sparse_threshold=0,
).fit(cleaned)
inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
inputs += [(name, StringTensorType([None, 1])) for name in TEXTS]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # one record has no work for two
session = onnxruntime.InferenceSession(
    to_onnx(fitted, initial_types=inputs).SerializeToString(), options, ["CPUExecutionProvider"]
)


def timed(function, given):
    found = []
    for one in given:
        start = time.perf_counter()
        function(one)
        found.append(time.perf_counter() - start)
    found.sort()
    return found[len(found) // 2] * 1e6, found[len(found) * 99 // 100] * 1e6


def asked(record):
    given = {name: np.array([[record[name]]], dtype=np.float32) for name in NUMBERS}
    given |= {name: np.array([[record[name]]], dtype=object) for name in TEXTS}
    return session.run(None, given)[0]


one_by_one = [frame.iloc[n : n + 1] for n in range(RECORDS)]
cleaned_one_by_one = [cleaned.iloc[n : n + 1] for n in range(RECORDS)]
records = cleaned.iloc[:RECORDS].to_dict("records")
apart = max(
    float(np.max(np.abs(asked(record) - fitted.transform(row))))
    for record, row in zip(records[:200], cleaned_one_by_one, strict=False)
)
print(
    json.dumps(
        {
            "ONNX Runtime, the fitted part alone": timed(asked, records),
            "pandas, one-row frame, cleaning alone": timed(clean, one_by_one[:200]),
            "scikit-learn ColumnTransformer, the fitted part alone": timed(
                fitted.transform, cleaned_one_by_one[:200]
            ),
            "apart": apart,
        }
    )
)
