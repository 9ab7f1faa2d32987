# ruff: noqa: RUF001, E501  # odd characters and dense tables are the point
"""Every literal means the same to the batch engine and to the server, and nothing is guessed."""

import json
import math

import duckdb
import pytest

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, cleaning_sql
from driftwheel.recipe.literals import collapse, fold, identifier, trim
from driftwheel.recipe.row import FieldError, load_recipe
from driftwheel.recipe.sql import rewritten, textual
from driftwheel.spec import ModelSpec

ADVERSARIAL = [
    "", " ", "NA", "null", "None", "nan", "NaN", "inf", "-Infinity", "0", "-0", "+0", "-0.0", "00", "007", "+7", "--7",
    "+-7", "5.", ".5", ".", "-.5", "+.5e1", "5.0", "5.000", "5.00001", "2.5", "-2.5", "1e3", "1E3", "1e+3", "1e-3",
    "1e", "e1", "1e400", "-1e400", "1e-400", "1e308", "1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324",
    "2.2250738585072011e-308", "1e0003", "1e00003", "0.1", "0.30000000000000004", "9007199254740993",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "9223372036854775807.0", "99999999999", "123456789012345678901234567890", "1" * 100, "1" * 101, "0" * 99 + "5",
    "0x10", "0b1", "0o7", "1_000", "1,000", "1 000", "1'000", "$5", "5%", "5f", "5d", "5L", "١٢", "٣", "１", "²", "½",
    "Ⅷ", "1\u00a0", "\u00a01", "\u20031", "1\u200b", "\ufeff1", "\t1\n", "\v1\f", "1\x00", "\x001", "\x1c1", "\x851",
    "1\n2", "1\r", "true", "TRUE", "True", "tRuE", "t", "T", "yes", "y", "on", "false", "FALSE", "f", "no", "off",
    "ｔｒｕｅ", "trüe", "ﬁ", "FI", "ﬃ", "İ", "ı", "ß", "ẞ", "é", "e\u0301", "É", "Å", "Å", "한글", "한글", "日本", "ﾊﾝ", "👍",
    "👍🏽", "a b", "a  b", " a b ", "a\tb", "a\u00a0b", "a\u3000b", "a\nb", "\u0301", " \u0301", "a \u0301", "'", "''",
    '"', "a'b", "a\\b", "%s", "{0}", "a;b", "--", "/*", "us", "US", "uS", "\u00a0US", "United States",
    "united  states", "UNITED\u00a0STATES", "Ｕnited States", "2024-01-02", "2024-1-2", "20240102", "2024-01-02T03",
    "2024-01-02T03:04", "2024-01-02 03:04", "2024-01-02t03:04", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05z", "2024-01-02T03:04:05.1", "2024-01-02T03:04:05.999999999Z", "2024-01-02T03:04:05.",
    "2024-01-02T03:04:05.1234567890", "2024-01-02T03:04:05+01:00", "2024-01-02T03:04:05-01:00",
    "2024-01-02T03:04+05:30", "2024-01-02T03:04:05+01", "2024-01-02T03:04:05+0100", "2024-01-02T03:04:05 +01:00",
    "2024-01-02T03:04:05+24:00", "2024-01-02T03:04:05+23:59", "2024-01-02T03:04:05-00:00", "2024-01-02Z",
    "2024-01-02+01:00", "2024-02-29", "2023-02-29", "2024-02-30", "2024-04-31", "2024-13-01", "2024-00-01", "2024-01-00",
    "2024-01-32", "2024-01-02 24:00", "2024-01-02 23:59:60", "2024-01-02 23:60", "0000-01-01", "0001-01-01",
    "0001-01-01 00:00+00:01", "0000-12-31 23:00-05:00", "9999-12-31 23:59:59", "9999-12-31 23:59-00:01", "10000-01-01",
    "-2024-01-01", "+2024-01-01", "2024-01-02  03:04", "2024-01-02  ", " 2024-01-02", "2024/01/02", "02.01.2024",
    "Jan 2 2024", "2024-01-02T03:04:05Z\n", "２０２４-01-02", "2024-01-02 03:04:05 UTC", "epoch", "infinity", "today",
    "1900-01-01T00:00", "1900-01-01", "-999", "-999.0", "-9.99e2", "998.9999", "1000", "1000.0", "1000.0000001", "-40",
]  # fmt: skip
COLUMNS = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "timestamp"},
    "category": {"type": "category"},
    "text": {"type": "text", "null_tokens": ["NA", "NULL"]},
    "country": {"type": "category", "canonical": {"US": ["United States", "ﬁ"], "O'H": ["'"]}},
    "limited": {"type": "number", "range": [-40, 1000], "null_tokens": ["", "NA", "-999"]},
    "clipped": {"type": "number", "range": [-40.5, 1000], "outside": "clip"},
    "counted": {"type": "integer", "range": [-40, 1000], "outside": "clip", "null_tokens": ["-999"]},
    "dated": {"type": "timestamp", "null_tokens": ["", "1900-01-01"]},
}


