"""Files that cannot be used, each dropped beside a good one into a world that really reads them (DA)."""

import io
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from driftwheel.run import Run
from driftwheel.steps import preprocessing
from tests.bench.world import ARTIFACTS, SPEC, World

from .failures import ACTIVE, dropped, ended


class Reading(World):
    """A world whose preprocessing is the shipped step; what follows it is stood in for as ever."""

    planted = b""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.declaration = SPEC.replace("key: [id]", f"key: [id], format: {kind}")

    def _preprocessing(self, payload: Any) -> Any:
        run = Run.model_validate(payload)
        with TemporaryDirectory() as folder:
            place = preprocessing.Place(ARTIFACTS, Path(folder), 300)
            section = preprocessing.preprocess(run, self.objects, preprocessing.Ledger.of(self.table), place)
        return section.model_dump(mode="json", exclude_none=True)


def rows(first: int, last: int, late: object = None) -> list[dict[str, Any]]:
    return [
        {"id": f"p{n}", "late": n % 3 == 0 if late is None else late, "w": n % 40} for n in range(first, last)
    ]


def csv(lines: list[dict[str, Any]], separator: str = ",") -> bytes:
    text = [separator.join(lines[0]), *(separator.join(map(str, line.values())) for line in lines)]
    return "\n".join([*text, ""]).encode()


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def parquet(lines: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(lines), sink)
    return sink.getvalue()


FORMATS = {"csv": csv, "jsonl": jsonl, "parquet": parquet}
MORE = rows(400, 800)
WIDE = [line | {f"c{n}": 0 for n in range(10_001)} for line in MORE[:2]]

BESIDE: dict[str, tuple[str, str, bytes]] = {
    "a file of no bytes": ("DA-01", "csv", b""),
    "a file of a header alone": ("DA-02", "csv", csv(MORE[:1]).splitlines(keepends=True)[0]),
    "a file whose rows have no label": ("DA-04", "csv", csv(rows(400, 800, late=""))),
    "a file whose label column has another name": ("DA-04", "csv", csv(MORE).replace(b"late", b"latte", 1)),
    "a file without a declared column": ("DA-05", "csv", csv(MORE).replace(b",w\n", b",v\n", 1)),
    "a file in UTF-16": ("DA-07", "csv", csv(MORE).decode().encode("utf-16")),
    "a file whose last quote is not closed": ("DA-08", "csv", csv(MORE) + b'p9,"True,1\n' + csv(MORE)),
    "a file of ragged lines": ("DA-09", "csv", csv(MORE).replace(b",True,", b",")),
    "a file with another delimiter": ("DA-09", "csv", csv(MORE, ";")),
    "a file that names a column twice": ("DA-10", "csv", csv(MORE).replace(b"late,w", b"late,late", 1)),
    "a file of ten thousand columns": ("DA-16", "csv", csv(WIDE)),
    "a Parquet file that was cut off": ("DA-19", "parquet", parquet(MORE)[:-500]),
    "CSV where Parquet is declared": ("DA-19", "parquet", csv(MORE)),
    "JSON that nests without end": ("DA-21", "jsonl", jsonl(MORE) + b"[" * 100_000 + b"\n"),
    "lines that are no JSON": ("DA-21", "jsonl", jsonl(MORE[:200]) + b"{\n" * 200),
}
"""What is dropped beside a good file: the case, the declared format, the bytes."""

ALONE: dict[str, tuple[str, bytes]] = {
    "fewer rows than the minimum": ("DA-02", csv(rows(0, 5))),
    "all labels of one class": ("DA-03", csv(rows(0, 400, late=False))),
}

NO_FAILURE = {
    "DA-06": "read like any other",
    "DA-11": "counted in the profile, and a row refused by rule is kept aside",
    "DA-12": "as DA-11",
    "DA-13": "one country; values that are not declared are a note on the run's page",
    "DA-14": "rows are taken once",
    "DA-15": "its model waits for a person: as an approval",
    "DA-17": "as DA-16: refused by its code; the bytes are too many for a test of words",
    "DA-18": "as DA-17",
    "DA-22": "a note on the run's page",
    "DA-23": "its model waits for a person: as an approval",
    "DA-24": "its challenger is rejected: as a challenger that is worse",
}
"""Cases of group DA in which no file is set aside, and why."""


def beside(kind: str, body: bytes) -> World:
    world = ended(dropped(Reading(kind), f"a.{kind}", body=FORMATS[kind](rows(0, 400))))
    return ended(dropped(world, f"b.{kind}", body=body))


def alone(body: bytes) -> World:
    return ended(dropped(Reading("csv"), body=body))


ACTIVE.update({name: ((case,), partial(beside, kind, body)) for name, (case, kind, body) in BESIDE.items()})
ACTIVE.update({name: ((case,), partial(alone, body)) for name, (case, body) in ALONE.items()})
