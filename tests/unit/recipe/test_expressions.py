# ruff: noqa: E501  # odd characters and dense tables are the point
"""Expressions: both engines give the same value, nulls are SQL's, and what is not in the grammar is refused."""

import json
import math

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.duck import expression_sql
from driftwheel.recipe.expression import parse_expression
from driftwheel.recipe.row import compile_expression

NAMES = {"a": "number", "b": "number", "s": "text", "r": "text", "p": "boolean", "q": "boolean"} | {
    "t": "timestamp",
    "u": "timestamp",
}
SQL_TYPES = {"number": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "timestamp": "VARCHAR"}
COLUMNS = {name: f'"{name}"' for name in NAMES}
ROWS = [
    dict(zip(NAMES, row, strict=True))
    for row in (
        (1.0, 2.0, "abc", "ABC", True, False, "2024-02-29 23:59:59", "2024-03-01 00:00:00"),
        (None,) * 8,
        (0.0, -0.5, "", "é👍", False, None, "0001-01-01 00:00:00", "9999-12-31 23:59:59"),
        (-8.0, 1 / 3, "b", None, None, True, None, "2020-12-31 12:00:00"),
        (1e308, 1e-308, "it's", "a b", True, True, "2023-01-01 05:00:00", None),
        (-1e308, 1e308, "Z", "z", False, False, "2024-12-31 00:00:00", "2024-01-01 00:00:00"),
        (710.0, None, None, "", None, False, "2021-01-03 10:00:00", "2021-01-04 09:00:00"),
        (-3.0, 3.0, "\U0001f600", "\uffff", True, None, "2000-02-29 00:00:00", "1900-03-01 00:00:00"),
    )
]


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect(config={"threads": 1}) as connection:
        types = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in NAMES.items())
        connection.execute(f"CREATE TABLE rows ({types}, n INTEGER)")
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [[*row.values(), n] for n, row in enumerate(ROWS)],
        )
        yield connection


def both(engine, text):
    tree = json.loads(json.dumps(parse_expression(text, NAMES, "features.x").node))
    found = engine.execute(f"SELECT {expression_sql(tree, COLUMNS)} FROM rows ORDER BY n").fetchall()
    closure = compile_expression(tree)
    return [value for (value,) in found], [closure(row) for row in ROWS]


def same(one, other, tolerance):
    if isinstance(one, float) and isinstance(other, float) and tolerance:
        return math.isclose(one, other, rel_tol=tolerance)
    return one == other and type(one) is type(other)


INEXACT = ("exp", "ln", "log10", "power")


def agree(engine, text):
    batch, online = both(engine, text)
    # Below a transcendental function the last bit may differ, and a comparison or floor may then flip.
    tolerance = 1e-12 if any(name in text for name in INEXACT) else 0.0
    assert all(same(one, other, tolerance) for one, other in zip(batch, online, strict=True)), (
        text,
        batch,
        online,
    )


