"""Columns of a Parquet file as they are typed, batch by batch: the same values as through text, sooner.

A column is taken when its type says what its text would: float64 for a number, an integer for a number or an
integer, a boolean, or a text. Each different text is cleaned once.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftwheel.drift.summaries import Coded, Column
from driftwheel.recipe.cells import Floats
from driftwheel.recipe.notation import Rule
from driftwheel.recipe.ranges import within
from driftwheel.recipe.row import CLEANERS, null_numbers
from driftwheel.sources.parquet_size import most_rows

BATCH = 1 << 17
"""Rows decoded at once: some 32 MB for thirty columns."""

SPAN = 1 << 12
"""Integers so close together are told apart by counting, others by sorting."""

NUMERIC = frozenset({"number", "integer"})
INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"})


class NotTyped(Exception):
    """When a file is no Parquet, or a column of it must be read as text."""


def names_of(path: Path) -> list[str]:
    """Name the columns of a Parquet file; raises NotTyped."""
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise NotTyped from error
    if len(set(names)) < len(names):
        raise NotTyped
    return names


def batches(path: Path, rules: Mapping[str, Rule]) -> Iterator[dict[str, Column]]:
    """Give columns cleaned by their rules; one the file lacks is missing in all its rows.

    Raises NotTyped, before or between batches: then the whole file is to be read as text.
    """
    # A row whose value is outside or missing is not refused: here rows are only counted.
    rules = {
        name: {**rule, "missing": "keep", "outside": "clip" if rule["outside"] == "clip" else "null"}
        for name, rule in rules.items()
    }
    cleaners = {name: CLEANERS[rule["type"]](rule) for name, rule in rules.items()}
    names = names_of(path)
    try:
        schema = pq.read_schema(path)
        texts = [name for name in names if pa.types.is_string(schema.field(name).type)]
        file = pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False)
        there = [name for name in rules if name in names]
        if not 0 < file.metadata.num_rows <= most_rows(path, len(there)):
            raise NotTyped
        # One row group after the other: of all of them pyarrow decodes several ahead, which takes memory. No
        # thread decodes ahead: beside other work that cost up to 0.4 as much CPU again.
        groups = (
            batch
            for group in range(file.num_row_groups)
            for batch in file.iter_batches(BATCH, [group], columns=there, use_threads=False)
        )
        for batch in groups:
            yield {
                name: _column(batch.column(name), rule, cleaners[name])
                if name in names
                else _nothing(batch.num_rows, rule)
                for name, rule in rules.items()
            }
    except (pa.ArrowException, OSError) as error:
        raise NotTyped from error


def _plain(values: Any) -> tuple[Any, Any]:
    """Give numbers as numpy's, without a copy, and where there is one; None: everywhere.

    pyarrow's own ``to_numpy`` looks for pandas and its ``fill_null`` imports pyarrow.compute, which takes as
    long as 300,000 rows.
    """
    bits, data = values.buffers()
    kind = np.dtype(str(values.type))
    found = np.frombuffer(data, kind, len(values), values.offset * kind.itemsize)
    if not values.null_count:
        return found, None
    there = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(np.bool_)
    return found, there[values.offset :][: len(values)]


def _filled(values: Any, missing: float) -> Any:
    found, there = _plain(values)
    return found if there is None else np.where(there, found, missing)


def _few(values: Any, clean: Callable[[object], Any]) -> Coded:
    """Code integers that stand for categories: each different one is cleaned as its text."""
    found, there = _plain(values)
    given = (found if there is None else found[there]).astype(np.int64)
    low = int(given.min()) if len(given) else 0
    if len(given) and int(given.max()) - low < SPAN:
        codes = given - low
        occurs = np.bincount(codes).tolist()
        known = [clean(str(low + number)) if times else None for number, times in enumerate(occurs)]
    else:
        different, codes = np.unique(given, return_inverse=True)
        known = [clean(str(number)) for number in different.tolist()]
    if there is None:
        return Coded(codes, known, gaps=False)
    every = np.full(len(found), -1)
    every[there] = codes
    return Coded(every, known)


def _nothing(rows: int, rule: Rule) -> Column:
    return np.full(rows, np.nan) if rule["type"] in NUMERIC else Coded(np.full(rows, -1), [])


def _column(values: Any, rule: Rule, clean: Callable[[object], Any]) -> Column:
    kind, wanted = values.type, rule["type"]
    if str(kind) in INTEGERS and wanted not in NUMERIC:
        return _few(values, clean)
    if pa.types.is_dictionary(kind):
        known = [clean(text) for text in values.dictionary.to_pylist()]
        codes = _filled(values.indices, -1)
        if wanted in NUMERIC:
            table: Floats = np.array([*known, None], dtype=np.float64)
            column: Column = table[codes]
            return column
        return Coded(codes, known, gaps=values.null_count > 0)
    if pa.types.is_boolean(kind) and wanted == "boolean":
        return Coded(values.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False), [False, True])
    fits = (kind == pa.float64() and wanted == "number") or (str(kind) in INTEGERS and wanted in NUMERIC)
    if not fits or rule.get("notation"):
        raise NotTyped
    numbers = np.asarray(_filled(values, np.nan), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        # One look at all of them: a sum is finite unless a NaN, an infinity or an overflow is in it.
        plain = np.isfinite(numbers.sum())
    if not plain and np.isinf(numbers).any():  # no text of a number
        numbers = np.where(np.isinf(numbers), np.nan, numbers)
    if wanted == "number" and rule["range"] is None and not null_numbers(rule):
        return numbers
    found = within(rule, numbers)
    if found is None:
        raise NotTyped
    return found
