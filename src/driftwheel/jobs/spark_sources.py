"""Files as people drop them, into Spark: read, or refused, as ``driftwheel.sources`` does it for DuckDB.

Text is cut where lines end; each piece is read by Python's readers, wherever Spark runs it: every row keeps
its line. All machines see one disk: the job's instance.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftwheel.dataset.files import Assembled, DataFile, FileFacts
from driftwheel.jobs.spark_parquet import read_parquet
from driftwheel.sources.csv_header import read_header
from driftwheel.sources.csv_records import LONGEST_LINE, moves, survey
from driftwheel.sources.file import KEPT_BAD_LINES, MOST_COLUMNS, BadLine, SourceFile, with_values
from driftwheel.sources.jsonl_file import BadRecord, check_lines, read_record
from driftwheel.sources.refusal import Unreadable, no_rows, too_deep, too_many_fields
from driftwheel.sources.sniff import opened

if TYPE_CHECKING:
    from driftwheel.spec import Enrichment, Source

PIECE = 16 << 20
"""Bytes of a file that one task reads."""

BAD, DEEP = "__bad", "nested too deeply"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Piece:
    """Whole lines of a file: from ``start`` to ``stop`` (bytes), the first of them is line ``line``."""

    path: str
    start: int
    stop: int
    line: int

    def lines(self) -> list[str]:
        """Read the lines, without their ends."""
        with Path(self.path).open("rb") as stream:
            stream.seek(self.start)
            text = stream.read(self.stop - self.start).decode("utf-8-sig" if self.start == 0 else "utf-8")
        return text.removesuffix("\n").split("\n")


@dataclass(frozen=True)
class Reading:
    """How pieces of a file become rows: the wanted columns, ``__file``, ``__line`` and ``__bad``."""

    number: int
    format: str
    wanted: tuple[str, ...]
    header: tuple[str, ...] = ()
    delimiter: str = ","

    def __call__(self, piece: Piece) -> Iterator[Row]:
        """Read one piece."""
        read = _csv_rows if self.format == "csv" else _jsonl_rows
        for line, values, bad in read(self, piece):
            yield (*(values or [None] * len(self.wanted)), self.number, line, bad)


Read = Iterator[tuple[int, Sequence[str | None] | None, str | None]]


def _csv_rows(reading: Reading, piece: Piece) -> Read:
    csv.field_size_limit(LONGEST_LINE)
    header = reading.header
    places = [header.index(name) if name in header else None for name in reading.wanted]
    lines = (f"{line}\n" for line in piece.lines())
    reader = csv.reader(lines, delimiter=reading.delimiter, strict=True)
    if piece.start == 0:
        next(reader)
    last = reader.line_num
    while True:
        record: list[str] | None
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            record = None
        line, last = piece.line + last, reader.line_num
        if record is None:
            yield line, None, "text after a closing quote"
        elif len(record) == len(header):
            yield line, [None if place is None else record[place] or None for place in places], None
        elif not record and len(header) == 1:
            yield line, [None] * len(places), None
        elif record:
            few = "few" if len(record) < len(header) else "many"
            yield line, None, f"too {few} fields (the header has {len(header)})"


def _jsonl_rows(reading: Reading, piece: Piece) -> Read:
    for line, text in enumerate(piece.lines(), piece.line):
        if not text.strip():
            continue
        try:
            _, cells = read_record(text.rstrip(), reading.wanted)
        except (BadRecord, RecursionError) as error:
            yield line, None, str(error) if isinstance(error, BadRecord) else DEEP
        else:
            yield line, cells, None


def read_files(
    session: Any,
    files: Sequence[DataFile],
    shapes: "Mapping[str, Source | Enrichment]",
    columns: Sequence[str],
    kept: ExitStack,
) -> tuple[Assembled, dict[str, Any]]:
    """Read every file; give the facts and one frame for each role.

    A frame has the columns as text, ``__file`` and ``__line``. ``kept`` removes unpacked copies when the rows
    are no longer read.
    """
    found, frames = Assembled(), dict[str, list[Any]]()
    for number, file in enumerate(files):
        facts = found.files[number] = FileFacts(file.role, file.key, file.version)
        source = SourceFile(file.path, file.key, number)
        try:
            plain, _ = kept.enter_context(opened(source, shapes[file.role]))
            frame = KINDS[shapes[file.role].format](session, source, plain, shapes[file.role], columns, facts)
            facts.bad_lines = with_values(plain, facts.bad_lines)
        except Unreadable as error:
            facts.refusal = error.refusal
            continue
        frames.setdefault(file.role, []).append(frame)
    empty = session.createDataFrame([], _schema(columns).removesuffix(f", {BAD} STRING"))
    return found, {role: _united(frames.get(role, [empty])) for role in shapes}


def _united(frames: list[Any]) -> Any:
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.unionByName(frame)
    return whole


def _schema(columns: Sequence[str]) -> str:
    texts = "".join(f"`{name}` STRING, " for name in columns)
    return f"{texts}__file INT, __line BIGINT, {BAD} STRING"


def _pieces(plain: Path, start: int, line: int) -> Iterator[Piece]:
    with plain.open("rb") as stream:
        stream.seek(start)
        while block := stream.read(PIECE):
            block += stream.readline()
            yield Piece(str(plain), start, start + len(block), line)
            start, line = start + len(block), line + block.count(b"\n")


def _text_frame(session: Any, pieces: list[Piece], reading: Reading, facts: FileFacts) -> Any:
    """Make the frame of a text file and note its bad lines."""
    context = session.sparkContext
    rows = context.parallelize(pieces, max(len(pieces), 1)).flatMap(reading)
    frame = session.createDataFrame(rows, _schema(reading.wanted), verifySchema=False).persist()
    counted = frame.selectExpr(f"count_if({BAD} IS NULL)", f"count({BAD})").first()
    facts.rows, facts.bad_line_count = int(counted[0]), int(counted[1])
    if facts.bad_line_count:
        bad = frame.where(f"{BAD} IS NOT NULL").orderBy("__line").limit(KEPT_BAD_LINES)
        facts.bad_lines = tuple(BadLine(row["__line"], row[BAD]) for row in bad.collect())
    return frame.where(f"{BAD} IS NULL").drop(BAD)


def _csv(
    session: Any,
    file: SourceFile,
    plain: Path,
    shape: "Source | Enrichment",
    columns: Sequence[str],
    facts: FileFacts,
) -> Any:
    header = read_header(file, plain, shape.delimiter, columns)
    facts.columns = tuple(header)
    with plain.open("rb") as stream:
        first = len(stream.readline())
    if survey(plain).plain:
        pieces = list(_pieces(plain, first, 2))
    else:  # one reader must see it all; first the whole is checked, as for DuckDB
        with plain.open("rb") as stream:
            for _ in moves(file, stream, shape.delimiter, len(header)):
                pass
        pieces = [Piece(str(plain), 0, plain.stat().st_size, 1)]
    reading = Reading(file.number, "csv", tuple(columns), facts.columns, shape.delimiter)
    frame = _text_frame(session, pieces, reading, facts)
    if not facts.rows and not facts.bad_line_count:
        raise no_rows(file.key, 1)
    return frame


def _jsonl(
    session: Any,
    file: SourceFile,
    plain: Path,
    shape: "Source | Enrichment",
    columns: Sequence[str],
    facts: FileFacts,
) -> Any:
    del shape
    pieces = list(_pieces(plain, 0, 1))
    frame = _text_frame(session, pieces, Reading(file.number, "jsonl", tuple(columns)), facts)
    deep = next((bad.line for bad in facts.bad_lines if bad.reason == DEEP), None)
    if deep is not None:
        raise too_deep(file.key, deep)
    names = session.sparkContext.parallelize(pieces, max(len(pieces), 1)).flatMap(fields_of).distinct()
    facts.columns = tuple(sorted(names.collect()))
    if len(facts.columns) > MOST_COLUMNS:
        raise too_many_fields(file.key, MOST_COLUMNS)
    with plain.open("rb") as stream:
        first = next((line for line in stream if line.strip()), b"")
    check_lines(file, facts.rows, list(facts.bad_lines), list(columns), first)
    return frame


def fields_of(piece: Piece) -> set[str]:
    """Name every field of a piece's records."""
    found: set[str] = set()
    for text in piece.lines():
        if text.strip():
            try:
                names, _ = read_record(text.rstrip(), ())
            except (BadRecord, RecursionError):
                continue
            found.update(names)
    return found


KINDS: Mapping[str, Callable[..., Any]] = {"csv": _csv, "jsonl": _jsonl, "parquet": read_parquet}
