"""Encodings: each is fitted on training rows and computed alike by the batch engine and the server."""

import hashlib
import math

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftwheel.encode import Encoding
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, feature_sql
from driftwheel.recipe.encodings import ENCODINGS, output_names
from driftwheel.recipe.fit import DuckRows, fit, fit_folds, fold_sql
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import ModelSpec

COLUMNS = {
    "k": {"type": "category", "feature": False},
    "size": {"type": "category"},
    "town": {"type": "category"},
    "shop": {"type": "category", "missing": "constant", "fill": "Web"},
    "tail": {"type": "category"},
    "temp": {"type": "number", "unit": "degF", "convert": "degC", "missing": "mean"},
    "price": {"type": "number", "outliers": {"action": "clip", "fence": 1.5}},
    "age": {"type": "integer", "missing": "median", "outliers": {"action": "null"}},
    "span": {"type": "number"},
    "seen": {"type": "timestamp"},
    "answer": {"type": "boolean", "feature": False},
}
ENCODE = {
    "size": {"encoding": "ordinal", "order": ["S", "M", "L"]},
    "town": {"encoding": "one_hot", "most": 2, "minimum_share": 0.0},
    "shop": {"encoding": "target_mean", "smoothing": 2.0, "folds": 3},
    "tail": {"encoding": "hash", "buckets": 7},
    "temp": {"encoding": "scale"},
    "age": {"encoding": "quantile_bins", "bins": 4},
    "span": {"encoding": "scale", "method": "robust"},
    "seen": {"encoding": "date_parts", "parts": ["hour", "isodow"]},
    "double": {"encoding": "scale", "method": "min_max"},
}


def declared(encode=ENCODE, columns=COLUMNS):
    return declare(
        ModelSpec.model_validate(
            {
                "model": "m",
                "source": {"prefix": "data/m/", "key": ["k"]},
                "columns": columns,
                "features": {"double": "price * 2"},
                "encode": encode,
                "target": {"column": "answer"},
            }
        )
    )


RECIPE = declared()
NAMES = list(COLUMNS)


def load(connection, rows):
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{n} VARCHAR' for n in NAMES)})")
    connection.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * len(NAMES))})", rows)
    connection.execute(
        "CREATE OR REPLACE TABLE clean AS SELECT *, CAST(answer AS DOUBLE) AS __label, k AS __key, "
        f"{fold_sql().replace('__key', 'k')} AS __fold FROM ({cleaning_query(connection, 'raw', RECIPE)})"
    )


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        yield found


ROWS = [
    ("1", "S", "Rome", "A", "x1", "32", "1", "20", "1", "2024-01-01 05:00", "true"),
    ("2", "M", "Rome", "A", "x2", "212", "2", "30", "2", "2024-01-02 06:00", "false"),
    ("3", "L", "Oslo", "A", "it's", None, "3", "40", "3", None, "true"),
    ("4", "XL", "Oslo", "B", None, "50", "4", "50", "4", "2024-01-07 23:00", "false"),
    ("5", None, "Bern", None, "é", "68", "1000", None, "9", "2024-01-08", "true"),
    ("6", "s", None, "", "x1", "86", "-1000", "4000", None, "2024-02-29", "false"),
]


def both(connection, params):
    row = load_recipe(RECIPE, params)
    batch = connection.execute(
        f"SELECT {', '.join(feature_sql(RECIPE, params))} FROM clean ORDER BY k"
    ).fetchall()
    records = connection.execute(f"SELECT {', '.join(NAMES)} FROM raw ORDER BY k").fetchall()
    served = [row.features(dict(zip(NAMES, record, strict=True))) for record in records]
    return row.feature_names, [list(one) for one in batch], served


