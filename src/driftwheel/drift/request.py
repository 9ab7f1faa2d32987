"""One captured request: a line of SageMaker's data-capture JSONL, as records and scores.

Its encoding (CSV, JSON or BASE64) decides how data is read, never the content type.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture.html
"""

import base64
import binascii
import csv
import io
import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec

_NOT_PLAIN = '"\r{['
"""What quoted cells, other ends of lines and JSON begin with."""

LONGEST_CELL = 100_000
"""Characters; csv takes no longer ones."""


class Malformed(ValueError):
    """When a line or a request in it cannot be read; it is counted and passed over."""


class _Side(msgspec.Struct, gc=False):
    data: str = ""
    encoding: str = ""


class _Data(msgspec.Struct, gc=False):
    endpointInput: _Side | None = None  # noqa: N815  # SageMaker's name
    endpointOutput: _Side | None = None  # noqa: N815


class _Metadata(msgspec.Struct, gc=False):
    eventId: str = ""  # noqa: N815
    inferenceId: str | None = None  # noqa: N815
    inferenceTime: str = ""  # noqa: N815


class Capture(msgspec.Struct, gc=False):
    """A line: what was asked and answered, and when."""

    captureData: _Data  # noqa: N815
    eventMetadata: _Metadata  # noqa: N815


Entry = Capture | Malformed | None

_DECODER = msgspec.json.Decoder(Capture)


def decoded(block: bytes) -> list[Entry]:
    """Decode every line of a block: a capture, None for a blank line, or why it is none."""
    try:
        captures = _DECODER.decode_lines(block)
    except (msgspec.DecodeError, UnicodeDecodeError):
        captures = []
    # Fewer captures than lines: some are blank, or one capture is spread over lines, which makes none.
    return [*captures] if len(captures) == block.count(b"\n") + 1 else list(map(_decode, block.split(b"\n")))


def _decode(line: bytes) -> Entry:
    if not line.strip():
        return None
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Malformed("not a data-capture record")


def within(capture: Capture, since: str, until: str) -> bool:
    """Say whether a request was made in a window; ``until`` is exclusive, empty bounds are none."""
    time = capture.eventMetadata.inferenceTime
    return not ((since and time < since) or (until and time >= until))


def alike(captures: Sequence[Capture], inputs: list[str]) -> tuple[list[str], list[float]] | None:
    """Give texts and scores, when every request is one plain row of CSV and was answered with one.

    None when any is not, or cannot be read: then ``rows_of`` says what each of them holds.
    """
    data = [capture.captureData for capture in captures]
    given = [one.endpointInput for one in data if one.endpointInput]
    answered = [one.endpointOutput for one in data if one.endpointOutput]
    if not len(data) == len(given) == len(answered):
        return None
    try:
        texts, scores = _plain(_texts(given), inputs), list(map(float, _texts(answered)))
    except (Malformed, ValueError):
        return None
    return (texts, scores) if texts is not None and all(map(math.isfinite, scores)) else None


def rows_of(capture: Capture, inputs: list[str]) -> tuple[list[dict[str, Any]], list[float | None], bool]:
    """Give the records of a request, their scores, and whether it was one plain object; raises Malformed."""
    given, answered = capture.captureData.endpointInput, capture.captureData.endpointOutput
    if given is None:
        raise Malformed("no endpointInput: capture both input and output")
    records, single = _records(given, inputs)
    scores: list[float | None] = [None] * len(records) if answered is None else [*_scores(answered)]
    if len(scores) != len(records):
        raise Malformed("as many scores as rows were expected")
    return records, scores, single


def cut(texts: list[str], names: Sequence[str]) -> dict[str, Sequence[Any]] | None:
    """Cut plain rows into columns; None when any has more or fewer cells."""
    if set(map(str.count, texts, repeat(","))) != {len(names) - 1}:
        return None
    cells = "\n".join(texts).replace("\n", ",").split(",")
    return {name: cells[n :: len(names)] for n, name in enumerate(names)}


def _plain(texts: list[str], inputs: list[str]) -> list[str] | None:
    """Give texts of one plain row each, without its end; None when any is more, quoted or a header."""
    joined = "\n".join(texts)
    if joined.count("\n") >= len(texts):
        texts = [text.removesuffix("\n") for text in texts]
        joined = "\n".join(texts)
    plain = joined.count("\n") == len(texts) - 1 and not any(sign in joined for sign in _NOT_PLAIN)
    if not plain or max(map(len, texts)) > LONGEST_CELL or "" in texts or ",".join(inputs) in texts:
        return None
    return texts


def _text(side: _Side) -> str:
    match side.encoding.upper():
        case "CSV" | "JSON":
            return side.data
        case "BASE64":
            try:
                return base64.b64decode(side.data, validate=True).decode("utf-8-sig")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise Malformed("BASE64 data that is not UTF-8 text") from error
        case _:
            raise Malformed("encoding is none of CSV, JSON, BASE64")


def _texts(sides: list[_Side]) -> list[str]:
    """Give the texts of many; raises Malformed when one may be JSON."""
    encodings = {side.encoding for side in sides}
    if encodings == {"CSV"}:
        return [side.data for side in sides]
    if encodings == {"BASE64"}:
        return list(map(_text, sides))
    raise Malformed("not all CSV")


def _is_json(side: _Side, text: str) -> bool:
    """Tell JSON from CSV: the encoding says it, except in BASE64, where the first character does."""
    return side.encoding.upper() == "JSON" or (
        side.encoding.upper() == "BASE64" and text.lstrip()[:1] in {"{", "["}
    )


def _records(side: _Side, inputs: list[str]) -> tuple[list[dict[str, Any]], bool]:
    """Give the records of a request and whether it was one plain object (whose row id has no suffix)."""
    text = _text(side)
    if not _is_json(side, text):
        return _csv_records(text, inputs), False
    document, single = _json(text), False
    if isinstance(document, dict) and document.keys() == {"records"}:
        document = document["records"]
    elif isinstance(document, dict):
        document, single = [document["record"] if document.keys() == {"record"} else document], True
    if not isinstance(document, list) or not all(isinstance(record, dict) for record in document):
        raise Malformed("input is not one record or a list of records")
    return document, single


def _csv_records(text: str, inputs: list[str]) -> list[dict[str, Any]]:
    rows = _csv(text)
    if rows and rows[0] == inputs:
        rows = rows[1:]
    if any(len(row) != len(inputs) for row in rows):
        raise Malformed("a CSV row has another number of cells than the model has inputs")
    return [dict(zip(inputs, row, strict=True)) for row in rows]


def _scores(side: _Side) -> list[float]:
    """Give the scores of ``{"predictions": [{"score": s}]}``, plain numbers, or CSV, first cell."""
    text = _text(side)
    found: Any
    if _is_json(side, text):
        found = _json(text)
        found = found.get("predictions", [found]) if isinstance(found, dict) else found
        found = found if isinstance(found, list) else [found]
        found = [score.get("score") if isinstance(score, dict) else score for score in found]
    else:
        found = [row[0] for row in _csv(text)]
    try:
        scores = [float(score) for score in found]
    except (TypeError, ValueError) as error:
        raise Malformed("output holds no scores") from error
    if not all(map(math.isfinite, scores)):
        raise Malformed("output holds a score that is no number")
    return scores


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Malformed("data is not JSON") from error


def _csv(text: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise Malformed("data is not CSV") from error
