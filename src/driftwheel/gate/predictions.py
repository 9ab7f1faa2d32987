"""The gate's only input: what challenger and champion said about the same rows.

``predictions.csv.gz``: ``key,label,challenger,champion`` and one ``slice.<column>`` per slice. ``champion``
is empty in every row when there is none, and ``nan`` where a champion exists but could not score the row.
"""

import csv
import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from driftwheel.errors import ArtifactInvalid

Floats = npt.NDArray[np.float64]

SLICE = "slice."

REQUIRED = ("key", "label", "challenger", "champion")

LARGEST = 512 * 1024 * 1024
"""Bytes of decoded CSV that are read: about four million rows; a small file that claims more is refused."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Rows of one holdout, one entry per row in every array; ``champion`` is None when there is none."""

    keys: list[str]
    labels: Floats
    challenger: Floats
    champion: Floats | None
    slices: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 of the sorted keys with their labels: which rows were compared, whatever their order."""
        lines = sorted(
            f"{key},{label!r}\n" for key, label in zip(self.keys, self.labels.tolist(), strict=True)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_predictions(source: Path | bytes) -> Predictions:
    """Read ``predictions.csv.gz``.

    Raises ArtifactInvalid when it is damaged, too large, misses a column, or names a row twice.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    rows = csv.reader(io.StringIO(_decoded(data), newline=""))
    header = next(rows, [])
    if missing := [name for name in REQUIRED if name not in header]:
        raise ArtifactInvalid(f"predictions.csv.gz has no column {', '.join(missing)}")
    table = list(rows)
    if any(len(row) != len(header) for row in table):
        line = next(n for n, row in enumerate(table, start=2) if len(row) != len(header))
        raise ArtifactInvalid(f"predictions.csv.gz line {line} does not have {len(header)} cells")
    columns = dict(zip(header, zip(*table, strict=True), strict=True)) if table else dict.fromkeys(header, ())
    keys = list(columns["key"])
    if len(set(keys)) != len(keys):
        raise ArtifactInvalid("predictions.csv.gz names a row twice: the same row must not be counted twice")
    champion = columns["champion"]
    return Predictions(
        keys=keys,
        labels=_numbers(columns["label"], "label"),
        challenger=_numbers(columns["challenger"], "challenger"),
        champion=_numbers(champion, "champion") if any(champion) else None,
        slices={
            name.removeprefix(SLICE): np.array(cells, dtype=str)
            for name, cells in columns.items()
            if name.startswith(SLICE)
        },
    )


def _decoded(data: bytes) -> str:
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ArtifactInvalid(f"predictions.csv.gz decodes to more than {LARGEST} bytes")
        return text.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArtifactInvalid(f"predictions.csv.gz cannot be decoded: {type(error).__name__}") from error


def _numbers(cells: tuple[str, ...], column: str) -> Floats:
    """Numbers of a column; an empty cell is NaN, so it can never be mistaken for an answer."""
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)
    except ValueError as error:
        raise ArtifactInvalid(
            f"predictions.csv.gz column {column} holds something that is no number"
        ) from error