EXPRESSIONS = [
    "a + b", "a - b", "a * b", "a / b", "a / 0", "a / (b - b)", "-a", "- -a", "+a", "a * b / b", "a * 10 - a * 10",
    "exp(a) - exp(a)", "coalesce(exp(a), -1)", "coalesce(a * 1e300, 5)", "1 / (a * 1e300)", "abs(a)", "floor(a / b)",
    "ceil(a / b)", "ceil(-a / 3)", "ln(a)", "ln(a * 1e300)", "log10(a)", "exp(a)", "exp(-a)", "sqrt(a)", "sqrt(a - a)",
    "power(a, b)", "power(a, 3)", "power(a, -1)", "power(a, 0.5)", "power(a, 400)", "pow(0, a)", "power(a, 1e308)",
    "a ** 2 + b", "least(a, b)", "greatest(a, b, 0)", "least(a * 1e300, 1)", "least(s, r)", "greatest(t, u)",
    "a = b", "a <> b", "a != b", "a < b", "a <= b", "a > b", "a >= b", "s < r", "s = 'abc'", "t < u", "p = q",
    "t >= '2024-01-01'", "'2024-12-31T00:00' = t", "t between '2000-01-01' and '2024-06-30T00:00:00Z'", "p <> q",
    "a * 1e300 > 0", "a * 1e300 = a * 1e300", "p and q", "p or q", "not p", "p and a > 0 and q", "p or q or a is null",
    "not (p and q) or p", "a is null", "a is not null", "exp(a) is null", "s is null", "null is null or p",
    "case when a > 0 then 1 when a < 0 then -1 end", "case when p then s else r end", "case a when 1 then 'x' end",
    "case when q then null else a end", "case s when 'b' then t else u end is null", "coalesce(a, b, 0)",
    "coalesce(s, r, 'none')", "coalesce(p, q)", "nullif(a, 0)", "nullif(s, '')", "nullif(a, null)", "nullif(b, a)",
    "a between b and 3", "a not between 0 and b", "a in (1, -8, b)", "a not in (1, 2)", "a in (1, null)",
    "a not in (1, null)", "s in ('b', r)", "p in (true)", "t in ('2024-02-29 23:59:59', u)", "lower(r)", "upper(r)",
    "upper(lower(s))", "length(r)", "length('é👍')", "substr(s, 1, 2)", "substr(r, 2)", "substr(s, 3, 0)",
    "substr(s, 99)", "concat(s, r)", "concat(s, '-', r)", "s || r", "s || '-' || r", "extract(isodow from t)",
    "extract(hour from t)", "extract(month from t)", "extract(day from t)", "extract(year from t)",
    "extract(doy from t)", "extract(ISODOW from u)", "date_diff('day', t, u)", "date_diff('day', u, '2024-01-01')",
    "date_diff('day', t, t)", "9007199254740993 + a", "0.1 + 0.2 + a", "1e-308 * b", "a + 1_000", "true and p",
    "a = 1 -- remark", "a * 0 + b", "a + 0", "a - a", "0 * a", "not a = b", "s = 'it''s'",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_both_engines_agree(engine, text):
    agree(engine, text)


numbers = st.deferred(lambda: st.one_of(number_leaf, number_tree))
booleans = st.deferred(lambda: st.one_of(st.sampled_from(["p", "q", "true"]), boolean_tree))
texts = st.one_of(
    st.sampled_from(["s", "r", "'abc'", "''"]),
    st.builds("{}({})".format, st.sampled_from(["lower", "upper"]), st.sampled_from(["s", "r"])),
    st.builds("concat({}, {})".format, st.sampled_from(["s", "r"]), st.sampled_from(["s", "r", "'é'"])),
    st.builds("substr({}, {}, {})".format, st.sampled_from(["s", "r"]), st.integers(1, 4), st.integers(0, 3)),
)
number_leaf = st.one_of(
    st.sampled_from(["a", "b", "0", "1", "-1", "0.1", "3", "1e300", "1e-300", "length(s)"]),
    st.builds(
        "extract({} from {})".format, st.sampled_from(["isodow", "doy", "hour"]), st.sampled_from(["t", "u"])
    ),
    st.floats(-1e6, 1e6).map(repr),
)
number_tree = st.one_of(
    st.builds("({} {} {})".format, numbers, st.sampled_from("+-*/"), numbers),
    st.builds("{}({})".format, st.sampled_from(["abs", "floor", "ceil", "sqrt"]), numbers),
    st.builds(
        "{}({}, {})".format, st.sampled_from(["least", "greatest", "coalesce", "nullif"]), numbers, numbers
    ),
    st.builds("case when {} then {} else {} end".format, booleans, numbers, numbers),
)
boolean_tree = st.one_of(
    st.builds("({} {} {})".format, numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers),
    st.builds("({} {} {})".format, booleans, st.sampled_from(["and", "or", "=", "<>"]), booleans),
    st.builds("(not {})".format, booleans),
    st.builds("({} is null)".format, numbers),
    st.builds("({} in ({}, {}))".format, numbers, numbers, numbers),
    st.builds("({} between {} and {})".format, numbers, numbers, numbers),
    st.builds("({} {} {})".format, texts, st.sampled_from(["=", "<", ">="]), texts),
)


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.one_of(numbers, booleans, texts))
def test_both_engines_agree_on_any_expression(engine, text):
    agree(engine, text)


