"""Files as people drop them: the same rows whatever their clothes, and a reason for each one refused."""

import gzip
import io
import json
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.descriptors import still_open

from driftwheel.dataset.duck import DATABASE, KEPT_TOGETHER
from driftwheel.sources import csv_file
from driftwheel.sources.csv_records import Records
from driftwheel.sources.file import BadLine, Loaded, SourceFile
from driftwheel.sources.kinds import load
from driftwheel.sources.refusal import CODES, Unreadable
from driftwheel.spec import Source

WANTED = ["id", "place", "size"]
PLAIN = b"id,place,size\n1,Oslo,2.50\n2,NA,\n"
ROWS = [("1", "Oslo", "2.50", 2), ("2", "NA", None, 3)]
Load = Callable[..., Loaded]


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The database that a data set is made in, with a table of our own."""
    config = {"memory_limit": "300MB", "threads": 2, "max_vacuum_tasks": 0}
    with duckdb.connect(config=config) as connection:
        path = tmp_path_factory.mktemp("database") / "rows.duckdb"
        connection.execute(f"ATTACH '{path}' AS {DATABASE} (ROW_GROUP_SIZE {KEPT_TOGETHER})")
        connection.execute(f"USE {DATABASE}")
        columns = ", ".join(f"{name} VARCHAR" for name in WANTED)
        connection.execute(f"CREATE TABLE source ({columns}, __file INTEGER, __line BIGINT)")
        yield connection


@pytest.fixture
def read(engine: Any, tmp_path: Path) -> Load:
    def call(body: bytes, number: int = 0, **shape: Any) -> Loaded:
        path = tmp_path / f"object-{number}"
        path.write_bytes(body)
        source = Source.model_validate({"prefix": "data/m/", "key": ["id"]} | shape)
        try:
            return load(engine, SourceFile(path, "data/m/a.csv", number), source, WANTED, "source")
        finally:
            assert [p.name for p in tmp_path.iterdir()] == [path.name]
            assert still_open(path) == []  # a refusal holds its frames, and with them what they opened
            path.unlink()

    return call


def rows(engine: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = engine.execute(
        "SELECT id, place, size, __line FROM source ORDER BY __file, __line"
    ).fetchall()
    return found


@pytest.mark.case("DA-06")
@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r"),
        PLAIN.replace(b"\n", b"\r\n", 1),
        PLAIN.removesuffix(b"\n"),
        b'id,place,size\n"1","Oslo","2.50"\n"2","NA",""\n',
        b" id , place,size \n1,Oslo,2.50\n2,NA,\n",
        b"extra,size,place,id\nx,2.50,Oslo,1\ny,,NA,2\n",
        gzip.compress(PLAIN),
    ],
    ids=["plain", "bom", "crlf", "cr", "mixed", "no-end", "quoted", "blanks", "reordered", "gzip"],
)
def test_a_csv_file_gives_the_same_rows_in_all_its_clothes(engine: Any, read: Load, body: bytes) -> None:
    assert read(body).rows == 2
    assert rows(engine) == ROWS


@pytest.mark.case("DA-06")
def test_commas_line_breaks_and_quotes_inside_quotes_belong_to_the_value(engine: Any, read: Load) -> None:
    read(b'id,place,size\n1,"a, ""b""\nc",3\n')

    assert rows(engine) == [("1", 'a, "b"\nc', "3", 2)]


@pytest.mark.case("DA-12")
def test_words_that_other_readers_take_for_missing_stay_words(engine: Any, read: Load) -> None:
    words = ["NULL", "None", "nan", "N/A", "-", "true", "00123", "12345678901234567890"]
    read(("id,place,size\n" + "".join(f"1,{word},0\n" for word in words)).encode())

    assert [row[1] for row in rows(engine)] == words


@pytest.mark.case("DA-09")
def test_ragged_lines_are_passed_over_and_the_others_keep_their_line_numbers(engine: Any, read: Load) -> None:
    loaded = read(b'id,place,size\n1,a,1\n2,b\n3,c,3\n4,d,4,4\n5,e,5\n6,"f"x,6\n7,g,7\n')

    assert [(row[0], row[3]) for row in rows(engine)] == [("1", 2), ("3", 4), ("5", 6), ("7", 8)]
    assert loaded.bad_line_count == 3
    assert loaded.bad_lines == (
        BadLine(3, "too few fields (the header has 3)", "2,b"),
        BadLine(5, "too many fields (the header has 3)", "4,d,4,4"),
        BadLine(7, "text after a closing quote", '6,"f"x,6'),
    )


@pytest.mark.parametrize("bad", [[], [70_000, 70_001, 139_999]], ids=["whole", "bad"])
def test_rows_read_by_many_threads_are_named_by_their_lines(engine: Any, read: Load, bad: list[int]) -> None:
    lines = {line: f"{line},{'Trondheim' * 20},2.50" for line in range(2, 140_002)} | dict.fromkeys(bad, "x")
    for number in (1, 2):
        read(PLAIN, number)
    engine.execute("DELETE FROM source WHERE __file = 1")

    loaded = read("\n".join(["id,place,size", *lines.values(), ""]).encode())  # 27 MB: four threads' shares

    assert (loaded.rows, [line.line for line in loaded.bad_lines]) == (140_000 - len(bad), bad)
    others = (
        "SELECT count(*), count(*) FILTER (WHERE id <> CAST(__line AS VARCHAR)) FROM source WHERE __file = 0"
    )
    assert engine.execute(others).fetchone() == (loaded.rows, 0)


def test_a_file_of_which_threads_lost_a_line_is_read_again_by_one(
    engine: Any, read: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = csv_file.check_records

    def one_more(*arguments: Any) -> Records:
        found = check(*arguments)
        return found._replace(rows=found.rows + 1)

    monkeypatch.setattr(csv_file, "check_records", one_more)

    assert read(PLAIN).rows == 2
    assert rows(engine) == ROWS


@pytest.mark.case("DA-09")
def test_of_a_bad_line_the_first_4096_characters_are_kept(read: Load) -> None:
    long = "ø" * 5_000
    loaded = read(f"id,place,size\r\n1,a,1\r\n{long}\r\n\r\n2,b\r\n".encode())

    assert [(bad.line, bad.value) for bad in loaded.bad_lines] == [(3, "ø" * 4_096), (5, "2,b")]


def test_a_declared_delimiter_is_used(engine: Any, read: Load) -> None:
    read(PLAIN.replace(b",", b";"), delimiter=";")

    assert rows(engine) == ROWS


LINES = {
    "blank lines": (b"id,place,size\n\n1,a,1\n\n\n2,b,2\nx\n3,c,3\n\ny\n4,d,4\n\n\n", [3, 6, 8, 11], [7, 10]),
    "values of two lines": (
        b'id,place,size\n1,"a\n\nb",1\n2,b,2\nx\n3,"c\nd",3\ny\n4,d,4\n',
        [2, 5, 7, 10],
        [6, 9],
    ),
    "both": (b'id,place,size\n\n1,"a\nb",1\nx\n\n2,b,2\n\n3,"c\n",3\ny\n\n\n4,d,4\n', [3, 7, 9, 14], [5, 11]),
    "a header of two lines": (b'id,place,"si\nze"\n1,a,1\nx\n\n2,b,2\n', [3, 6], [4]),
    "a line of blanks": (b"id,place,size\n1,a,1\n  \n\n2,b,2\n", [2, 5], [3]),
    "carriage returns": (b"id,place,size\r\n\r\n1,a,1\r\nx\r\n2,b,2\r\n", [3, 5], [4]),
}


@pytest.mark.case("DA-06")
@pytest.mark.parametrize(("body", "good", "bad"), LINES.values(), ids=LINES)
def test_a_row_is_named_by_the_line_it_begins_in(
    engine: Any, read: Load, body: bytes, good: list[int], bad: list[int]
) -> None:
    read(PLAIN, number=1)

    loaded = read(body)

    found = engine.execute("SELECT __line FROM source WHERE __file = 0 ORDER BY id").fetchall()
    assert [line for (line,) in found] == good
    assert [line.line for line in loaded.bad_lines] == bad
    assert loaded.rows == len(good)
    others = engine.execute("SELECT __line FROM source WHERE __file = 1 ORDER BY id").fetchall()
    assert others == [(2,), (3,)]


def jumble(dice: random.Random) -> tuple[str, dict[str, int], list[int]]:
    """Write a file of good, bad, blank and long records; give it with the lines its records begin in."""
    body, line = "id,place,size\n", 2
    good: dict[str, int] = {}
    bad: list[int] = []
    for n in range(dice.randrange(5, 30)):
        good[str(n)] = line
        breaks = "\n" * dice.randrange(1, 4)
        record = dice.choice(
            [f'{n},"a{breaks}b",1', f'{n},"a ""q"" b",1', f"{n},p,1", "", "x", "x,y,z,1", 'x,"y"z,1']
        )
        if record.partition(",")[0] != str(n):
            del good[str(n)]
            bad += [line] if record else []
        body += record + "\n"
        line += record.count("\n") + 1
    return body + "last,p,1\n", good | {"last": line}, bad


@pytest.mark.parametrize("seed", range(40))
def test_every_record_of_a_jumbled_file_keeps_its_line(engine: Any, read: Load, seed: int) -> None:
    body, good, bad = jumble(random.Random(seed))

    loaded = read(body.encode())

    assert {row[0]: row[3] for row in rows(engine)} == good
    assert [line.line for line in loaded.bad_lines] == bad


def test_a_blank_line_of_a_file_of_one_column_is_a_row(engine: Any, read: Load) -> None:
    read(b"id\n1\n\n2\n")

    assert [(row[0], row[3]) for row in rows(engine)] == [("1", 2), (None, 3), ("2", 4)]


REFUSED = {
    "empty": (b"", {}, "empty-file", "has no bytes"),
    "header-only": (b"id,place,size\n", {}, "header-only", "no rows"),
    "semicolons": (PLAIN.replace(b",", b";"), {}, "wrong-delimiter", '";"'),
    "tabs": (PLAIN.replace(b",", b"\t"), {}, "wrong-delimiter", r'"\\t"'),
    "commas": (PLAIN, {"delimiter": "|"}, "wrong-delimiter", '","'),
    "twice": (b"id,place,id\n1,a,2\n", {}, "duplicate-column", "'id'"),
    "wide": (b",".join(b"c%d" % n for n in range(2_001)) + b"\n", {}, "too-many-columns", "2001"),
    "utf-16": (PLAIN.decode().encode("utf-16"), {}, "encoding", "UTF-16"),
    "utf-16 without mark": (PLAIN.decode().encode("utf-16-le"), {}, "encoding", "NUL byte"),
    "latin-1": (PLAIN.replace(b"Oslo", b"Troms\xf8"), {}, "encoding", "line 2 .*offset 21"),
    "cut utf-8": (PLAIN + "ø".encode()[:1], {}, "encoding", "line 4"),
    "nul": (PLAIN.replace(b"Oslo", b"Os\0lo"), {}, "encoding", r"line 2 holds a NUL byte \(byte offset 18\)"),
    "blank header": (b"\n\n1,2,3\n", {}, "header-only", "names no column"),
    "gzip of nothing": (gzip.compress(b""), {}, "empty-file", "no bytes"),
    "two unclosed": (
        PLAIN + b'3,"x,1\n' + b"4,y,2\n" * 1_000 + b'5,"z,3\n6,y,2\n',
        {},
        "parse-error",
        "line 4: a quote is opened and not closed before line 1005",
    ),
    "unclosed": (PLAIN + b'3,"x,1\n4,y,2\n', {}, "parse-error", "line 4: a quote is opened"),
    "long header": (b"x" * (1 << 20) + b"yz\n", {}, "line-too-long", "header"),
    "zip": (b"PK\x03\x04" + PLAIN, {}, "format-mismatch", "zip archive"),
    "json": (b'{"id": 1}\n', {}, "format-mismatch", "is JSON"),
    "gzip twice": (gzip.compress(gzip.compress(PLAIN)), {}, "format-mismatch", "gzip file inside"),
    "gzip cut off": (gzip.compress(PLAIN)[:-12], {}, "corrupt", "cannot be unpacked"),
    "array": (b'[{"id": 1}]', {"format": "jsonl"}, "format-mismatch", "JSON array"),
    "no object": (b"1\n2\n", {"format": "jsonl"}, "json-invalid", "line 1: not a JSON object"),
    "deep": (b'{"id": ' + b"[" * 100_000 + b"\n", {"format": "jsonl"}, "json-depth", "line 1"),
    "long line": (b'{"id": "' + b"x" * (1 << 20) + b'"}\n', {"format": "jsonl"}, "line-too-long", "line 1"),
    "not parquet": (PLAIN, {"format": "parquet"}, "format-mismatch", "no Parquet file"),
    "damaged": (b"PAR1" + b"\0" * 200 + b"PAR1", {"format": "parquet"}, "corrupt", "damaged"),
}

CASES = {
    "empty": pytest.mark.case("DA-01"),
    "header-only": pytest.mark.case("DA-02"),
    "latin-1": pytest.mark.case("DA-07"),
    "nul": pytest.mark.case("DA-07"),
    "semicolons": pytest.mark.case("DA-09"),
    "twice": pytest.mark.case("DA-10"),
    "wide": pytest.mark.case("DA-16"),
    "gzip twice": pytest.mark.case("DA-17"),
    "damaged": pytest.mark.case("DA-19"),
    "deep": pytest.mark.case("DA-21"),
    "long line": pytest.mark.case("DA-21"),
}


@pytest.mark.parametrize(
    ("body", "shape", "code", "words"),
    [pytest.param(*case, id=name, marks=CASES.get(name, ())) for name, case in REFUSED.items()],
)
def test_a_file_is_refused_by_name_with_a_reason_and_leaves_no_row(
    engine: Any, read: Load, body: bytes, shape: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(Unreadable, match=words) as refused:
        read(body, **shape)

    assert refused.value.refusal.code == code
    assert "data/m/a.csv" in refused.value.refusal.message
    assert rows(engine) == []


@pytest.mark.case("DA-19")
def test_parquet_dropped_as_csv_is_told_apart_by_its_first_bytes(read: Load) -> None:
    with pytest.raises(Unreadable, match=r"is a Parquet file; model\.yaml declares csv") as refused:
        read(parquet(id=["1"]))

    assert refused.value.refusal.code == "format-mismatch"


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_values_become_their_exact_text(engine: Any, read: Load) -> None:
    from decimal import Decimal

    body = parquet(
        id=pa.array([2**63 - 1, None]), place=pa.array([True, False]), size=[Decimal("1.10"), None]
    )

    loaded = read(body, format="parquet")

    assert (loaded.rows, loaded.columns) == (2, ("id", "place", "size"))
    assert rows(engine) == [("9223372036854775807", "true", "1.10", 1), (None, "false", None, 2)]


@pytest.mark.case("DA-20")
def test_a_nested_parquet_column_is_named(read: Load) -> None:
    with pytest.raises(Unreadable, match="column 'size'") as refused:
        read(parquet(id=["1"], size=[[1, 2]]), format="parquet")

    assert refused.value.refusal.code == "unsupported-type"


def test_a_nested_column_nobody_wants_is_no_matter(engine: Any, read: Load) -> None:
    read(parquet(id=["1"], other=[[1, 2]]), format="parquet")

    assert rows(engine) == [("1", None, None, 1)]


@pytest.mark.case("DA-21")
def test_jsonl_values_stay_as_written_and_bad_lines_are_counted(engine: Any, read: Load) -> None:
    lines = [
        '{"id": 12345678901234567890, "place": "NA", "size": 2.50}',
        "",
        '{"id": 1, "id": 2}',
        '{"id": NaN}',
        '{"id": true, "size": null, "new": [1]}',
        '{"id": {"a": 1}}',
        "{",
        '{"id": "a\\u0000b"}',
        '{"id": "\\ud800"}',
        '{"id": "a\\r\\nb", "place": "c\\rd", "size": "\\"e\\n"}',
    ]

    loaded = read("\n".join(lines).encode(), format="jsonl")

    assert rows(engine) == [
        ("12345678901234567890", "NA", "2.50", 1),
        ("true", None, None, 5),
        ("a b", "c d", '"e ', 10),
    ]
    assert loaded.columns == ("id", "place", "size", "new")
    assert [(bad.line, bad.reason) for bad in loaded.bad_lines] == [
        (3, "a field stands twice"),
        (4, "NaN is not JSON"),
        (6, "field 'id' is nested"),
        (7, "not JSON at character 2"),
        (8, "field 'id' holds a NUL character"),
        (9, "field 'id' holds half a character"),
    ]


def test_a_header_may_hold_line_breaks(engine: Any, read: Load) -> None:
    read(b'id,"pl\nace",place,size\n1,x,Oslo,3\n')

    assert [row[:3] for row in rows(engine)] == [("1", "Oslo", "3")]


def test_files_add_up_and_a_refused_one_changes_nothing(engine: Any, read: Load) -> None:
    read(PLAIN)
    with pytest.raises(Unreadable):
        read(PLAIN + b'"', number=1)
    read(json.dumps({"id": 3}).encode(), number=2, format="jsonl")

    assert [row[0] for row in rows(engine)] == ["1", "2", "3"]


@pytest.mark.case("DA-17")
def test_a_gzip_bomb_stops_at_its_limit_in_bounded_memory(
    read: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftwheel.sources.sniff.ALWAYS_DECODED", 16 << 20)
    monkeypatch.setattr("driftwheel.sources.sniff.HIGHEST_RATIO", 20)
    bomb = gzip.compress(b"0," * (32 << 20), 9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(Unreadable, match="unpacks to more than 16 MiB") as refused:
        read(bomb)

    assert refused.value.refusal.code == "decoded-too-large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.case("DA-08")
def test_an_unclosed_quote_near_the_end_of_a_large_file_is_found_by_line(read: Load) -> None:
    lines = [b"%d,Oslo,1" % n for n in range(200_000)]
    lines[199_000] = b'199000,"Oslo,1'

    with pytest.raises(Unreadable, match="line 199002"):
        read(b"id,place,size\n" + b"\n".join(lines))


def test_every_code_is_explained() -> None:
    text = (Path(__file__).parents[3] / "docs/errors.md").read_text(encoding="utf-8").partition("\n## ")[0]
    explained = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}

    assert explained == CODES
