"""Captured traffic: SageMaker's data-capture JSONL, as columns, scores and row ids.

One line is one request: ``captureData.endpointInput`` and ``endpointOutput``, each ``data`` under its
``encoding`` (CSV, JSON or BASE64, which decides, never the content type), and ``eventMetadata``.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture.html
"""

import base64
import binascii
import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from driftwheel.recipe.row import FieldError, RowRecipe

BATCH_ROWS = 20_000
"""Rows held at once: some 20 MB of Python values for a dozen columns."""

EXAMPLES = 5

INVALID = math.inf
"""Stands in a number column for a value that is no number: a summary counts it as invalid."""


class Malformed(ValueError):
    """When a line or a request in it cannot be read; it is counted and passed over."""


class _Side(msgspec.Struct):
    data: str = ""
    encoding: str = ""
    observedContentType: str | None = None  # noqa: N815  # SageMaker's name


class _Data(msgspec.Struct):
    endpointInput: _Side | None = None  # noqa: N815
    endpointOutput: _Side | None = None  # noqa: N815


class _Metadata(msgspec.Struct):
    eventId: str = ""  # noqa: N815
    inferenceId: str | None = None  # noqa: N815
    inferenceTime: str = ""  # noqa: N815


class _Capture(msgspec.Struct):
    captureData: _Data  # noqa: N815
    eventMetadata: _Metadata  # noqa: N815


_DECODE = msgspec.json.Decoder(_Capture).decode


@dataclass
class Batch:
    """Rows of captured requests, cleaned as the model cleans them; a score that was not captured is None."""

    columns: dict[str, list[Any]]
    scores: list[float | None] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, known: Mapping[str, float]) -> list[float | None]:
        """Look the rows' labels up by id; a request of one row may be labelled with or without its ``/0``."""
        return [_label(known, row_id) for row_id in self.ids]


@dataclass
class CaptureReader:
    """Reads files of captured traffic one after the other and counts what it met.

    ``malformed`` counts lines by reason, ``examples`` quotes the first few places; ``refused`` are rows
    without a required value. ``columns`` are the ones collected: by default what the model reads.
    """

    recipe: RowRecipe
    columns: Sequence[str] | None = None
    lines: int = 0
    rows: int = 0
    refused: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def read(
        self, chunks: Iterable[bytes], name: str = "capture", *, since: str = "", until: str = ""
    ) -> Iterator[Batch]:
        """Give the rows of one file, ``BATCH_ROWS`` at a time.

        ``since`` and ``until`` (exclusive) keep requests by their ``inferenceTime``, all in ISO 8601 with Z.
        """
        batch = self._empty()
        for number, line in enumerate(lines_of(chunks), 1):
            if not line.strip():
                continue
            self.lines += 1
            try:
                capture = _decode(line)
                time = capture.eventMetadata.inferenceTime
                if (since and time < since) or (until and time >= until):
                    continue
                self._take(capture, batch)
            except Malformed as error:
                self.malformed[str(error)] += 1
                if len(self.examples) < EXAMPLES:
                    self.examples.append(f"{name} line {number}: {error}")
            if len(batch) >= BATCH_ROWS:
                yield batch
                batch = self._empty()
        if len(batch):
            yield batch

    def _empty(self) -> Batch:
        return Batch({name: [] for name in self.columns or self.recipe.inputs})

    def _take(self, capture: _Capture, batch: Batch) -> None:
        given = capture.captureData.endpointInput
        if given is None:
            raise Malformed("no endpointInput: capture both input and output")
        records, single = _records(given, self.recipe.inputs)
        answered = capture.captureData.endpointOutput
        scores: list[float | None] = [None] * len(records) if answered is None else [*_scores(answered)]
        if len(scores) != len(records):
            raise Malformed("as many scores as rows were expected")
        metadata = capture.eventMetadata
        request = metadata.inferenceId or metadata.eventId
        for index, (record, score) in enumerate(zip(records, scores, strict=True)):
            cleaned = self._clean(record)
            if cleaned is None:
                self.refused += 1
                continue
            for name, column in batch.columns.items():
                column.append(cleaned[name])
            batch.scores.append(score)
            batch.ids.append(request if single else f"{request}/{index}")
            batch.times.append(metadata.inferenceTime)
            self.rows += 1

    def _clean(self, record: Mapping[str, object]) -> dict[str, Any] | None:
        """Clean as the model does: mark a value of the wrong type, refuse a row without a required one."""
        try:
            return self.recipe.clean(record)
        except FieldError as error:
            repaired, wrong = dict(record), [error.field]
        while True:
            if repaired.get(wrong[-1]) is None:
                return None
            repaired[wrong[-1]] = None
            try:
                cleaned = self.recipe.clean(repaired)
            except FieldError as error:
                wrong.append(error.field)
                continue
            numeric = {"number", "integer"}
            marks = {name: INVALID for name in wrong if self.recipe.column_types[name] in numeric}
            return cleaned | marks


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into lines, whatever its chunks."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _decode(line: bytes) -> _Capture:
    try:
        return _DECODE(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed("not a data-capture record") from error


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


def _label(known: Mapping[str, float], row_id: str) -> float | None:
    label = known.get(row_id)
    if label is None and row_id.endswith("/0"):
        return known.get(row_id.removesuffix("/0"))
    return known.get(f"{row_id}/0") if label is None and "/" not in row_id else label
