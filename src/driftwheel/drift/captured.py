"""Captured traffic: SageMaker's data-capture JSONL, as columns, scores and row ids.

One line is one request (``request``). Most traffic is alike, and is read a block of lines at once. Fields are
given as they were sent, and without numpy, which preparing a data set has no other use for; ``cleaned`` gives
them as the model sees them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from driftwheel.drift.request import Capture, Entry, Malformed, alike, cut, decoded, rows_of, within

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


Cut = Callable[[list[str], Sequence[str]], Mapping[str, Any] | None]


@dataclass
class CaptureReader:
    """Reads files of captured traffic one after the other and counts what it met.

    ``inputs`` are the columns of a CSV request, in order, ``columns`` the ones collected. ``cut`` cuts plain
    rows into the columns of a batch. ``requests`` counts those asked for, unreadable lines among them;
    ``malformed`` counts lines by reason, ``examples`` quotes the first few places.
    """

    inputs: list[str]
    columns: Sequence[str]
    cut: Cut = cut
    requests: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def read(
        self, chunks: Iterable[bytes], name: str = "capture", *, since: str = "", until: str = ""
    ) -> Iterator[Batch]:
        """Give the rows of one file, some ``BATCH_ROWS`` or ``BLOCK`` bytes at a time.

        ``since`` and ``until`` (exclusive) keep requests by their ``inferenceTime``, all in ISO 8601 with Z.
        """
        batch, number = self._empty(), 0
        for block in blocks_of(chunks):
            entries = decoded(block)
            whole = self._alike(entries, since, until)
            if whole is not None:
                self.requests += len(whole)  # one row each
                entries, number = [], number + len(entries)
                if len(batch):
                    yield batch
                    batch = self._empty()
                if len(whole):
                    yield whole
            for entry in entries:
                number += 1
                self._take(entry, batch, f"{name} line {number}", since, until)
                if len(batch) >= BATCH_ROWS:
                    yield batch
                    batch = self._empty()
        if len(batch):
            yield batch

    def _empty(self) -> Batch:
        return Batch({name: [] for name in self.columns})

    def _alike(self, entries: Sequence[Entry], since: str, until: str) -> Batch | None:
        """Take one plain CSV row and one score of every request; None unless all are such."""
        captures = [entry for entry in entries if isinstance(entry, Capture)]
        if len(captures) < len(entries):
            return None
        if since or until:
            captures = [capture for capture in captures if within(capture, since, until)]
            if not captures:
                return self._empty()
        found = alike(captures, self.inputs)
        if found is None:
            return None
        texts, scores = found
        cells = self.cut(texts, self.inputs)
        if cells is None:
            return None
        columns = {name: cells.get(name) or [None] * len(texts) for name in self.columns}
        metadata = [capture.eventMetadata for capture in captures]
        ids = [f"{one.inferenceId or one.eventId}/0" for one in metadata]
        return Batch(columns, [*scores], ids, [one.inferenceTime for one in metadata])

    def _take(self, entry: Entry, batch: Batch, place: str, since: str, until: str) -> None:
        if entry is None:
            return
        if isinstance(entry, Capture) and not within(entry, since, until):
            return
        self.requests += 1
        try:
            if isinstance(entry, Malformed):
                raise entry
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
        end = chunk.rfind(b"\n") if size >= BLOCK else -1
        if end < 0:
            parts.append(chunk)
            continue
        yield b"".join([*parts, chunk[:end]])
        parts, size = [chunk[end + 1 :]], len(chunk) - end - 1
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
