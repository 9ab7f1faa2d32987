"""DuckDB writes the holdout's lines as Python does, byte for byte: Spark's are written by Python."""

import random
import struct

import duckdb
import pytest

from driftwheel.dataset.json_lines import encode, line_sql, value_sql

TEXTS = ["", " ", "é", "日本", '"', "\\", '\\"', "a/b", "<b>", "\x7f", "\u2028", "{}", "null", "𝄞"]
TEXTS += [f"a{chr(code)}b" for code in range(32)]
NUMBERS = [0.0, 1.0, -2.5, 0.1, 1e15, 1e16, 123456789012345680.0, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308]


def drawn(count: int) -> list[float]:
    dice = random.Random(5)
    bits = (dice.getrandbits(64).to_bytes(8, "little") for _ in range(count))
    return [x for eight in bits if abs(x := struct.unpack("d", eight)[0]) < float("inf")]


@pytest.mark.parametrize(
    ("kind", "sql", "values"),
    [
        ("category", "VARCHAR", [None, *TEXTS]),
        ("number", "DOUBLE", [None, *NUMBERS, *drawn(2_000)]),
        ("integer", "BIGINT", [None, 0, -7, 2**63 - 1, -(2**63)]),
        ("boolean", "BOOLEAN", [None, True, False]),
    ],
)
def test_a_cell_is_the_same_json_in_both(kind: str, sql: str, values: list[object]) -> None:
    asked = f"SELECT {value_sql('v', kind)} FROM (SELECT unnest(CAST(? AS {sql}[])) AS v)"

    assert [text for (text,) in duckdb.execute(asked, [values]).fetchall()] == list(map(encode, values))


def test_a_line_holds_key_label_and_the_columns_in_order() -> None:
    kinds = [('b"', "number"), ("a", "category"), ("é", "integer")]
    row = """(SELECT 'k' AS __key, 1e0 AS __label, 0.5e0 AS "b""\", 'x' AS a, 3 AS "é")"""
    asked = f"SELECT {line_sql(kinds)} FROM {row}"

    ((line,),) = duckdb.sql(asked).fetchall()

    assert line == encode({"key": "k", "label": 1.0, "record": {"é": 3, "a": "x", 'b"': 0.5}})
