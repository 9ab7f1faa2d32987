"""Where each record of a CSV file begins: a record is no line where lines are blank or quotes span them."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from driftwheel.recipe.literals import quote
from driftwheel.sources.file import SourceFile
from driftwheel.sources.refusal import Unreadable

LONGEST_LINE = 1 << 20
CHUNK = 1 << 20
BLANK_BEFORE_MORE = re.compile(rb"\n\n+[^\n]")
MOVED = "driftwheel_moved"


class Lines(NamedTuple):
    """What the lines of a file are to its records.

    ``plain``: every record is one line and every line a record, but for blank lines at the end. ``unquoted``
    counts the records of a plain file that holds no quote; 0 of any other.
    """

    plain: bool
    unquoted: int = 0


class Records(NamedTuple):
    """Whether ``driftwheel_moved`` has rows; how many rows there are where every line is one, 0 elsewhere."""

    moved: bool
    rows: int = 0


def check_records(connection: Any, file: SourceFile, plain: Path, delimiter: str, fields: int) -> Records:
    """Write the table ``driftwheel_moved`` and tell what the records are; raises Unreadable: parse-error.

    From record ``record`` on (the header is 1) a record begins ``shift`` lines below its number; ``blanks``
    of them are blank lines, which DuckDB counts, unlike the lines inside quotes. In a plain file the table is
    empty: only where a line's quotes are odd in number, or blank lines stand between others, Python's reader
    goes over the file. It is slower, but knows where each record began, and finds a quote that is never
    closed, behind which DuckDB would silently drop the rows.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {MOVED} (record BIGINT, shift BIGINT, blanks BIGINT)")
    lines = survey(plain)
    if lines.plain:
        return Records(moved=False, rows=max(lines.unquoted - 1, 0))
    staged = plain.with_name(f"{plain.name}.moved")
    try:
        with plain.open("rb") as stream, staged.open("w", encoding="ascii") as out:
            rows = 0
            for row in moves(file, stream, delimiter, fields):
                out.write(",".join(map(str, row)) + "\n")
                rows += 1
        connection.execute(
            f"COPY {MOVED} FROM {quote(str(staged))} (FORMAT csv, HEADER false, AUTO_DETECT false)"
        )
    finally:
        staged.unlink(missing_ok=True)
    return Records(moved=rows > 0)


def lines_of(file: SourceFile, stream: BinaryIO) -> Iterator[str]:
    """Give the lines of a file as text, for Python's reader.

    The caller opens the file: a generator that did so would keep it open after a refusal half way.
    """
    csv.field_size_limit(LONGEST_LINE)  # an unclosed quote must not swallow the rest of a large file
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE and number == 1:
            raise Unreadable(
                "line-too-long",
                f"{file.key}: the header is longer than {LONGEST_LINE} bytes",
                key=file.key,
                line=1,
                hint="is this a text file with one record a line?",
            )
        yield line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")


def survey(plain: Path) -> Lines:
    """Look at every byte of a file once, at its lines only where it holds quotes."""
    held, quoted, breaks, last = b"", False, 0, 0
    with plain.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            quoted = quoted or b'"' in chunk
            piece = held + chunk
            # rfind: three times as fast as `in` for two bytes.
            if piece.rfind(b"\n\n") >= 0 and BLANK_BEFORE_MORE.search(piece):
                return Lines(plain=False)
            held = b"\n\n" if piece.endswith(b"\n\n") else piece[-1:]
            breaks += chunk.count(b"\n")
            ending = len(chunk) - len(chunk.rstrip(b"\n"))
            last = last + ending if ending == len(chunk) else ending
        if not quoted:
            return Lines(plain=True, unquoted=breaks - last + 1)
        stream.seek(0)
        return Lines(plain=not any(line.count(b'"') % 2 for line in stream))


def moves(file: SourceFile, stream: BinaryIO, delimiter: str, fields: int) -> Iterator[tuple[int, int, int]]:
    """Give record, shift and blanks wherever they change; a record of several lines must be whole."""
    reader = csv.reader(lines_of(file, stream), delimiter=delimiter, strict=True)
    number = last = blanks = shift = 0
    while True:
        record, broken, unclosed = [""], False, False
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken, unclosed = True, "end of data" in str(error)
        spans = reader.line_num - last
        if unclosed or (spans > 1 and (broken or len(record) != fields)):
            raise Unreadable(
                "parse-error",
                f"{file.key} line {last + 1}: a quote is opened and not closed before line {reader.line_num}",
                key=file.key,
                line=last + 1,
                hint='close it, or write a quote inside a field as ""',
            )
        # A broken record of one line is a bad line, which DuckDB counts. A blank line is a record of a file
        # of one column, and nothing in any other.
        if record or fields == 1:
            number += 1
            if last + 1 - number != shift:
                shift = last + 1 - number
                yield number, shift, blanks
        else:
            blanks += 1
        last = reader.line_num