def spec(columns=COLUMNS, **more):
    return ModelSpec.model_validate(
        {
            "model": "m",
            "source": {"prefix": "data/m/", "key": [next(iter(columns))]},
            "columns": {**columns, "answer": {"type": "boolean", "feature": False}},
            "target": {"column": "answer"},
        }
        | more
    )


RECIPE = declare(
    spec(features={"t": "length(text)", "h": "extract(hour from timestamp)", "d": "extract(day from dated)"})
)
ROW = load_recipe(RECIPE, {"medians": {}, "modes": {}, "categories": {"category": [], "country": ["US"]}})


def batch(connection, texts):
    names = [column["name"] for column in RECIPE["columns"]]
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{n} VARCHAR' for n in names)}, n INTEGER)")
    connection.executemany(
        f"INSERT INTO raw VALUES ({', '.join('?' * (len(names) + 1))})",
        [[text] * len(names) + [n] for n, text in enumerate(texts)],
    )
    select = cleaning_query(connection, "raw", RECIPE)
    cursor = connection.execute(f"SELECT {', '.join(RECIPE['inputs'])} FROM ({select}) ORDER BY n")
    return [dict(zip(RECIPE["inputs"], row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        yield found


def test_the_batch_engine_and_the_server_clean_every_literal_alike(connection):
    texts = [t for text in ADVERSARIAL for t in (text, f" {text}\t", f"\u00a0{text}")]
    found = batch(connection, texts)

    mismatches = []
    for text, cleaned in zip(texts, found, strict=True):
        expected = ROW.clean(dict.fromkeys(RECIPE["inputs"], text))
        mismatches += [
            (text, name, cleaned[name], expected[name])
            for name in RECIPE["inputs"]
            if (cleaned[name], type(cleaned[name]), str(cleaned[name]))
            != (expected[name], type(expected[name]), str(expected[name]))
        ]
    assert mismatches == []
    assert len(texts) * len(RECIPE["inputs"]) > 5_000


def test_the_expressions_for_folded_texts_are_those_of_the_query(connection):
    texts = [text for text in ADVERSARIAL if text.isascii()]
    found = batch(connection, texts)
    names = ", ".join(RECIPE["inputs"])

    alone = connection.execute(
        f"SELECT {names} FROM (SELECT {', '.join(cleaning_sql(RECIPE))}, n FROM raw) ORDER BY n"
    ).fetchall()

    assert [list(row.values()) for row in found] == [list(row) for row in alone]


def test_cleaning_twice_changes_nothing_even_through_json():
    for text in ADVERSARIAL:
        once = ROW.clean(dict.fromkeys(RECIPE["inputs"], text))
        assert ROW.clean(json.loads(json.dumps(once))) == once


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("number", "1e3", 1000.0), ("number", "٣", None), ("number", "1e400", None), ("integer", "5.0", 5),
        ("integer", "2.5", None), ("integer", "1e3", None), ("integer", "0x10", None), ("boolean", "TRUE", True),
        ("boolean", "yes", None), ("timestamp", "2024-01-02T03:04+05:30", "2024-01-01 21:34:00"),
        ("timestamp", "2024-1-2", None), ("category", "\u00a0ﬁ  x", "fi x"), ("country", "UNITED states", "US"),
        ("limited", "-999.0", None), ("limited", "1001", None), ("clipped", "-41", -40.5), ("counted", "2000", 1000),
    ],
)  # fmt: skip
def test_a_literal_means_what_the_grammar_says(column, text, value):
    assert ROW.clean({column: text})[column] == value


@pytest.mark.parametrize(
    ("column", "raw"),
    [
        ("number", math.nan), ("number", math.inf), ("number", True), ("number", []), ("number", {}),
        ("number", 10**400), ("integer", -math.inf), ("integer", False), ("boolean", 1.0), ("boolean", []),
        ("timestamp", 1700000000), ("category", 5), ("category", True), ("text", ["a"]), ("text", "\ud800"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_by_its_field(column, raw):
    with pytest.raises(FieldError) as refused:
        ROW.clean({column: raw})

    assert refused.value.field == column
    assert refused.value.message
    assert refused.value.message != str(raw)


def test_json_numbers_follow_the_rules_of_written_ones():
    cleaned = ROW.clean(
        {"integer": 7.0, "number": 3, "limited": -999, "counted": 2**70, "boolean": 1, "x": object()}
    )

    assert (cleaned["integer"], cleaned["number"], cleaned["boolean"]) == (7, 3.0, True)
    assert (cleaned["limited"], cleaned["counted"]) == (None, None)
    assert ROW.clean({"integer": 7.5})["integer"] is None


def test_issues_and_rejections_are_named(connection):
    recipe = declare(
        spec(
            {
                "a": {"type": "number", "missing": "reject"},
                "b": {"type": "integer", "range": [0, 9], "outside": "reject"},
                "c": {"type": "number", "range": [0, 9]},
            }
        )
    )
    rows = [("1", "1", "1"), ("x", "1", "10"), ("1", "10", "y"), ("", None, ""), ("2", "1.5", None)]
    connection.execute(
        "CREATE OR REPLACE TABLE r (a VARCHAR, b VARCHAR, c VARCHAR, answer VARCHAR, n INTEGER)"
    )
    connection.executemany(
        "INSERT INTO r VALUES (?, ?, ?, '1', ?)", [(*row, n) for n, row in enumerate(rows)]
    )

    found = connection.execute(
        'SELECT "__issue.a", "__issue.b", "__issue.c", __rejected '
        f"FROM ({cleaning_query(connection, 'r', recipe)}) ORDER BY n"
    ).fetchall()

    assert found == [
        (None, None, None, None),
        ("bad literal", None, "outside range", "a: bad literal"),
        (None, "outside range", "bad literal", "b: outside range"),
        ("missing", "missing", "missing", "a: missing"),
        (None, "bad literal", "missing", None),
    ]
    row = load_recipe(recipe, {"medians": {}, "modes": {}, "categories": {}})
    assert row.features({"a": "1", "b": "1", "c": "1"}) == [1.0, 1.0, 1.0]
    with pytest.raises(FieldError, match="a: is required"):
        row.features({"a": "x"})
    with pytest.raises(FieldError, match=r"b: is outside \[0, 9\]"):
        row.features({"a": 1, "b": 10})


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"c": {"type": "category", "canonical": {"A": ["x"], "B": ["X"]}}}, {}, "stands for both"),
        ({"c": {"type": "category", "canonical": {"NA": ["x"]}, "null_tokens": ["NA"]}}, {}, "null token"),
        (
            {"c": {"type": "number", "range": [0, 9], "outside": "clip", "null_tokens": ["9"]}},
            {},
            "null token",
        ),
        ({"c": {"type": "integer", "range": [0, 9.5]}}, {}, "not an integer"),
        ({"c": {"type": "timestamp"}}, {}, "no column and no feature"),
        ({"c": {"type": "number"}}, {"features": {"f": "1 + 1"}}, "reads no column"),
        ({"c": {"type": "number"}}, {"features": {"f": "g + c", "g": "c + 1"}}, "later feature"),
        ({"c": {"type": "timestamp"}}, {"features": {"f": "coalesce(c, '2020-01-01')"}}, "gives a timestamp"),
        ({"c": {"type": "number"}}, {"target": {"expression": "c > 1"}}, "also enters the model"),
        ({"c": {"type": "text"}}, {"target": {"column": "c"}}, "cannot be a text"),
        (
            {"c": {"type": "number"}},
            {"target": {"expression": "answer", "kind": "regression"}},
            "must be a number",
        ),
        (
            {"c": {"type": "number"}},
            {"features": {f"f{n}": f"sqrt({f'f{n - 1}' if n else 'c'} * 2)" for n in range(20)}},
            "too large",
        ),
    ],
)
def test_a_declaration_that_cannot_hold_is_refused(columns, more, message):
    with pytest.raises(SpecInvalid, match=message):
        declare(spec(columns, **more))


