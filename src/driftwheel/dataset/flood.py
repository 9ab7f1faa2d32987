"""A bound on captured rows: whoever floods the endpoint for an hour does not choose what is learned."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HOUR = 13
"""Characters of an ISO 8601 time that name its hour."""

LONGEST = 6 << 20
"""No request, and so no value in one, is longer: https://docs.aws.amazon.com/sagemaker/latest/APIReference/
API_runtime_InvokeEndpoint.html."""

CELLS = 4
"""At the end of a staged row: line, id, time, label."""


def limit_hours(staged: Path, most: int) -> int:
    """Keep at most ``most`` rows of each hour in which requests came; give how many were dropped.

    ``staged`` is a CSV file whose last cells are line, id, time (ISO 8601) and label. The rows with the
    smallest hashes of their ids stay: a sample no caller can foresee without choosing every id, and the same
    however often, and in which order, the rows are read.
    """
    hours = Counter(time[:HOUR] for _, time, _ in _rows(staged))
    full = {hour for hour, rows in hours.items() if rows > most}
    if not full:
        return 0
    hashes: dict[str, list[bytes]] = {hour: [] for hour in full}
    for row_id, time, _ in _rows(staged):
        if time[:HOUR] in full:
            hashes[time[:HOUR]].append(_hash(row_id))
    last = {hour: sorted(found)[most - 1] for hour, found in hashes.items()}
    kept = staged.with_suffix(".kept")
    dropped = 0
    with kept.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row_id, time, cells in _rows(staged):
            if time[:HOUR] in full and _hash(row_id) > last[time[:HOUR]]:
                dropped += 1
            else:
                writer.writerow(cells)
    kept.replace(staged)
    return dropped


def _rows(staged: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give id, time and all cells of each row."""
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    with staged.open(encoding="utf-8", newline="") as stream:
        for cells in csv.reader(stream):
            _, row_id, time, _ = cells[-CELLS:]
            yield row_id, time, cells


def _hash(row_id: str) -> bytes:
    return hashlib.blake2b(row_id.encode(), digest_size=16).digest()
