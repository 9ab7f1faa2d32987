"""Every kind of refusal: a code of the closed list, the place, the remedy, and the bytes kept as received."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from driftwheel.aws.objects import Objects
from driftwheel.dataset import DataFile, Inputs, Prepared, prepare
from driftwheel.ledger.objects import Delivered
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from driftwheel.refusal import Refusal
from driftwheel.run import Run
from driftwheel.sources.refusal import CODES
from driftwheel.spec import ModelSpec
from driftwheel.steps.data_arrival import set_aside
from tests.bench import ledger_table

ROOT = Path(__file__).parents[2]
SPEC: dict[str, Any] = {
    "model": "parcels",
    "source": {"prefix": "data/parcels/", "key": ["id"]},
    "columns": {
        "id": {"type": "category", "feature": False},
        "depot": {"type": "category"},
        "weight": {"type": "number"},
        "late": {"type": "boolean", "feature": False},
    },
    "target": {"column": "late"},
    "split": {"by": "key"},
    "quality": {"minimum_rows": 20, "minimum_class_rows": 3},
}
HEADER = b"id,depot,weight,late\n"


def table(rows: int, *, late: object = None, weight: object = None, start: int = 0) -> bytes:
    lines = [
        f"p{n},N,{n % 50 if weight is None else weight},{n % 3 == 0 if late is None else late}\n"
        for n in range(start, start + rows)
    ]
    return HEADER + "".join(lines).encode()


GOOD, MORE = table(100), table(100, start=1_000)


def made(folder: Path, bodies: dict[str, bytes], **changes: Any) -> Prepared:
    out = folder / "out"
    out.mkdir()
    files = []
    for name, body in bodies.items():
        path = folder / name
        path.write_bytes(body)
        files.append(DataFile("source", f"data/parcels/{name}", path))
    return prepare(ModelSpec.model_validate(SPEC | changes), Inputs(files=files), out, memory_mb=400)


def refused(folder: Path, body: bytes, name: str = "bad.csv", **changes: Any) -> Refusal:
    """Prepare a good file and a bad one: the bad one alone is refused, by name and with a remedy."""
    found = made(folder, {"a.csv": GOOD, name: body}, **changes)
    assert found.outcome == "ready", found.problem
    [(key, refusal)] = found.refused
    assert key == refusal.key == f"data/parcels/{name}"
    assert refusal.code in CODES
    assert refusal.hint
    return refusal


@pytest.mark.case("DA-02")
@pytest.mark.parametrize("rows", [1, 19])
def test_fewer_rows_than_the_minimum_are_told_with_both_numbers(tmp_path: Path, rows: int) -> None:
    found = made(tmp_path, {"a.csv": table(rows)})

    assert (found.outcome, found.refused) == ("refused", [])
    assert found.problem is not None
    assert found.problem.code == "too-few-rows"
    assert f"{rows} usable rows, 20 are needed" in found.problem.message


@pytest.mark.case("DA-03")
def test_too_few_rows_of_one_class_refuse_the_data_set_with_the_number(tmp_path: Path) -> None:
    found = made(tmp_path, {"a.csv": table(60, late=False) + table(2, late=True, start=900)[len(HEADER) :]})

    assert (found.outcome, found.refused) == ("refused", [])
    assert found.problem is not None
    assert (found.problem.code, found.problem.column) == ("too-few-rows", "late")
    assert "2 of 62 rows have the label 1, 3 of each class are needed" in found.problem.message


@pytest.mark.case("DA-04")
def test_a_renamed_label_column_is_named_with_its_likeliest_new_name(tmp_path: Path) -> None:
    refusal = refused(tmp_path, MORE.replace(b"late", b"latte", 1))

    assert (refusal.code, refusal.column, refusal.line) == ("label-missing", "late", 1)
    assert "'latte'" in str(refusal.hint)


@pytest.mark.case("DA-04")
def test_a_file_without_any_label_is_refused(tmp_path: Path) -> None:
    refusal = refused(tmp_path, table(100, late="", start=1_000))

    assert (refusal.code, refusal.column) == ("label-missing", "late")


@pytest.mark.case("DA-05")
def test_added_and_reordered_columns_change_nothing(tmp_path: Path) -> None:
    rows = [line.split(b",") for line in MORE.splitlines()]
    other = b"\n".join(b",".join([late, b"new", weight, depot, key]) for key, depot, weight, late in rows)

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    plain = made(tmp_path / "one", {"a.csv": GOOD, "b.csv": MORE})
    shuffled = made(tmp_path / "two", {"a.csv": GOOD, "b.csv": other + b"\n"})

    assert (shuffled.refused, shuffled.data_digest) == ([], plain.data_digest)
    found = json.loads((tmp_path / "two" / "out" / "profile.json").read_text(encoding="utf-8"))
    assert "data/parcels/b.csv has column 'new' that model.yaml does not declare: left out" in found["notes"]


@pytest.mark.case("DA-07")
def test_an_encoding_that_changes_halfway_is_named_by_line_and_byte(tmp_path: Path) -> None:
    lines = MORE.splitlines(keepends=True)
    lines[50] = "p9999,Tromsø,1,true\n".encode("latin-1")
    place = sum(map(len, lines[:50])) + len("p9999,Troms")

    refusal = refused(tmp_path, b"".join(lines))

    assert (refusal.code, refusal.line) == ("encoding", 51)
    assert f"byte offset {place}" in refusal.message


@pytest.mark.case("DA-09")
def test_a_file_of_ragged_lines_is_refused_with_the_first_of_them(tmp_path: Path) -> None:
    lines = MORE.splitlines(keepends=True)
    lines[10:60] = [b"p1,N,3\n"] * 25 + [b"p1,N,3,true,5\n"] * 25

    refusal = refused(tmp_path, b"".join(lines))

    assert (refusal.code, refusal.line) == ("too-many-rejected", 11)
    assert "50 of 100 rows" in refusal.message


@pytest.mark.case("DA-15")
def test_a_copy_of_the_label_is_named_as_suspected_leakage(tmp_path: Path) -> None:
    leak = {"after": {"type": "number"}}
    body = b"\n".join(
        line + (b",after" if n == 0 else b",1" if line.endswith(b"True") else b",0")
        for n, line in enumerate(GOOD.splitlines())
    )

    found = made(tmp_path, {"a.csv": body + b"\n"}, columns=SPEC["columns"] | leak)

    assert found.leakage == ["after"]


def parquet() -> bytes:
    sink = io.BytesIO()
    columns = {"id": [f"p{n}" for n in range(500)], "depot": ["N"] * 500, "weight": list(range(500))}
    pq.write_table(pa.table(columns | {"late": [n % 3 == 0 for n in range(500)]}), sink)
    return sink.getvalue()


PARQUET = parquet()
DAMAGED = {
    "cut in the middle": (PARQUET[: len(PARQUET) // 2], "corrupt"),
    "cut before the footer": (PARQUET[:-8], "corrupt"),
    "footer longer than the file": (PARQUET[:-8] + (1 << 30).to_bytes(4, "little") + b"PAR1", "corrupt"),
    "footer of nothing": (PARQUET[:-8] + bytes(4) + b"PAR1", "corrupt"),
    "wrong magic at the end": (PARQUET[:-4] + b"PAR2", "corrupt"),
    "wrong magic at the start": (b"PAR2" + PARQUET[4:], "format-mismatch"),
    "pages overwritten": (PARQUET[:40] + bytes(len(PARQUET) - 1_200) + PARQUET[-1_160:], "corrupt"),
    "CSV by the name of Parquet": (GOOD, "format-mismatch"),
}


@pytest.mark.case("DA-19")
@pytest.mark.parametrize(("body", "code"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_parquet_is_refused_never_a_crash(tmp_path: Path, body: bytes, code: str) -> None:
    source = SPEC["source"] | {"format": "parquet"}

    found = made(tmp_path, {"bad.parquet": body}, source=source)

    [(key, refusal)] = found.refused
    assert (key, refusal.code) == ("data/parcels/bad.parquet", code)
    assert refusal.hint


@pytest.mark.case("DA-10")
def test_a_column_that_stands_twice_in_parquet_is_named(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(
        pa.table([[f"p{n}" for n in range(50)], [1] * 50, [2] * 50], ["id", "weight", "weight"]), sink
    )

    found = made(tmp_path, {"bad.parquet": sink.getvalue()}, source=SPEC["source"] | {"format": "parquet"})

    [(_, refusal)] = found.refused
    assert (refusal.code, refusal.column) == ("duplicate-column", "weight")


@pytest.mark.case("DA-19")
@pytest.mark.parametrize(
    "body", [GOOD, GOOD.replace(b",", b";"), b"\xef\xbb\xbf" + GOOD, gzip.compress(GOOD)]
)
def test_csv_where_json_lines_are_declared_is_told_apart(tmp_path: Path, body: bytes) -> None:
    found = made(tmp_path, {"bad.jsonl": body}, source=SPEC["source"] | {"format": "jsonl"})

    [(_, refusal)] = found.refused
    assert (refusal.code, refusal.line) == ("format-mismatch", 1)
    assert "is CSV; model.yaml declares jsonl" in refusal.message


RECEIVED = {
    "utf-16": GOOD.decode().encode("utf-16"),
    "nul": GOOD.replace(b"N", b"\0"),
    "crlf": GOOD.replace(b"\n", b"\r\n"),
    "gzip bomb": gzip.compress(b"0," * (1 << 20), 9),
    "half a parquet": DAMAGED["cut in the middle"][0],
    "unclosed quote": GOOD + b'"',
    "not text": bytes(range(256)),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    event = json.loads((ROOT / "events" / "data_arrival.json").read_text(encoding="utf-8"))
    with mock_aws():
        yield Run.model_validate(event)


@pytest.mark.case("DA-07")
@pytest.mark.parametrize("body", RECEIVED.values(), ids=RECEIVED)
def test_quarantined_bytes_are_the_received_ones_also_after_the_key_was_overwritten(
    run: Run, body: bytes
) -> None:
    s3, key = boto3.client("s3"), "data/flights/ø +%2B.csv"
    for bucket in ("landing", "artifacts"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    answer = s3.put_object(Bucket="landing", Key=key, Body=body)
    s3.put_object(Bucket="landing", Key=key, Body=b"another")
    ledger = ObjectLedger(Table(ledger_table.create()))
    entry: dict[str, Any] = {"role": "source", "bucket": "landing", "key": key}
    entry |= {"version": answer["VersionId"], "etag": answer["ETag"].strip('"'), "size": len(body)}
    ledger.deliver(Delivered(model=run.model, sequencer="01", received="now", **entry))

    refusal = Refusal(code="encoding", message="not UTF-8", key=key)
    set_aside(run, entry, refusal, Objects(s3), ledger, "artifacts")

    [listed] = s3.list_objects_v2(Bucket="artifacts", Prefix="quarantine/")["Contents"]
    assert s3.get_object(Bucket="artifacts", Key=listed["Key"])["Body"].read() == body
    [row] = ledger.of_model(run.model)
    assert (row.state, row.run_id, row.reason) == ("quarantined", run.run_id, "encoding: not UTF-8")