TRUTH = {True: "true", False: "false", None: "null"}


@pytest.mark.parametrize("one", TRUTH)
@pytest.mark.parametrize("other", TRUTH)
def test_and_or_not_have_three_values(one, other):
    row = {"p": one, "q": other}
    conjunction, disjunction, negation = (
        compile_expression(parse_expression(text, NAMES, "x").node)(row)
        for text in ("p and q", "p or q", "not p")
    )

    assert conjunction is (False if False in (one, other) else None if None in (one, other) else True)
    assert disjunction is (True if True in (one, other) else None if None in (one, other) else False)
    assert negation is (None if one is None else not one)


REFUSED = {
    "temp + 1": ("'temp'", "declare it under columns"),
    "A + 1": ("'A'", "did you mean a"),
    "a % 2": ("'a % 2'", r"a - b \* floor"),
    "a // 2": ("a // 2", r"floor\(a / b\)"),
    "round(a)": ("ROUND", r"floor\(x \+ 0.5\)"),
    "cast(a as int)": ("CAST", "declare the column's type"),
    "log(a)": ("LOG", "ln"),
    "log(2, a)": ("LOG", "log10"),
    "if(a > 1, 1, 2)": ("", "case when"),
    "s like 'a%'": ("LIKE", "substr"),
    "count(*)": ("COUNT", "one row only"),
    "sum(a) over ()": ("SUM", "one row only"),
    "(select 1)": ("SELECT", "one row only"),
    "a in (select 1)": ("SELECT", "list of values"),
    "hour(t)": ("", r"extract\(hour from t\)"),
    "extract(dow from t)": ("dow", "isodow"),
    "extract(epoch from t)": ("epoch", "isodow"),
    "date_diff('month', t, u)": ("", r"date_diff\('day'"),
    "substr(s, 0)": ("", "at least 1"),
    "substr(s, 1, -1)": ("", "at least 0"),
    "substr(s, a)": ("", "whole number"),
    "a + s": ("a \\+ s", "number, but 's' is a text"),
    "a = s": ("a = s", "mixes number and text"),
    "p < q": ("p < q", "only = and <>"),
    "a and p": ("", "needs a boolean"),
    "concat(a, s)": ("", "numbers are not turned into text"),
    "case when p then 1 else 'x' end": ("CASE", "mixes number and text"),
    "t > 'yesterday'": ("'yesterday'", "not a timestamp"),
    "null": ("'null'", "always null"),
    "a b": ("", "name of its own"),
    "a; b": ("", "allowed are"),
    "x.a": ("x.a", "bare name"),
    "0x10": ("", "name of its own"),
    "1e999 + a": ("1e999", "too large"),
    "floor(a, 2)": ("", "exactly one argument"),
    "a is true": ("", "only is null"),
    "getenv('HOME')": ("GETENV", "allowed are"),
    "md5(s)": ("MD5", "allowed are"),
    "read_csv('/etc/passwd')": ("", "allowed are"),
    "a +": ("'a \\+'", "not an SQL expression"),
    "": ("''", "not an SQL expression"),
    "a, b": ("'a, b'", "not an SQL expression"),
    "(" * 1500 + "a" + ")" * 1500: ("it", "split it"),
    " + ".join(["a"] * 100): ("it", "levels deep"),
    "a + " * 2000 + "a": ("it", "characters"),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_what_is_not_in_the_grammar_is_refused_with_its_place_and_a_remedy(text):
    what, remedy = REFUSED[text]

    with pytest.raises(SpecInvalid, match=rf"(?s)features\.x: .*{what}.*{remedy}"):
        parse_expression(text, NAMES, "features.x")
