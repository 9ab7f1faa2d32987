"""Declared notations of numbers and dates: both engines read them alike and never guess."""

import itertools

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query
from driftwheel.recipe.notation import form_rule, iso_text, number_rule, plain_number
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import ModelSpec, load_spec

COLUMNS = {
    "german": {"type": "number", "notation": {"decimal": ",", "group": ".", "symbols": ["€", "EUR"]}},
    "french": {"type": "number", "notation": {"decimal": ",", "group": " "}},
    "swiss": {"type": "number", "notation": {"group": "'", "symbols": ["CHF"]}},
    "dollars": {"type": "number", "notation": {"group": ",", "symbols": ["$"]}, "null_tokens": ["", "9,999"]},
    "share": {"type": "number", "notation": {"symbols": ["%"]}, "range": [0, 1]},
    "day_first": {"type": "timestamp", "forms": ["DD/MM/YYYY", "D.M.YYYY hh:mm", "YYYYMMDD"]},
    "month_first": {"type": "timestamp", "forms": ["M/D/YYYY", "M/D/YYYY hh:mm:ss"]},
}


def declared(columns=COLUMNS, **more):
    document = {
        "model": "m",
        "source": {"prefix": "data/m/", "key": ["german"]},
        "columns": {**columns, "answer": {"type": "boolean", "feature": False}},
        "features": {"a": "extract(day from day_first)", "b": "extract(day from month_first)"},
        "target": {"column": "answer"},
    }
    return declare(ModelSpec.model_validate(document | more))


RECIPE = declared()
ROW = load_recipe(RECIPE, {"categories": {}})
NAMES = [column["name"] for column in RECIPE["columns"]]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        yield found


def batch(connection, texts):
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{n} VARCHAR' for n in NAMES)}, n INTEGER)")
    connection.executemany(
        f"INSERT INTO raw VALUES ({', '.join('?' * (len(NAMES) + 1))})",
        [[text] * len(NAMES) + [n] for n, text in enumerate(texts)],
    )
    query = cleaning_query(connection, "raw", RECIPE)
    rows = connection.execute(f"SELECT {', '.join(RECIPE['inputs'])} FROM ({query}) ORDER BY n").fetchall()
    return [dict(zip(RECIPE["inputs"], row, strict=True)) for row in rows]


ODD = [
    *(
        "1,5",
        "1.5",
        "1.500",
        "1.500,25",
        "1.50",
        "12.34.567",
        "1..5",
        "1,2,3",
        ",5",
        "5,",
        ".",
        ",",
        "-",
        "+",
    ),
    *("1 234,5", "1\u00a0234,5", "1\u202f234,5", "1  234", "12 34", "1'234'567.5", "1'2", "'123", "1,234.56"),
    *(
        "$5",
        "5 $",
        "$ 5",
        "-$5.00",
        "$-5",
        "$$5",
        "$",
        "€5",
        "5,00 €",
        "5,00€",
        "EUR 5",
        "eur 5",
        "5 EUR EUR",
    ),
    *(
        "CHF 1'000",
        "1'000 CHF",
        "12%",
        "12 %",
        "%12",
        "12 % %",
        "12.5%",
        "120%",
        "0.5",
        "-1%",
        "1e2%",
        "1e400",
    ),
    *(
        "1.234e2",
        "1,5e-3",
        "1e5",
        "1.234.567",
        "9,999",
        "9999",
        "٣",
        "\uff11",
        "0x10",
        "1_000",
        "inf",
        "nan",
        "NA",
    ),
    *("01/02/2024", "1/2/2024", "31/12/2024", "12/31/2024", "29/02/2023", "29/02/2024", "2.1.2024 03:04"),
    *(
        "20240102",
        "20241301",
        "2024-01-02",
        "2024-01-02T03:04:05Z",
        "1/2/2024 03:04:05",
        "1/2/24",
        "00/01/2024",
    ),
    *(
        "1/2/0000",
        "31/04/2024",
        "1/2/2024 25:00:00",
        "\n1/2/2024",
        "1/2/2024x",
        "\uff11/2/2024",
        "1/ 2/2024",
        "",
    ),
]


def test_both_engines_read_every_notation_alike(connection):
    texts = [t for text in ODD for t in (text, f" {text}\t", f"-{text}", f"{text}0")]

    mismatches = [
        (text, name, cleaned[name], ROW.clean({name: text})[name])
        for text, cleaned in zip(texts, batch(connection, texts), strict=True)
        for name in RECIPE["inputs"]
        if repr(cleaned[name]) != repr(ROW.clean({name: text})[name])
    ]

    assert mismatches == []
    assert len(texts) * len(RECIPE["inputs"]) > 2_000


NUMERIC = st.text(st.sampled_from(list("0123456789.,'%$€ eE+-\u00a0")), max_size=12)


