"""Captured traffic: SageMaker's data-capture JSONL, as columns, scores and row ids.

One line is one request (``request``). Most traffic is alike, and is read a block of lines at once. Fields are
given as they were sent, and without numpy, which preparing a data set has no other use for; ``cleaned`` gives
them as the model sees them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from driftwheel.drift.request import Capture, Entry, Malformed, alike, decoded, rows_of, within

BATCH_ROWS = 20_000
"""Rows held at once: some 20 MB of Python values for a dozen columns."""

BLOCK = 8 << 20
"""Bytes of whole lines read at once."""

EXAMPLES = 5


@dataclass
class Batch:
    """Rows of captured requests; a score that was not captured is None."""

    columns: dict[str, Any]
    scores: list[float | None] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, known: Mapping[str, float]) -> list[float | None]:
        """Look the rows' labels up by id; a request of one row may be labelled with or without its ``/0``."""
        if not known:
            return [None] * len(self)
        return [_label(known, row_id) for row_id in self.ids]


@dataclass
class CaptureReader:
    """Reads files of captured traffic one after the other and counts what it met.

    ``inputs`` are the columns of a CSV request, in order, ``columns`` the ones collected. ``malformed``
    counts lines by reason, ``examples`` quotes the first few places.
    """

    inputs: list[str]
    columns: Sequence[str]
    lines: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def read(
        self, chunks: Iterable[bytes], name: str = "capture", *, since: str = "", until: str = ""
    ) -> Iterator[Batch]:
        """Give the rows of one file, some ``BATCH_ROWS`` at a time.

        ``since`` and ``until`` (exclusive) keep requests by their ``inferenceTime``, all in ISO 8601 with Z.
        """
        batch, number = self._empty(), 0
        for block in blocks_of(chunks):
            entries = decoded(block)
            if self._take_alike(entries, batch, since, until):
                self.lines += len(entries)
                entries, number = [], number + len(entries)
            for entry in entries:
                number += 1
                self._take(entry, batch, f"{name} line {number}", since, until)
                if len(batch) >= BATCH_ROWS:
                    yield batch
                    batch = self._empty()
            if len(batch) >= BATCH_ROWS:
                yield batch
                batch = self._empty()
        if len(batch):
            yield batch

    def _empty(self) -> Batch:
        return Batch({name: [] for name in self.columns})

    def _take_alike(self, entries: Sequence[Entry], batch: Batch, since: str, until: str) -> bool:
        """Take one CSV row and one score of every request; do nothing unless all are such."""
        captures = [entry for entry in entries if isinstance(entry, Capture)]
        if len(captures) < len(entries):
            return False
        if since or until:
            captures = [capture for capture in captures if within(capture, since, until)]
        found = alike(captures, self.inputs)
        if found is None:
            return False
        cells, scores = found
        for name, column in batch.columns.items():
            column.extend(cells.get(name, repeat(None, len(captures))))
        metadata = [capture.eventMetadata for capture in captures]
        batch.scores += scores
        batch.ids += [f"{one.inferenceId or one.eventId}/0" for one in metadata]
        batch.times += [one.inferenceTime for one in metadata]
        return True

    def _take(self, entry: Entry, batch: Batch, place: str, since: str, until: str) -> None:
        if entry is None:
            return
        self.lines += 1
        try:
            if isinstance(entry, Malformed):
                raise entry
            if within(entry, since, until):
                self._take_request(entry, batch)
        except Malformed as error:
            self.malformed[str(error)] += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(f"{place}: {error}")

    def _take_request(self, capture: Capture, batch: Batch) -> None:
        records, scores, single = rows_of(capture, self.inputs)
        metadata = capture.eventMetadata
        request = metadata.inferenceId or metadata.eventId
        for name, column in batch.columns.items():
            column.extend(record.get(name) for record in records)
        batch.scores += scores
        batch.ids += [request] if single else [f"{request}/{index}" for index in range(len(records))]
        batch.times += [metadata.inferenceTime] * len(records)


def blocks_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Put a stream of bytes into blocks of whole lines, whatever its chunks."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        parts.append(chunk)
        if size < BLOCK:
            continue
        whole, end, rest = b"".join(parts).rpartition(b"\n")
        if end:
            yield whole
        parts, size = [rest], len(rest) if end else size
    if size:
        yield b"".join(parts).removesuffix(b"\n")


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into lines, whatever its chunks."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _label(known: Mapping[str, float], row_id: str) -> float | None:
    label = known.get(row_id)
    if label is None and row_id.endswith("/0"):
        return known.get(row_id.removesuffix("/0"))
    return known.get(f"{row_id}/0") if label is None and "/" not in row_id else label
