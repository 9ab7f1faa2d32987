"""Parameters: what is learned from rows, and that both engines use it alike."""

import duckdb
import pytest

from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, feature_sql
from driftwheel.recipe.fit import MOST_CATEGORIES, DuckRows, fit
from driftwheel.recipe.literals import identifier
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import ModelSpec

SPEC = {
    "model": "m",
    "source": {"prefix": "data/m/", "key": ["k"]},
    "columns": {
        "k": {"type": "category", "feature": False},
        "whole": {"type": "integer", "missing": "median"},
        "often": {"type": "integer", "missing": "mode"},
        "flag": {"type": "boolean", "missing": "mode"},
        "word": {"type": "category", "missing": "mode"},
        "note": {"type": "text"},
        "at": {"type": "timestamp", "missing": "mode"},
        "empty": {"type": "number", "missing": "median"},
        "answer": {"type": "number", "feature": False, "missing": "median"},
    },
    "features": {
        "pair": "concat(word, '/', lower(substr(note, 1, 1)))",
        "late": "extract(hour from at) >= 12",
        "both": "case when late and flag then whole / 2 else -whole end",
    },
    "target": {"column": "answer", "kind": "regression"},
}
RECIPE = declare(ModelSpec.model_validate(SPEC))
NAMES = [column["name"] for column in RECIPE["columns"]]
ROWS = [
    ("1", "1", "7", "true", "b", "It's", "2024-01-01 13:00", "", "1"),
    ("2", "4", "7", "0", "a", "Éa", "2024-01-01T13:00Z", None, "2"),
    ("3", None, "3", None, None, None, None, None, None),
    ("4", "9", "3", "1", "b", "ﬁn", "2024-01-02", "x", "4"),
    ("5", "", "", "FALSE", "a", "", "2024-01-02", "NA", "5"),
    ("6", "2", None, "", "it's", "z", "bad", "", "6"),
]


@pytest.fixture
def engine():
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"CREATE TABLE raw ({', '.join(identifier(name) + ' VARCHAR' for name in NAMES)})")
        connection.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * len(NAMES))})", ROWS)
        connection.execute(f"CREATE TABLE clean AS {cleaning_query(connection, 'raw', RECIPE)}")
        yield connection


def test_medians_modes_and_categories_are_exact_and_break_ties_by_value(engine):
    params = fit(DuckRows(engine, "clean"), RECIPE)

    assert params["medians"] == {"whole": 3.0, "empty": None, "answer": 4.0}
    assert params["modes"] == {"often": 3, "flag": False, "word": "a", "at": "2024-01-01 13:00:00"}
    assert params["categories"]["word"] == ["a", "b", "it's"]
    assert params["categories"]["pair"] == ["a/", "a/É", "b/f", "b/i", "it's/z"]
    assert params["rare"] == {}


def test_fitted_values_codes_and_features_of_features_are_the_same_in_both_engines(engine):
    params = fit(DuckRows(engine, "clean"), RECIPE)
    row = load_recipe(RECIPE, params)

    batch = engine.execute(
        f"SELECT {', '.join(feature_sql(RECIPE, params))} FROM clean ORDER BY k"
    ).fetchall()

    assert [list(one) for one in batch] == [row.features(dict(zip(NAMES, one, strict=True))) for one in ROWS]
    assert row.feature_names == ["whole", "often", "flag", "word", "empty", "pair", "late", "both"]
    assert row.feature_types == ["q", "q", "q", "c", "q", "c", "q", "q"]
    assert row.sources["both"] == ["whole", "flag", "at"]


def test_an_unseen_category_is_missing(engine):
    params = fit(DuckRows(engine, "clean"), RECIPE)
    row = load_recipe(RECIPE, params)

    assert row.features({"word": "never"})[row.feature_names.index("word")] is None


def test_the_most_frequent_categories_get_codes_and_the_rest_is_counted(engine):
    engine.execute(f"INSERT INTO clean (word) SELECT 'w' || i FROM range({MOST_CATEGORIES}) t(i)")

    params = fit(DuckRows(engine, "clean"), RECIPE)

    assert len(params["categories"]["word"]) == MOST_CATEGORIES
    assert params["rare"]["word"] == 3


def test_no_rows_give_parameters_that_still_load(engine):
    params = fit(DuckRows(engine, "(SELECT * FROM clean WHERE false)"), RECIPE)

    assert load_recipe(RECIPE, params).features({"whole": 4, "word": "a", "at": "2024-01-01"})[0] == 4.0
    assert engine.execute(f"SELECT {', '.join(feature_sql(RECIPE, params))} FROM clean").fetchall()


def test_a_recipe_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version 99"):
        load_recipe(RECIPE | {"version": 99}, {})