def test_encodings_give_what_they_say(connection):
    load(connection, ROWS)

    names, batch, served = both(connection, fit(DuckRows(connection, "clean"), RECIPE))

    assert batch == served
    found = dict(zip(names, zip(*batch, strict=True), strict=True))
    assert found["size"] == (0.0, 1.0, 2.0, None, None, None)
    assert found["town__1"] == (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)  # Oslo: as frequent as Rome, first by name
    assert found["town__2"] == (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert found["town__other"] == (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert found["shop"][:3] == pytest.approx((0.6,) * 3)  # (2 + 2 · 0.5) / (3 + 2)
    assert found["shop"][4] == pytest.approx((1 + 2 * 0.5) / 4)  # two rows became 'Web', one of them true
    digest = hashlib.md5(b"x1", usedforsecurity=False).hexdigest()
    assert found["tail"][0] == found["tail"][5] == int(digest[:4], 16) % 7
    assert found["tail"][3] is None
    assert found["price"][4:] == (8.5, -3.5)  # quartiles 1 and 4, a fence of 1.5 · 3
    assert found["double"] == pytest.approx((9 / 24, 11 / 24, 13 / 24, 15 / 24, 1.0, 0.0))
    assert found["seen_hour"] == (5.0, 6.0, None, 23.0, 0.0, 0.0)
    assert sum(found["temp"]) == pytest.approx(0.0, abs=1e-9)
    assert found["age"][0] == 0.0


def test_a_target_mean_of_a_training_row_knows_nothing_of_its_own_fold(connection):
    load(
        connection,
        [(f"k{n}", "S", "R", "ABC"[n % 3], "t", "1", "1", "1", "1", None, str(n % 2)) for n in range(300)],
    )
    training = DuckRows(connection, "clean")
    params = fit(training, RECIPE)
    folds = fit_folds(training, RECIPE, params)

    select = ", ".join(feature_sql(RECIPE, params, folds))
    rows = connection.execute(
        f'SELECT "x.shop", shop, __fold % 3 FROM (SELECT {select}, * FROM clean)'
    ).fetchall()

    assert len(folds["shop"]) == 3
    for value, shop, fold in rows:
        ((labels, count),) = connection.execute(
            "SELECT sum(__label) FILTER (WHERE shop = ?), count(*) FILTER (WHERE shop = ?) "
            f"FROM clean WHERE __fold % 3 <> {fold}",
            [shop, shop],
        ).fetchall()
        assert value == pytest.approx((labels + 2 * folds["shop"][fold]["prior"]) / (count + 2))
    assert len({value for value, _, _ in rows}) == 9


VALUE = st.one_of(
    st.none(), st.sampled_from(["", "1", "-2.5", "1e300", "-1e308", "S", "M", "it's", "ß", "7"])
)
TEXT = st.one_of(st.none(), st.text(max_size=3))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[TEXT] * 4, *[VALUE] * 4, st.sampled_from([None, "2024-02-29", "1999-12-31T23:59:59Z"])),
        min_size=1,
        max_size=30,
    )
)
def test_generated_rows_are_encoded_alike(connection, rows):
    usable = [
        (
            f"k{n:03d}",
            *(t if t is None else t.replace("\x00", "").replace("\ud800", "") for t in row),
            str(n % 2),
        )
        for n, row in enumerate(rows)
    ]
    load(connection, usable)

    _, batch, served = both(connection, fit(DuckRows(connection, "clean"), RECIPE))

    assert batch == served
    assert all(value is None or math.isfinite(value) for row in batch for value in row)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_names_as_many_outputs_as_it_computes(connection, name):
    load(connection, ROWS)
    declaration = next((e for e in RECIPE["encode"].values() if e["encoding"] == name), {})
    items = [item for item, e in RECIPE["encode"].items() if e["encoding"] == name] or ["town"]
    recipe = declared(
        {} if name == "code" else {items[0]: {k: v for k, v in declaration.items() if v is not None}}
    )
    params = fit(DuckRows(connection, "clean"), recipe)

    fitted = {"keys": params["categories"]["town"]} if name == "code" else params["encodings"][items[0]]
    outputs = ENCODINGS[name].outputs(items[0], fitted)

    assert [name for name, _, of in output_names(recipe, params) if of == items[0]] == [o for o, _ in outputs]
    assert len(ENCODINGS[name].compiled(fitted)(None)) == len(outputs)
    assert {kind for _, kind in outputs} <= {"q", "c"}


def test_every_encoding_an_owner_may_declare_is_computed():
    declarable = {
        kind.model_fields["encoding"].annotation.__args__[0] for kind in Encoding.__args__[0].__args__
    }

    assert declarable - {"date_parts"} == set(ENCODINGS) - {"code"}


def test_a_column_without_any_value_harms_no_encoding(connection):
    load(connection, [("1", *[None] * 9, "true"), ("2", *[None] * 9, "false")])

    _, batch, served = both(connection, fit(DuckRows(connection, "clean"), RECIPE))

    assert batch == served


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        ({"k": {"encoding": "hash"}}, "does not enter the model"),
        ({"answer": {"encoding": "hash"}}, "does not enter the model"),
        ({"price": {"encoding": "hash"}}, "needs a text"),
        ({"town": {"encoding": "scale"}}, "needs a number"),
        ({"town": {"encoding": "date_parts", "parts": ["hour"]}}, "needs a timestamp"),
        ({"size": {"encoding": "ordinal", "order": ["S", "S "]}}, "stands twice"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(encode, message):
    with pytest.raises(SpecInvalid, match=message):
        declared(encode)


def test_outputs_never_share_a_name():
    with pytest.raises(SpecInvalid, match="rename 'town__1'"):
        declared({"town": {"encoding": "one_hot"}}, COLUMNS | {"town__1": {"type": "number"}})
    with pytest.raises(SpecInvalid, match="'seen_hour' is also"):
        declared(
            {"seen": {"encoding": "date_parts", "parts": ["hour"]}},
            COLUMNS | {"seen_hour": {"type": "number"}},
        )


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'nowhere' is neither a column nor a feature"):
        declared({"nowhere": {"encoding": "hash"}})
