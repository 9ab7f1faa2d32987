"""What a file is by its first bytes, and its content as plain UTF-8 with one kind of line ending."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from driftwheel.sources.file import SourceFile
from driftwheel.sources.refusal import Unreadable

if TYPE_CHECKING:  # Spark's jobs read these files too, without pydantic
    from driftwheel.spec import Enrichment, Source

CHUNK = LONGEST_LINE = 1 << 20
"""A line longer than a chunk holds no line break in one whole chunk at least: that is how it is found."""

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
OTHERS = {
    b"PK\x03\x04": "a zip archive (an .xlsx workbook is one)",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"BZh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
SAVE_AS_UTF8 = "save the file as UTF-8 and drop it again"

ALWAYS_DECODED = 256 << 20
MOST_DECODED = 8 << 30
HIGHEST_RATIO = 200
"""A gzip file may grow to 256 MiB, beyond that to 200 times its size and 8 GiB: /tmp holds 10 GB.

Real tables shrink 5 to 20 times; DEFLATE itself ends at 1,032 times.
"""


@contextmanager
def opened(file: SourceFile, shape: "Source | Enrichment") -> Iterator[tuple[Path, bool]]:
    """Give the path of the file's content, unpacked, and whether it is known to be ASCII.

    Text is UTF-8 whose lines end with a line feed.

    Raises Unreadable: empty-file, format-mismatch, corrupt, decoded-too-large, encoding, line-too-long.
    """
    head = _head(file.path)
    if not head:
        _refuse_empty(file)
    unpacked = file.path.with_name(f"{file.path.name}.unpacked")
    text = file.path.with_name(f"{file.path.name}.text")
    try:
        plain = file.path
        if head.startswith(GZIP):
            plain = _gunzip(file, unpacked)
            head = _head(plain)
            if not head:
                _refuse_empty(file)
        _check_kind(file, shape, head)
        yield (plain, False) if shape.format == "parquet" else _as_text(file, plain, text)
    finally:
        unpacked.unlink(missing_ok=True)
        text.unlink(missing_ok=True)


def _refuse_empty(file: SourceFile) -> NoReturn:
    raise Unreadable(
        "empty-file", f"{file.key} has no bytes", key=file.key, hint="check the export that wrote it"
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _gunzip(file: SourceFile, target: Path) -> Path:
    limit = min(MOST_DECODED, max(ALWAYS_DECODED, HIGHEST_RATIO * file.path.stat().st_size))
    written = 0
    try:
        with gzip.open(file.path) as source, target.open("wb") as out:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > limit:
                    raise Unreadable(
                        "decoded-too-large",
                        f"{file.key} unpacks to more than {limit >> 20} MiB",
                        key=file.key,
                        hint="split the file, or drop it as Parquet",
                    )
                out.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise broken_gzip(file.key, written) from error
    return target


def broken_gzip(key: str, written: int) -> Unreadable:
    """Say that a gzip file is damaged or cut off."""
    return Unreadable(
        "corrupt",
        f"{key} is a gzip file that cannot be unpacked: it breaks off after {written} bytes",
        key=key,
        hint="upload it again; compare its size with the original",
    )


def _check_kind(file: SourceFile, shape: "Source | Enrichment", head: bytes) -> None:
    found = next((name for magic, name in OTHERS.items() if head.startswith(magic)), None)
    if head.startswith(PARQUET) and shape.format != "parquet":
        found = "a Parquet file"
    elif head.startswith(GZIP):
        found = "a gzip file inside a gzip file"
    elif shape.format == "parquet" and not head.startswith(PARQUET):
        found = found or "no Parquet file"
    elif shape.format == "csv" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b'{"', b"[{")):
        found = "JSON"
    elif shape.format == "jsonl" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        found = "one JSON array, not one object a line"
    if found:
        raise Unreadable(
            "format-mismatch",
            f"{file.key} is {found}; model.yaml declares {shape.format}",
            key=file.key,
            hint=f"drop it as {shape.format}, or change the source's format in model.yaml",
        )


def _as_text(file: SourceFile, plain: Path, target: Path) -> tuple[Path, bool]:
    """Check encoding and length of lines in one pass; rewrite the file only when it holds carriage returns.

    What reads lines later on never meets one it could not hold in memory.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line, returns, began, ascii_only = 0, 1, False, 0, True
    with plain.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            if offset == 0:
                _check_mark(file, chunk)
            if not (ascii_only and chunk.isascii()):
                ascii_only = False
                _decode(file, decoder, chunk, offset, line)
            _check_nul(file, chunk, offset, line)
            returns = returns or b"\r" in chunk
            first, last = _breaks(chunk)
            if offset + first - began > LONGEST_LINE:
                _refuse_length(file, line)
            began = offset + last + 1 if last >= 0 else began
            line += chunk.count(b"\n")
            offset += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _refuse_encoding(file, offset, line)
    return _with_newlines(plain, target) if returns else plain, ascii_only


def check_start(file: SourceFile, head: bytes) -> None:
    """Refuse what begins unlike text in UTF-8, before its first line is taken for a header."""
    _check_mark(file, head)
    _check_nul(file, head, 0, 1)
    _decode(file, codecs.getincrementaldecoder("utf-8")(), head, 0, 1)


def _check_nul(file: SourceFile, chunk: bytes, offset: int, line: int) -> None:
    if (nul := chunk.find(b"\0")) >= 0:
        _refuse_encoding(file, offset + nul, line + chunk[:nul].count(b"\n"), "a NUL byte")


def _decode(
    file: SourceFile, decoder: codecs.IncrementalDecoder, chunk: bytes, offset: int, line: int
) -> None:
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        # The decoder may hold back up to three bytes of the chunk before.
        held = len(error.object) - len(chunk)
        place = offset - held + error.start
        _refuse_encoding(file, place, line + chunk[: max(0, error.start - held)].count(b"\n"))


def _breaks(chunk: bytes) -> tuple[int, int]:
    """Find the first and the last line break of a chunk; without one its length and -1."""
    found = [(chunk.find(mark), chunk.rfind(mark)) for mark in (b"\n", b"\r") if mark in chunk]
    return min((first for first, _ in found), default=len(chunk)), max(
        (last for _, last in found), default=-1
    )


def _refuse_length(file: SourceFile, line: int) -> NoReturn:
    which = f"line {line}, the header," if line == 1 else f"line {line}"
    raise Unreadable(
        "line-too-long",
        f"{file.key} {which} is longer than {LONGEST_LINE} bytes",
        key=file.key,
        line=line,
        hint="write one record a line; is this a text file at all?",
    )


def _check_mark(file: SourceFile, chunk: bytes) -> None:
    for mark, name in BYTE_ORDER_MARKS.items():
        if chunk.startswith(mark):
            raise Unreadable(
                "encoding", f"{file.key} is {name}, not UTF-8", key=file.key, line=1, hint=SAVE_AS_UTF8
            )


def _refuse_encoding(
    file: SourceFile, offset: int, line: int, what: str = "a byte that is not UTF-8"
) -> None:
    raise Unreadable(
        "encoding",
        f"{file.key} line {line} holds {what} (byte offset {offset})",
        key=file.key,
        line=line,
        hint=SAVE_AS_UTF8,
    )


def _with_newlines(plain: Path, target: Path) -> Path:
    """Write every line ending as a line feed: DuckDB's strict reader refuses a mixture."""
    held = b""
    with plain.open("rb") as source, target.open("wb") as out:
        while chunk := source.read(CHUNK):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""
            chunk = chunk.removesuffix(b"\r") if held else chunk
            out.write(chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        if held:
            out.write(b"\n")
    return target
