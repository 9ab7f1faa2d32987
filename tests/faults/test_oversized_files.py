"""Bombs, endless lines and monstrous tables: refused by name and place, in bounded memory."""

import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import Bounded

MIB = 1 << 20
PEAK_MEBIBYTES = 200
"""What the interpreter, DuckDB and a few chunks take; every file below is larger when it is decoded."""


def refused(answer: dict[str, Any]) -> tuple[str, int | None]:
    assert answer["peak_mebibytes"] < PEAK_MEBIBYTES
    assert answer["hint"]
    assert answer["key"] in answer["message"]
    return answer["code"], answer.get("line")


@pytest.mark.case("DA-17")
def test_a_gzip_bomb_of_half_a_megabyte_stops_at_the_decoded_limit(bounded: Bounded) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as out:
        for _ in range(512):
            out.write(b"0," * (MIB // 2))
    assert len(bomb.getvalue()) < MIB

    assert refused(bounded("bomb.csv", [bomb.getvalue()])) == ("decoded-too-large", None)


@pytest.mark.case("DA-18")
def test_a_parquet_bomb_is_judged_by_its_rows_not_by_the_size_it_claims(bounded: Bounded) -> None:
    zeros = pa.table({"id": np.zeros(10_000_000, dtype="int64")})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, zeros.schema, compression="zstd") as out:
        for _ in range(20):
            out.write_table(zeros, row_group_size=10_000_000)
    told = pq.ParquetFile(io.BytesIO(sink.getvalue())).metadata
    claimed = sum(told.row_group(n).total_byte_size for n in range(told.num_row_groups))
    assert (told.num_rows, max(claimed, len(sink.getvalue())) < MIB) == (200_000_000, True)

    assert refused(bounded("bomb.parquet", [sink.getvalue()])) == ("decoded-too-large", None)


@pytest.mark.case("DA-18")
@pytest.mark.parametrize("where", ["everywhere", "in the rows only"])
def test_a_parquet_footer_that_says_fewer_rows_than_there_are_gains_nothing(
    bounded: Bounded, where: str
) -> None:
    zeros = pa.table({"id": np.zeros(60_000_000, dtype="int8")})
    sink = io.BytesIO()
    pq.write_table(zeros, sink, compression="zstd", row_group_size=60_000_000)
    size = 8 + int.from_bytes(sink.getvalue()[-8:-4], "little")
    body, footer = sink.getvalue()[:-size], sink.getvalue()[-size:]
    many, few = varint(60_000_000), bytes([0x80 | 20, 0x80, 0x80, 0])  # 10, written as long
    first, last = footer.index(many), footer.rindex(many)
    lie = footer.replace(many, few)
    if where == "in the rows only":
        between = footer[first + 4 : last]
        assert many in between  # how many values the column has
        lie = footer[:first] + few + between + few + footer[last + 4 :]

    answer = bounded("lies.parquet", [body, lie])

    assert answer["peak_mebibytes"] < 3 * PEAK_MEBIBYTES
    told = (answer.get("code"), answer.get("rows"))
    assert told == ((None, 10) if where == "everywhere" else ("corrupt", None))


def varint(number: int) -> bytes:
    """Write a number as Thrift's compact protocol does: zigzag, seven bits a byte."""
    rest, found = number << 1, bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*found, rest])


@pytest.mark.case("DA-16")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ten_thousand_columns_are_too_many_in_every_format(bounded: Bounded, kind: str) -> None:
    names = ["id", *(f"c{n}" for n in range(9_999))]
    values = ",".join("1" for _ in names)
    pieces: dict[str, Iterable[bytes]] = {
        "csv": [(",".join(names) + "\n").encode(), *[f"{values}\n".encode()] * 100],
        "jsonl": [("{" + ",".join(f'"{name}": 1' for name in names) + "}\n").encode()] * 100,
        "parquet": [parquet({name: [1] * 100 for name in names})] if kind == "parquet" else [],
    }

    code, line = refused(bounded(f"wide.{kind}", pieces[kind]))

    assert (code, line) == ("too-many-columns", None if kind == "parquet" else 1)


def parquet(columns: dict[str, list[int]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.case("DA-16")
def test_fields_that_are_new_in_every_line_do_not_pile_up(bounded: Bounded) -> None:
    lines = (f'{{"id": {n}, "x{n}": 1}}\n'.encode() for n in range(1_000_000))

    assert refused(bounded("keys.jsonl", lines)) == ("too-many-columns", 2_000)


@pytest.mark.case("DA-16")
def test_cells_of_ten_megabytes_stop_before_the_file_is_parsed(bounded: Bounded) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"id,place\n1,a\n"
        for n in range(20):
            yield b"%d," % n + b"x" * (10 * MIB) + b"\n"

    assert refused(bounded("cells.csv", pieces())) == ("line-too-long", 3)


@pytest.mark.case("DA-16")
def test_a_cell_of_many_lines_is_bounded_too(bounded: Bounded) -> None:
    body = [b'id,place\n1,"', *[b"x" * 99 + b"\n"] * 500_000, b'"\n']

    assert refused(bounded("poem.csv", body)) == ("parse-error", 2)


@pytest.mark.case("DA-21")
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_of_a_gigabyte_is_refused_by_its_number(bounded: Bounded, kind: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"id": 1}\n{"id": "' if kind == "jsonl" else b"id\n"
        for _ in range(1_024):
            yield b"x" * MIB
        yield b'"}\n' if kind == "jsonl" else b"\n"

    assert refused(bounded(f"line.{kind}", pieces())) == ("line-too-long", 2)


@pytest.mark.case("DA-21")
def test_json_nested_ten_thousand_deep_is_no_recursion_error(bounded: Bounded) -> None:
    deep = b'{"id": 2, "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"

    assert refused(bounded("deep.jsonl", [b'{"id": 1}\n', deep])) == ("json-depth", 2)


@pytest.mark.case("DA-08")
@pytest.mark.parametrize("place", [20_000, 1_980_000], ids=["at 1 %", "at 99 %"])
def test_an_unclosed_quote_in_a_large_file_is_named_by_its_line(bounded: Bounded, place: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"id,place\n"
        whole = b"7,Oslo Central Station\n" * 1_000
        for start in range(0, 2_000_000, 1_000):
            yield b'7,"Oslo\n' + whole[23:] if start == place else whole

    assert refused(bounded("quote.csv", pieces())) == ("parse-error", place + 2)


def test_the_child_says_what_it_read_when_nothing_is_wrong(bounded: Bounded, tmp_path: Path) -> None:
    answer = bounded("good.csv", [b"id,place\n1,a\n2\n3,c\n"])

    assert (answer["rows"], answer["first"]) == (2, [["1", 2], ["3", 4]])
    assert answer["bad_lines"] == [[3, "too few fields (the header has 2)"]]
    assert not (tmp_path / "good.csv.text").exists()


@pytest.mark.case("DA-20")
def test_a_category_of_a_million_levels_in_one_row_group_is_read_in_bounded_memory(bounded: Bounded) -> None:
    rows = 1_000_000
    table = pa.table({"id": np.arange(rows), "place": pa.array(map(str, range(rows))).dictionary_encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)

    answer = bounded("levels.parquet", [sink.getvalue()])

    assert answer["rows"] == rows
    assert answer["peak_mebibytes"] < 400
