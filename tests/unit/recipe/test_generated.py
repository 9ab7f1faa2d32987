"""Generated recipes over generated rows: the batch engine and the server clean, reject and compute alike."""

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.recipe.generated import ROWS, numbered, recipes

from driftwheel.recipe.duck import cleaning_query, feature_sql
from driftwheel.recipe.fit import DuckRows, fit
from driftwheel.recipe.row import FieldError, load_recipe


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        yield found


def prepared(connection, recipe, rows):
    """Clean the rows in DuckDB and fit on those no rule rejects."""
    names = [column["name"] for column in recipe["columns"]]
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{name} VARCHAR' for name in names)})")
    connection.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * len(names))})", numbered(rows, names))
    query = cleaning_query(connection, "raw", recipe)
    connection.execute(
        f"CREATE OR REPLACE TABLE clean AS SELECT *, CAST(answer AS DOUBLE) AS __label FROM ({query})"
    )
    return fit(DuckRows(connection, "(SELECT * FROM clean WHERE __rejected IS NULL)"), recipe)


def served(row, record):
    """Give a record's features, or the field the server refuses it for."""
    try:
        return row.features(record)
    except FieldError as refused:
        return refused.field


@settings(
    max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(recipe=recipes(), rows=ROWS)
def test_any_recipe_gives_the_same_to_both_engines(connection, recipe, rows):
    params = prepared(connection, recipe, rows)
    row = load_recipe(recipe, params)
    inputs = recipe["inputs"]
    select = ", ".join([*inputs, "__rejected", *feature_sql(recipe, params)])

    batch = connection.execute(f"SELECT {select} FROM clean ORDER BY k").fetchall()

    for record, found in zip(rows, batch, strict=True):
        cleaned, rejected, features = found[: len(inputs)], found[len(inputs)], found[len(inputs) + 1 :]
        asked = {name: record[name] for name in inputs if name in record}
        column = rejected.partition(":")[0] if rejected else None
        if column in inputs:
            assert served(row, asked) == column
        else:  # what the model does not read may reject a row of training, never a request
            given = row.clean(asked)
            assert [repr(value) for value in cleaned] == [repr(given[name]) for name in inputs]
            assert served(row, asked) == list(features)
