# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The files a training job reads, written from ``parted``: the same rows always give the same bytes."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftwheel.dataset.json_lines import encode
from driftwheel.dataset.workspace import FOLDED, Params, Workspace
from driftwheel.recipe.encodings import output_names
from driftwheel.recipe.literals import identifier

if TYPE_CHECKING:
    from driftwheel.spec import ModelSpec

GOLDEN_RECORDS = 100


def write_splits(space: Workspace, params: Params, folds: Params) -> None:
    """Write ``train.parquet`` and ``validation.parquet``, sorted by key.

    ``x.<feature>`` DOUBLE as the model reads it, ``raw.<column>`` cleaned and not imputed, ``__label``,
    ``__key``, ``__time``, ``__origin`` (``data`` or ``captured``; which file is no part of the rows: the same
    rows in other files are the same bytes). Target means of training rows are those of ``folds``.
    """
    raw = [f"{_plain(space, name)} AS {identifier(f'raw.{name}')}" for name in space.recipe["inputs"]]
    rest = [*raw, "__label", "__key", "__time", "__origin"]
    for split, fitted_without in (("train", folds), ("validation", None)):
        columns = ", ".join([*space.features(params, fitted_without), *rest])
        # Cells are sorted, not the wider rows made of them.
        query = f"SELECT {columns} FROM (SELECT * FROM {FOLDED} WHERE __split = '{split}' ORDER BY __key)"
        space.write_parquet(query, space.folder / f"{split}.parquet")


def _plain(space: Workspace, name: str) -> str:
    kinds = {column["name"]: column["type"] for column in space.recipe["columns"]}
    x = identifier(name)
    return f"CAST({x} AS DOUBLE)" if kinds[name] in {"number", "integer", "boolean"} else x


def requested(recipe: Mapping[str, Any], spec: "ModelSpec") -> list[str]:
    """Name the columns a record of the holdout shows: what a request sends, and what slices it."""
    inputs: list[str] = recipe["inputs"]
    return inputs + [name for name in spec.evaluation.slices if name not in inputs]


def write_holdout(space: Workspace) -> str:
    """Write ``holdout.jsonl.gz``, sorted by key, and give the SHA-256 of its bytes."""
    names = requested(space.recipe, space.spec)
    path = space.folder / "holdout.jsonl.gz"
    with (
        path.open("wb") as raw,
        # Neither name nor time. Level 6 would save a quarter of the bytes and take three times as long.
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as stream,
        ThreadPoolExecutor(1) as packer,
    ):
        written = packer.submit(int)
        for lines in space.holdout_lines(names):  # while the next lines are made
            piece = "".join(f"{line}\n" for line in lines).encode()
            written.result()
            written = packer.submit(stream.write, piece)
        written.result()
    return file_sha256(path)


def write_golden(space: Workspace, params: Params) -> None:
    """Write ``golden.jsonl``: records of ``sample`` with the features the batch engine gave them.

    The server recomputes them before it turns healthy.
    """
    names = space.recipe["inputs"]
    labels = [output for output, _, _ in output_names(space.recipe, params)]
    columns = ", ".join(map(identifier, [*names, *(f"x.{label}" for label in labels)]))
    query = f"SELECT {columns} FROM sample ORDER BY __key LIMIT {GOLDEN_RECORDS}"
    with (space.folder / "golden.jsonl").open("w", encoding="utf-8") as stream:
        for row in space.rows(query):
            record = dict(zip(names, row[: len(names)], strict=True))
            expected = dict(zip(labels, row[len(names) :], strict=True))
            stream.write(encode({"record": record, "features": expected}) + "\n")


def rows_digest(space: Workspace) -> str:
    """Name the content of ``rows`` whatever their order: counts and sums of each row's MD5."""
    texts = [*map(space.text, space.columns), "__key", space.text("__label")]
    row = ", ".join(f"coalesce({x}, chr(30))" for x in texts)
    low, high = space.checksum(f"concat_ws(chr(31), {row})")
    return hashlib.sha256(f"{space.count('rows')}:{low}:{high}".encode()).hexdigest()


def holdout_keys(path: Path) -> Iterator[str]:
    """Give the keys of a pinned holdout."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)["key"]


def write_json(path: Path, document: Any) -> None:
    """Write JSON of one form: equal documents are equal bytes."""
    path.write_text(encode(document), encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Digest a file without loading it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