@settings(max_examples=30, deadline=None)  # each reads dozens of texts in every notation
@given(texts=st.lists(NUMERIC, min_size=30, max_size=60))
def test_generated_texts_are_read_alike(connection, texts):
    for text, cleaned in zip(texts, batch(connection, texts), strict=True):
        assert {name: repr(value) for name, value in cleaned.items()} == {
            name: repr(value) for name, value in ROW.clean(dict.fromkeys(RECIPE["inputs"], text)).items()
        }


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("german", "1.234,5 €", 1234.5),
        ("german", "1.5", None),  # a group of one digit is no group; never guessed to be a decimal point
        ("german", "-€1.000", -1000.0),
        ("french", "1\u202f234\u00a0567,8", 1234567.8),
        ("swiss", "CHF 1'234.50", 1234.5),
        ("dollars", "$1,234", 1234.0),
        ("dollars", "9,999", None),
        ("dollars", "$9999.0", None),  # the null token, written in another way
        ("share", "12 %", 0.12),
        ("share", "0.12", 0.12),
        ("share", "120%", None),
        ("day_first", "03/04/2024", "2024-04-03 00:00:00"),
        ("day_first", "3.4.2024 05:06", "2024-04-03 05:06:00"),
        ("day_first", "20240403", "2024-04-03 00:00:00"),
        ("day_first", "2024-04-03T01:00:00+02:00", "2024-04-02 23:00:00"),
        ("day_first", "31/02/2024", None),
        ("month_first", "3/4/2024", "2024-03-04 00:00:00"),
    ],
)
def test_a_notation_means_what_it_says(column, text, value):
    assert ROW.clean({column: text})[column] == value


def test_a_json_number_has_no_notation():
    assert ROW.clean({"german": 1.5, "share": 0.5})["german"] == 1.5


def test_what_was_cleaned_stays_as_it_is():
    for text, name in itertools.product(ODD, RECIPE["inputs"]):
        once = ROW.clean({name: text})[name]
        assert ROW.clean({name: once})[name] == once


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("YYYY-DD-MM", "year, month, day everywhere"),
        ("DD/MM", "once each"),
        ("DD/MM/YYYY DD", "once each"),
        ("DD/MM/YY", "write it with"),
        ("DD/MM/YYYY mm", "minutes need hours"),
        ("DD MMM YYYY", "once each"),
        ("[0-9]", "write it with"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(form, message):
    with pytest.raises(ValueError, match=message):
        form_rule(form)


def test_a_rule_says_what_it_reads():
    assert iso_text("tomorrow", [form_rule("DD/MM/YYYY")]) == "tomorrow"
    assert plain_number("1" * 101, number_rule(".", None, [])) is None


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"type": "integer", "notation": {"group": ","}}, "declare the column as number"),
        ({"type": "category", "notation": {"group": ","}}, "only for integer and number"),
        ({"type": "number", "notation": {"decimal": ",", "group": ","}}, "decimal mark already"),
        ({"type": "number", "notation": {"symbols": ["1"]}}, "should match pattern"),
        ({"type": "category", "forms": ["DD/MM/YYYY"]}, "only for timestamp"),
        ({"type": "number", "convert": "degC"}, "say the unit"),
        ({"type": "number", "unit": "degF", "convert": "km"}, "it can become degC"),
        ({"type": "number", "unit": "furlong", "convert": "km"}, "no unit known here"),
        ({"type": "number", "missing": "constant"}, "give it together"),
        ({"type": "number", "fill": 3}, "give it together"),
        ({"type": "category", "outliers": {"action": "clip"}}, "only for integer and number"),
    ],
)
def test_a_column_rule_that_does_not_fit_is_refused(column, message):
    with pytest.raises(ValueError, match=message):
        declared(COLUMNS | {"odd": column})


def test_a_notation_is_refused_where_numbers_are_no_text():
    with pytest.raises(ValueError, match="only CSV holds numbers as text"):
        declared(source={"prefix": "data/m/", "key": ["german"], "format": "parquet"})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"type": "number", "missing": "constant", "fill": "x"}, "is no number"),
        ({"type": "number", "missing": "constant", "fill": True}, "is no number"),
        ({"type": "boolean", "missing": "constant", "fill": 1}, "is no boolean"),
        ({"type": "timestamp", "missing": "constant", "fill": "noon"}, "is no timestamp"),
    ],
)
def test_a_fill_of_another_type_is_refused(column, message):
    with pytest.raises(SpecInvalid, match=message):
        declared(COLUMNS | {"odd": column})


def test_a_wrong_form_in_model_yaml_names_its_column():
    text = "model: m\nsource: {prefix: data/m/, key: [t]}\ncolumns: {t: {type: timestamp, forms: [DD/MM]}}\n"
    with pytest.raises(SpecInvalid, match=r"columns\.t.*once each"):
        load_spec(text + "target: {column: t}\n")
