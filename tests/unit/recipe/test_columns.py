"""Whole columns cleaned at once say what ``row`` says of one value after the other."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftwheel.recipe.cells import cut
from driftwheel.recipe.columns import INVALID, clean_columns
from driftwheel.recipe.declare import declare
from driftwheel.recipe.row import FieldError, load_recipe
from driftwheel.spec import load_spec

SPEC = """
model: m
source: {prefix: data/m/, key: [k]}
columns:
  k: {type: category, feature: false}
  n: {type: number}
  i: {type: integer}
  clipped: {type: number, range: [-5, 10], outside: clip, null_tokens: ["", "-1", n/a]}
  bounded: {type: integer, range: [0, 100], null_tokens: ["", "99"]}
  refusing: {type: number, range: [0, 100], outside: reject}
  required: {type: number, missing: reject}
  euro: {type: number, notation: {decimal: ",", group: "."}}
  c: {type: category, canonical: {New York: [ny]}, null_tokens: ["", NA]}
  wanted: {type: category, missing: reject}
  b: {type: boolean}
  t: {type: timestamp}
  y: {type: boolean, feature: false}
features: {hour: extract(hour from t)}
target: {column: y}
split: {by: key, validation: 0.15, holdout: 0.15}
"""
COLUMNS = ("n", "i", "clipped", "bounded", "refusing", "required", "euro", "c", "wanted", "b", "t")

numerals = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-200, 200).map(str),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["1e400", "-1", "99", "99.0", "5.0", "5.", ".5", "+3", "1e5", "1e00005", "-0", "007"]),
    st.sampled_from(["0." + "1" * 99, "9007199254740993", "1_000", "nan", "inf", "null", "true", "[1]"]),
    st.sampled_from(["", " 7 ", "\u00a07", "n/a", "1,5", "1.000,5", "\ud800", "٣"]),
)
texts = st.sampled_from(["a", " a ", "a  b", "NY", "", "NA", "\ufb01", "1", "true", "2024-01-02", "\ud800"])
json_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.just([1]),
    st.just(10**400),
)
alike = st.one_of(st.lists(numerals), st.lists(texts), st.lists(st.one_of(st.none(), st.floats(-50, 150))))
values = st.one_of(alike, st.lists(st.one_of(numerals, texts, json_values)))


@pytest.fixture(scope="module")
def recipe():
    names = dict.fromkeys(COLUMNS, 0.0)
    params = {"medians": names, "modes": {}, "categories": {name: [] for name in names}}
    return load_recipe(declare(load_spec(SPEC)), params)


def one_by_one(recipe, name, raw):
    """Clean by the rule of a row: a wrong value is missing, a row without a required one is refused."""
    clean = recipe.cleaners[name]
    numeric = recipe.column_types[name] in {"number", "integer"}
    try:
        return clean(raw), False
    except FieldError:
        pass
    if raw is None:
        return None, True
    try:
        clean(None)
    except FieldError:
        return None, True
    return (INVALID if numeric else None), False


@settings(max_examples=400, deadline=None)
@given(values)
@example(["1", "2.5", "-0", "1e-3", ""])
@example([1, 2.5, None, -0.0])
@example(["1,2", "3"])
@example(["", "0." + "1" * 99])
def test_a_column_is_cleaned_as_its_values_are(recipe, raw):
    assert_cleaned_one_by_one(recipe, raw, raw)


def no_cell(text: str) -> bool:
    """Say whether a text is more than one plain cell of CSV, or no Unicode."""
    return any(sign in text for sign in ',"\n\r\ud800')


dotted = st.builds(
    lambda sign, digits, at: f"{sign}{digits:0{at}}"[:-at] + "." + f"{digits:0{at}}"[-at:],
    st.sampled_from(["", "-", "+", "00"]),
    st.integers(0, 10**20),
    st.integers(1, 18),
)
cells = st.one_of(numerals, dotted, texts, st.text(max_size=40)).filter(lambda text: not no_cell(text))


@settings(max_examples=80, deadline=None)
@given(st.lists(cells, min_size=1, max_size=6), st.sampled_from([0, 70]))
@example(["-", ".", "-.", "5.", ".5", "-.5", "+5", "--5", "1.2.3", "1..2", "", "-0", "-0.0", "00.50"], 200)
@example(["9007199254740992", "9007199254740993", "900719925474099.3", "1234567890123456", "1" * 17], 200)
@example(
    ["0.123456789012345", "0.1234567890123456", "-123456789.1234567", "12345678.12345678", "1234567.8"], 200
)
@example(["1:2", "1/2", "\u06633", "3\u0663", "12345678\x00", "\x001", "a\x00", "\x00a", "a"], 200)
@example(["99", "99.0", "99.00", "5.0", "5.5", "101", "-1", "-1.0"], 200)
def test_plain_cells_are_cleaned_as_their_texts_are(recipe, raw, plain):
    raw = raw + [f"{number}.25" for number in range(plain)]
    together = cut([f"{text},{number}" for number, text in enumerate(raw)], ["raw", "number"])

    assert together is not None
    assert together["number"].texts() == [str(number) for number in range(len(raw))]
    assert_cleaned_one_by_one(recipe, raw, together["raw"])


@pytest.mark.parametrize(
    "rows", [["1,2", "3"], ["1,2,3"], ["1", "2,3,4"], ["1,2", "3,4,5", "6"], ["\ud800,"]]
)
def test_rows_with_other_cells_are_not_cut(rows):
    assert cut(rows, ["a", "b"]) is None


def assert_cleaned_one_by_one(recipe, raw, given):
    cleaned, refused = clean_columns(recipe, dict.fromkeys(COLUMNS, given))

    lacking = np.zeros(len(raw), dtype=bool)
    for name in COLUMNS:
        expected = [one_by_one(recipe, name, value) for value in raw]
        lacking |= np.array([refuse for _, refuse in expected], dtype=bool)
        kept = [n for n, (_, refuse) in enumerate(expected) if not refuse]
        for n in kept:
            wanted, found = expected[n][0], cleaned[name][n]
            if isinstance(cleaned[name], np.ndarray):
                wanted = math.nan if wanted is None else float(wanted)
                assert np.array_equal([wanted], [found], equal_nan=True), (name, raw[n])
                assert math.isnan(wanted) or math.copysign(1, wanted) == math.copysign(1, found), raw[n]
            else:
                assert (found, type(found)) == (wanted, type(wanted)), (name, raw[n])
    assert lacking.tolist() == (refused if refused is not None else lacking & False).tolist()


def test_no_row_is_refused_where_nothing_is_required(recipe):
    cleaned, refused = clean_columns(recipe, {"n": ["1", "", "warm"], "c": ["ny", "NA", " x "]})

    assert refused is None
    assert np.isnan(cleaned["n"]).tolist() == [False, True, True]
    assert cleaned["c"] == ["New York", None, "x"]