def rewrites(column, text):
    """Say which rules rewrite a text, by the rules themselves."""
    folded = fold(text) if textual(column) else text
    even = collapse(folded) if textual(column) else trim(folded)
    found = {"trimmed": even != folded, "folded": folded != text}
    value = ROW.cleaners[column["name"]](text)
    return found | {"canonical": column["canonical"] != {} and value is not None and value != even}


def test_every_rewritten_text_is_marked_with_the_rule_that_rewrote_it():
    texts = [t for text in ADVERSARIAL for t in (text, f" {text}\t", f"\u00a0{text}")]
    names = [column["name"] for column in RECIPE["columns"]]
    marks = rewritten(RECIPE)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"CREATE TABLE raw ({', '.join(f'{name} VARCHAR' for name in names)}, n INTEGER)")
        connection.executemany(
            f"INSERT INTO raw VALUES ({', '.join('?' * (len(names) + 1))})",
            [[text] * len(names) + [n] for n, text in enumerate(texts)],
        )
        chosen = ", ".join(f"({identifier(word)} & {bit}) <> 0" for word, bit in marks.values())
        query = cleaning_query(connection, "raw", RECIPE)
        found = connection.execute(f"SELECT {chosen} FROM ({query}) ORDER BY n").fetchall()

    columns = {column["name"]: column for column in RECIPE["columns"] if column["name"] in RECIPE["inputs"]}
    differ = [
        (text, name, rule, marked)
        for text, row in zip(texts, found, strict=True)
        for (name, rule), marked in zip(marks, row, strict=True)
        if name in columns and marked is not rewrites(columns[name], text)[rule]
    ]
    assert differ == []
    assert {rule for _, rule in marks} == {"trimmed", "folded", "canonical"}
