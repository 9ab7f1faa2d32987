"""Requests and answers of an endpoint: what is accepted, what is refused and in which words."""

import csv
import importlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driftwheel.jobs.single import Floats

JSON, CSV = "application/json", "text/csv"

MOST_RECORDS = 10_000

MOST_TEXT = 300
"""Characters of names in an answer."""

Record = dict[str, object]


class _Refused(Exception):
    """The shape of sagemaker_inference.errors.BaseInferenceToolkitError."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        super().__init__(status_code, message, phrase)
        self.status_code, self.message, self.phrase = status_code, message, phrase


def _toolkit_error() -> Any:
    """The class the inference toolkit turns into its status code; our own of the same shape elsewhere."""
    try:
        return importlib.import_module("sagemaker_inference.errors").BaseInferenceToolkitError
    except (ImportError, AttributeError):
        return _Refused


if TYPE_CHECKING:
    _Base = _Refused
else:
    _Base = _toolkit_error()


class RequestRefused(_Base):
    """When a request cannot be answered; ``row`` counts from 0, ``field`` is the column at fault."""

    def __init__(
        self, status_code: int, message: str, *, row: int | None = None, field: str | None = None
    ) -> None:
        places = {"row": row, "field": field}
        where = ", ".join(f"{name} {place}" for name, place in places.items() if place is not None)
        super().__init__(status_code, f"{where}: {message}" if where else message, PHRASES[status_code])
        self.row, self.field = row, field

    def body(self) -> str:
        """The answer's JSON body."""
        return json.dumps({"error": {"message": self.message, "row": self.row, "field": self.field}})


PHRASES = {
    400: "Bad Request",
    406: "Not Acceptable",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}


@dataclass(frozen=True)
class Rows:
    """Rows of a request: records by name (JSON) or cells by position (CSV), which the recipe names later."""

    records: Sequence[Record] = ()
    cells: Sequence[Sequence[str]] = ()

    def named(self, inputs: Sequence[str], required: frozenset[str]) -> Sequence[Record]:
        """Records by name; cells are in the order of ``inputs``, a first row of just these names left out.

        Raises RequestRefused for a record that does not name a field of ``required``, and for a row with
        another number of cells.
        """
        if not self.cells:
            for number, record in enumerate(self.records):
                if not record.keys() >= required:
                    absent = [name for name in inputs if name in required and name not in record]
                    others = f", and so are {', '.join(absent[1:])[:MOST_TEXT]}" if absent[1:] else ""
                    said = f"is absent{others}; send null where a value is missing"
                    raise RequestRefused(400, said, row=number, field=absent[0])
            return self.records
        cells = self.cells[1:] if list(self.cells[0]) == list(inputs) else self.cells
        if not cells:
            raise RequestRefused(400, "there is no row below the header")
        for number, row in enumerate(cells):
            if len(row) != len(inputs):
                raise RequestRefused(
                    400, f"has {len(row)} cells, expected {len(inputs)}: {','.join(inputs)}", row=number
                )
        return [dict(zip(inputs, row, strict=True)) for row in cells]


def parse(body: str | bytes | bytearray, content_type: str) -> Rows:
    """Read a request body; raises RequestRefused (400, 413, 415) in words the caller can act on."""
    kind, *parameters = (part.strip().lower() for part in (content_type or JSON).split(";"))
    if kind not in {JSON, CSV}:
        raise RequestRefused(415, f"content type {kind[:80]!r} is not supported; send {JSON} or {CSV}")
    if any(
        part.startswith("charset=") and part[8:].strip('"') not in {"utf-8", "utf8"} for part in parameters
    ):
        raise RequestRefused(415, "the text must be UTF-8")
    text = _text(body)
    rows = _json_rows(text) if kind == JSON else Rows(cells=_cells(text))
    count = len(rows.records) or len(rows.cells)
    if not count:
        raise RequestRefused(400, "the request holds no record")
    if count > MOST_RECORDS:
        raise RequestRefused(413, f"{count} records at once; send at most {MOST_RECORDS}")
    return rows


def _text(body: str | bytes | bytearray) -> str:
    if isinstance(body, str):
        return body.removeprefix("\ufeff")
    try:
        return bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestRefused(400, f"the body is not UTF-8 text (byte {error.start})") from error


def _json_rows(text: str) -> Rows:
    """Take ``{"records": [...]}``, ``{"record": {...}}``, one plain object, or a list of objects."""
    if not text.strip():
        raise RequestRefused(400, "the body is empty")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestRefused(400, f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, "the body is JSON nobody needs: too deep, or a number too long") from error
    if isinstance(document, dict) and document.keys() == {"records"}:
        document = document["records"]
        if not isinstance(document, list):
            raise RequestRefused(400, '"records" must be a list of objects')
    elif isinstance(document, dict):
        document = [document["record"] if document.keys() == {"record"} else document]
    if not isinstance(document, list):
        raise RequestRefused(400, "the body must be an object, a list of objects, or have records")
    if len(document) > MOST_RECORDS:
        raise RequestRefused(413, f"{len(document)} records at once; send at most {MOST_RECORDS}")
    for number, record in enumerate(document):
        _check_record(number, record)
    return Rows(records=document)


def _check_record(number: int, record: Any) -> None:
    if not isinstance(record, dict):
        raise RequestRefused(400, "a record is an object of named fields", row=number)
    if not record:
        raise RequestRefused(400, "the record has no fields", row=number)
    for name, value in record.items():
        # Python's JSON reader takes NaN and Infinity, and 1e999 for infinity.
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestRefused(
                400, "NaN and Infinity are no numbers; send null for missing", row=number, field=name
            )


def _cells(text: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise RequestRefused(400, f"the body is not CSV: {error}") from error
    while rows and not rows[-1]:
        rows.pop()
    return rows


def answer_type(accept: str) -> str:
    """Choose the answer's type; raises RequestRefused (406) when nothing acceptable can be given.

    >>> answer_type("text/csv;q=0.5, application/json"), answer_type("*/*"), answer_type("text/csv")
    ('application/json', 'application/json', 'text/csv')
    """
    wanted = []
    for position, part in enumerate((accept or "*/*").split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        weight = float(quality) if quality.replace(".", "", 1).isdigit() else 0.0
        wanted.append((-weight, position, name))
    for weight, _, name in sorted(wanted):
        if weight < 0 and name in {JSON, "*/*", "application/*"}:
            return JSON
        if weight < 0 and name in {CSV, "text/*"}:
            return CSV
    raise RequestRefused(406, f"only {JSON} and {CSV} can be answered")


def render(scores: Floats, accept: str) -> tuple[str, str]:
    """Write scores as body and content type; raises RequestRefused (500) rather than send a NaN."""
    kind = answer_type(accept)
    values = scores.tolist()
    if not all(map(math.isfinite, values)):
        raise RequestRefused(500, "the model gave a score that is no number")
    if kind == CSV:
        return "".join(f"{value!r}\n" for value in values), CSV
    return json.dumps({"predictions": [{"score": value} for value in values]}), JSON
