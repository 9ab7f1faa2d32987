"""The prepared data as arrays: Parquet for fitting, JSON lines for judging."""

import gzip
import json
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.single import Floats, Matrix, in_single

FEATURE, RAW, LABEL, TIME = "x.", "raw.", "__label", "__time"

DAY_US = 86_400_000_000
"""Microseconds."""

Column = Sequence[object] | npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Table:
    """Features (rows, features) with NaN for missing, labels (rows,); where rows are weighted their times.

    ``times`` are days since 1970, NaN for a row without one.
    """

    features: Matrix
    labels: Floats
    times: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)


def read_table(path: Path, names: Sequence[str], *, timed: bool = False) -> Table:
    """Read a split, ``timed`` with each row's time.

    Raises ArtifactInvalid when a feature is missing or the split is empty.
    """
    source = pq.ParquetFile(path)
    wanted = [FEATURE + name for name in names]
    if missing := sorted({*wanted, LABEL} - set(source.schema_arrow.names)):
        raise ArtifactInvalid(f"{path.name} has no column {missing[0]}")
    rows = source.metadata.num_rows
    if not rows:
        raise ArtifactInvalid(f"{path.name} has no rows")
    # XGBoost works in 32 bits; filling column by column keeps one 64-bit column in memory, not the table.
    features = np.empty((rows, len(wanted)), dtype=np.float32)
    for position, column in enumerate(wanted):
        features[:, position] = in_single(_floats(source, column))
    labels = _floats(source, LABEL)
    if not np.isfinite(labels).all():
        raise ArtifactInvalid(f"{path.name} has rows without a label")
    return Table(features, labels, _days(source) if timed else None)


def read_raw(paths: Sequence[Path]) -> dict[str, Column]:
    """Read the cleaned columns of several splits, one after the other.

    Numbers come as arrays with NaN for missing, everything else as lists with None.
    """
    return {
        name.removeprefix(RAW): _joined([pq.read_table(path, columns=[name]).column(0) for path in paths])
        for name in _raw_names(paths[0])
    }


def _joined(parts: Sequence[Any]) -> Column:
    if all(pa.types.is_floating(part.type) for part in parts):
        joined: npt.NDArray[Any] = np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts])
        return joined
    return [value for part in parts for value in part.to_pylist()]


def _raw_names(path: Path) -> list[str]:
    return [name for name in pq.read_schema(path).names if name.startswith(RAW)]


def _days(source: Any) -> Floats:
    """Read each row's time as days since 1970, NaN where it has none."""
    times = source.read(columns=[TIME]).column(0).cast(pa.timestamp("us"))
    days = times.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(np.float64) / DAY_US
    days[times.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return np.asarray(days)


def _floats(source: Any, column: str) -> Floats:
    values = source.read(columns=[column]).column(0)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


@dataclass(frozen=True)
class HoldoutRow:
    """One row both models are judged on."""

    key: str
    label: float
    record: dict[str, Any]


def read_holdout(path: Path) -> list[HoldoutRow]:
    """Read ``holdout.jsonl.gz``; raises ArtifactInvalid naming the line that is wrong."""
    rows = []
    with closing(_lines(path)) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                rows.append(HoldoutRow(str(entry["key"]), float(entry["label"]), dict(entry["record"])))
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactInvalid(f"{path.name} line {number} is no holdout row") from error
    if not rows:
        raise ArtifactInvalid(f"{path.name} has no rows")
    return rows


def _lines(path: Path) -> Generator[str, None, None]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield from stream
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArtifactInvalid(f"{path.name} cannot be decoded: {type(error).__name__}") from error
