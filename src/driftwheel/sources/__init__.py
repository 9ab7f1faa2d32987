"""Files as people drop them, into DuckDB: one module per kind, a reason for every file refused."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from driftwheel.sources import csv_file, jsonl_file, parquet_file
from driftwheel.sources.file import BadLine, Loaded, SourceFile
from driftwheel.sources.refusal import Unreadable
from driftwheel.sources.sniff import opened
from driftwheel.spec import Enrichment, Source

__all__ = ["BadLine", "Loaded", "SourceFile", "Unreadable", "load"]

KINDS: Mapping[str, Callable[..., Loaded]] = {
    "csv": csv_file.load,
    "jsonl": jsonl_file.load,
    "parquet": parquet_file.load,
}
"""A kind of file is one module and one line here."""


def load(
    connection: Any, file: SourceFile, shape: Source | Enrichment, wanted: Collection[str], table: str
) -> Loaded:
    """Append a file's rows to ``table`` as text, exactly as written; leave the table as it was on refusal.

    ``table`` has the ``wanted`` columns (VARCHAR), ``__file`` and ``__line``. Columns the file lacks stay
    NULL, others are ignored. Raises Unreadable. Plain and gzip files are told apart by their first bytes.
    """
    with opened(file, shape) as plain:
        return KINDS[shape.format](connection, file, plain, shape, wanted, table)
