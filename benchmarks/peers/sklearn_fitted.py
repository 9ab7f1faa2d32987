"""scikit-learn's ColumnTransformer with the meaning of benchmarks/fitted_part.yaml, on cleaned rows."""

import json
import sys
from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

NUMBERS = ["age", "income", "temp", "humidity", "clicks", "visits", "amount", "discount", "score", "rating"]
WORDS = ["country", "device", "browser", "plan"]

out, cleaned = Path(sys.argv[1]), sys.argv[2]
frame = pd.read_parquet(cleaned)
train, validation = frame[frame["__split"] == "train"], frame[frame["__split"] == "validation"]
scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
one_hot = OneHotEncoder(
    handle_unknown="infrequent_if_exist", max_categories=21, min_frequency=0.01, sparse_output=False
)
fitted = ColumnTransformer(
    [
        ("scale", scaled, NUMBERS),
        ("one_hot", one_hot, WORDS),
        ("target_mean", TargetEncoder(smooth=20.0, target_type="binary"), ["city"]),
    ],
    verbose_feature_names_out=False,
)
parts = {
    "train": (train, fitted.fit_transform(train, train["__label"].astype(int))),
    "validation": (validation, fitted.transform(validation)),
}
for split, (rows, features) in parts.items():
    table = pd.DataFrame(features, columns=fitted.get_feature_names_out(), index=rows.index)
    table.insert(0, "__key", rows["__key"])
    table.to_parquet(out / f"{split}.parquet", compression="zstd", index=False)
print(json.dumps({"names": list(fitted.get_feature_names_out())}))
