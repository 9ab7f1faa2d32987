"""A table of 20 numbers, 10 categories and a label, before and after planted changes: what drift.py reads.

The same bytes for the same seed; written in row groups, so that ten million rows need no memory.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftwheel.capture.record import Exchange, capture_line

GROUP = 131_072
Table = dict[str, Any]

CATEGORIES: dict[str, Any] = {
    "cat_00": [0.5, 0.3, 0.2],
    "cat_01": [0.25] * 4,
    "cat_02": [0.45, 0.3, 0.15, 0.09, 0.01],
    "cat_03": 0.7 ** np.arange(15),
    "cat_04": 1 / np.arange(2, 22),
    "cat_05": np.ones(50),
    "cat_06": [0.6, 0.25, 0.1, 0.05],
    "cat_07": 1 / np.arange(1, 501),
    "cat_08": [0.99, 0.01],
    "cat_09": np.arange(12, 0, -1),
}
NAMES = {name: [f"{name[-1]}-{n:03d}" for n in range(len(shares))] for name, shares in CATEGORIES.items()}
NUMBERS = tuple(f"num_{n:02d}" for n in range(20))
KINDS = dict.fromkeys(NUMBERS, "number") | dict.fromkeys(CATEGORIES, "category") | {"label": "integer"}

PLANTED = {
    "mean + 0.2 sd": ("num_01",),
    "variance x 1.3": ("num_02",),
    "missing in a number, 10 -> 20 %": ("num_03",),
    "correlation only, .6 -> -.6": ("num_04", "num_05", "(correlations)"),
    "5 % of rows in another unit": ("num_10",),
    "rare category, 1 -> 3 %": ("cat_02",),
    "unseen category, 0.5 %": ("cat_04",),
    "missing in a category, 0 -> 2 %": ("cat_06",),
    "label rate, 22.9 -> 28.5 %": ("label",),
}
"""Change → any of these flagged counts as found."""

IMMATERIAL = "num_15"
"""Its mean moves by 0.01 standard deviations."""


def draw(random: np.random.Generator, rows: int, *, changed: bool) -> Table:
    """Draw columns; a missing value is NaN in a number and None in a category."""
    table: Table = {}
    for n, name in enumerate(NUMBERS):
        match n % 5:
            case 0:
                table[name] = random.normal(50 + n, 10, rows)
            case 1:
                table[name] = random.normal(0, 1, rows)
            case 2:
                table[name] = random.lognormal(1, 0.5, rows)
            case 3:
                table[name] = random.exponential(3, rows)
            case 4:
                table[name] = random.uniform(0, 100, rows)
    one, other = random.normal(0, 1, (2, rows))
    sign = -0.6 if changed else 0.6
    table["num_04"], table["num_05"] = one, sign * one + 0.8 * other
    gaps = random.random(rows) < (0.2 if changed else 0.1)
    table["num_03"] = np.where(gaps, np.nan, table["num_03"])
    for name, shares in CATEGORIES.items():
        edges = np.cumsum(np.asarray(shares) / np.sum(shares))[:-1]
        table[name] = np.searchsorted(edges, random.random(rows)).astype(np.int32)
    table["label"] = (random.random(rows) < (0.285 if changed else 0.229)).astype(np.int64)
    if changed:
        table["num_01"] += 0.2
        table["num_02"] = np.exp(1 + (np.log(table["num_02"]) - 1) * 1.3**0.5)
        table["num_10"] = np.where(random.random(rows) < 0.05, table["num_10"] * 1.8 + 32, table["num_10"])
        table[IMMATERIAL] += 0.01 * 10
        table["cat_02"] = np.where(random.random(rows) < 0.02 / 0.99, 4, table["cat_02"]).astype(np.int32)
        table["cat_04"] = np.where(random.random(rows) < 0.005, 20, table["cat_04"]).astype(np.int32)
    absent = (random.random(rows) < 0.02) & changed
    named = NAMES | {"cat_04": [*NAMES["cat_04"], "never seen"]}
    for name in CATEGORIES:
        texts = pa.array(named[name])
        mask = absent if name == "cat_06" else None
        table[name] = texts.take(pa.array(table[name], mask=mask))
    return table


def parts(rows: int, seed: int, *, changed: bool) -> Iterator[Table]:
    """Draw a table a row group at a time, each with a generator of its own."""
    for start in range(0, rows, GROUP):
        random = np.random.default_rng([seed, changed, start])
        yield draw(random, min(GROUP, rows - start), changed=changed)


def write_parquet(path: Path, rows: int, seed: int = 11, *, changed: bool) -> Path:
    """Write the table as Parquet: snappy, row groups of 131,072 rows."""
    writer = None
    for part in parts(rows, seed, changed=changed):
        table = pa.table({n: pa.array(v, from_pandas=True) for n, v in part.items()})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy")
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()
    return path


CAPTURED = (*NUMBERS[:6], "num_10", "num_15", "cat_02", "cat_04", "cat_06", "cat_07")
"""The twelve inputs of the model whose traffic is captured."""


def write_capture(path: Path, rows: int, seed: int = 12, *, changed: bool, encoding: str = "CSV") -> Path:
    """Write data-capture JSONL: a request a line, twelve CSV cells in and one score out."""
    kind = {"CSV": "text/csv", "BASE64": "text/csv; charset=utf-8"}[encoding]
    start, number = datetime(2026, 3, 1, tzinfo=UTC), 0
    with path.open("wb") as stream:
        for part in parts(rows, seed, changed=changed):
            columns = [part[name] for name in CAPTURED]
            texts = [
                ["" if math.isnan(v) else f"{v:.6g}" for v in c.tolist()]
                if isinstance(c, np.ndarray)
                else ["" if v is None else v for v in c.to_pylist()]
                for c in columns
            ]
            scores = np.random.default_rng([seed, number]).beta(2, 5, len(texts[0]))
            for cells, score in zip(zip(*texts, strict=True), scores.tolist(), strict=True):
                exchange = Exchange(
                    ",".join(cells).encode(),
                    kind,
                    f"{score:.6f}".encode(),
                    kind,
                    f"request-{number:08d}",
                    start + timedelta(milliseconds=3 * number),
                )
                stream.write(capture_line(exchange))
                number += 1
    return path


def model_yaml() -> str:
    """Declare that model, and the label it predicts."""
    columns = "".join(f"  {name}: {{type: {KINDS[name]}}}\n" for name in CAPTURED)
    return (
        "model: traffic\nsource: {prefix: data/traffic/, key: [id]}\ncolumns:\n"
        "  id: {type: category, feature: false}\n"
        f"{columns}  label: {{type: boolean, feature: false}}\ntarget: {{column: label}}\n"
        "split: {by: key, validation: 0.15, holdout: 0.15}\n"
    )


def table_yaml() -> str:
    """Declare every column of the table."""
    columns = "".join(f"  {name}: {{type: {kind}}}\n" for name, kind in KINDS.items())
    return (
        "model: table\nsource: {prefix: data/table/, key: [num_00]}\n"
        f"columns:\n{columns.replace('label: {type: integer}', 'label: {type: boolean, feature: false}')}"
        "target: {column: label}\nsplit: {by: key, validation: 0.15, holdout: 0.15}\n"
    )


def values_of(column: Any) -> Any:
    """Give a drawn column as plain Python texts or as an array."""
    return column if isinstance(column, np.ndarray) else column.to_pylist()
