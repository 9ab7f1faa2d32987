"""The kinds of file there are, and what loads any of them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from driftwheel.sources import csv_file, jsonl_file, parquet_file
from driftwheel.sources.file import Loaded, SourceFile, Through, as_written, with_values
from driftwheel.sources.sniff import opened
from driftwheel.spec import Enrichment, Source

KINDS: Mapping[str, Callable[..., Loaded]] = {
    "csv": csv_file.load,
    "jsonl": jsonl_file.load,
    "parquet": parquet_file.load,
}
"""A kind of file is one module and one line here."""


def load(
    connection: Any,
    file: SourceFile,
    shape: Source | Enrichment,
    wanted: Collection[str],
    table: str,
    through: Through = as_written,
) -> Loaded:
    """Append a file's rows to ``table``; leave the table as it was on refusal.

    Rows are read as text, exactly as written, with the ``wanted`` columns (VARCHAR), ``__file`` and
    ``__line``; ``through`` makes of that query the one whose rows are appended, by the names of its columns.
    Columns the file lacks are NULL, others are ignored. Raises Unreadable. Plain and gzip files are told
    apart by their first bytes.
    """
    with opened(file, shape) as (plain, ascii_only):
        through = partial(through, ascii_only=ascii_only)
        loaded = KINDS[shape.format](connection, file, plain, shape, wanted, table, through)
        return replace(loaded, bad_lines=with_values(plain, loaded.bad_lines))
