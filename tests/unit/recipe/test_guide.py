"""docs/recipe.md: every example in its tables is what the batch engine and the server compute."""

import re
from pathlib import Path
from typing import get_args

import duckdb
import pytest
import yaml

from driftwheel.encode import Encoding
from driftwheel.recipe.declare import declare
from driftwheel.recipe.duck import cleaning_query, feature_sql
from driftwheel.recipe.encodings import ENCODINGS
from driftwheel.recipe.expression import READERS
from driftwheel.recipe.fit import DuckRows, fit
from driftwheel.recipe.row import FieldError, load_recipe
from driftwheel.spec import Column, ModelSpec
from driftwheel.yaml12 import Yaml12Loader

TEXT = (Path(__file__).parents[3] / "docs/recipe.md").read_text(encoding="utf-8")
CELL = re.compile(r"(?<!\\)\|")


def table(heading, number=0):
    """Give the cells of the so many-th table under a heading."""
    part = TEXT.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"(?:^\|.*(?:\n|\Z))+", part, re.MULTILINE)[number].splitlines()[2:]
    assert lines, heading
    return [[cell.strip().replace("\\|", "|") for cell in CELL.split(line)[1:-1]] for line in lines]


def codes(cell):
    return re.findall(r"`([^`]*)`", cell)


def value(text):
    return yaml.load(text, Loader=Yaml12Loader)  # a SafeLoader


def pairs(cell):
    return [(value(given), value(wanted)) for given, wanted in re.findall(r"`([^`]*)` → `([^`]*)`", cell)]


def spec(columns, **more):
    return declare(
        ModelSpec.model_validate(
            {
                "model": "m",
                "source": {"prefix": "data/m/", "key": ["k"]},
                "columns": {
                    "k": {"type": "category", "feature": False},
                    **columns,
                    "answer": {"type": "boolean", "feature": False},
                },
                "target": {"column": "answer"},
            }
            | more
        )
    )


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        yield found


def load(connection, recipe, rows):
    names = [column["name"] for column in recipe["columns"]]
    connection.execute(f"CREATE OR REPLACE TABLE raw ({', '.join(f'{n} VARCHAR' for n in names)}, n INTEGER)")
    for n, row in enumerate(rows):
        texts = [None if row.get(name) is None else str(row[name]) for name in names]
        connection.execute(f"INSERT INTO raw VALUES ({', '.join('?' * (len(names) + 1))})", [*texts, n])
    query = cleaning_query(connection, "raw", recipe)
    connection.execute(
        f"CREATE OR REPLACE TABLE clean AS SELECT *, CAST(answer AS DOUBLE) AS __label FROM ({query})"
    )


CLEANING = [  # semicolons part what each declaration makes of its examples
    (rule, declared, *pair)
    for rule, declarations, examples in table("Cleaning")
    for declared, group in zip(codes(declarations), examples.split("; "), strict=True)
    for pair in pairs(group)
]


@pytest.mark.parametrize(("rule", "declared", "given", "wanted"), CLEANING)
def test_a_rule_cleans_as_its_example_says(connection, rule, declared, given, wanted):
    recipe = spec({"c": value(declared)}, features={"f": "case when c is null then 1 else 0 end"})
    load(connection, recipe, [{"k": "1", "c": given}])
    row = load_recipe(recipe, {"categories": {"c": []}})
    batch, rejected = connection.execute("SELECT c, __rejected FROM clean").fetchone()

    if wanted == "rejected":
        assert rejected
        with pytest.raises(FieldError):
            row.clean({"c": given})
    else:
        assert (batch, row.clean({"c": given})["c"]) == (wanted, wanted), rule
        assert rejected is None


FITTED = [
    (declared, fitted, *pair)
    for _, declarations, fits, examples in table("Cleaning", 1)
    for declared, fitted, group in zip(codes(declarations), codes(fits), examples.split("; "), strict=True)
    for pair in pairs(group)
]


@pytest.mark.parametrize(("declared", "fitted", "given", "wanted"), FITTED)
def test_a_fitted_rule_gives_what_its_example_says(connection, declared, fitted, given, wanted):
    recipe = spec({"c": value(declared)})
    load(connection, recipe, [{"k": n, "c": row, "answer": 1} for n, row in enumerate(value(fitted))])
    params = fit(DuckRows(connection, "clean"), recipe)
    load(connection, recipe, [{"k": 1, "c": given, "answer": 1}])
    batch = connection.execute(f"SELECT {feature_sql(recipe, params)[0]} FROM clean").fetchone()

    served = load_recipe(recipe, params).features({"c": given})

    assert list(batch) == served == [wanted]


FEATURES = [
    (expression, codes(record)[0], wanted)
    for expressions, record, results in table("Features")
    for expression, wanted in zip(codes(expressions), codes(results), strict=True)
]
KINDS = {"a": "number", "b": "number", "c": "number", "t": "text", "d": "timestamp"}


@pytest.mark.parametrize(("expression", "record", "wanted"), FEATURES)
def test_an_expression_gives_what_its_example_says(connection, expression, record, wanted):
    given = value(record)
    recipe = spec(
        {name: {"type": KINDS[name], "feature": False} for name in given}, features={"f": expression}
    )
    load(connection, recipe, [{"k": "1"} | given])
    params = fit(DuckRows(connection, "clean"), recipe)
    batch = connection.execute(f"SELECT {feature_sql(recipe, params)[0]} FROM clean").fetchone()

    served = load_recipe(recipe, params).features(given)

    assert list(batch) == served
    assert served == [value(wanted)]


ENCODED = [
    (codes(declared)[0], codes(fitted), *pair)
    for _, declared, fitted, then in table("Encodings")
    for pair in pairs(then)
]


@pytest.mark.parametrize(("declared", "fitted", "given", "wanted"), ENCODED)
def test_an_encoding_gives_what_its_example_says(connection, declared, fitted, given, wanted):
    encoding = value(declared)
    rows = value(fitted[0])
    labels = value(fitted[1]) if len(fitted) > 1 else [1] * len(rows)
    kind = {"text": "category", "number": "number"}.get(
        next(iter(getattr(ENCODINGS.get(encoding["encoding"]), "takes", {"timestamp"}))), "timestamp"
    )
    recipe = spec({"c": {"type": kind}}, encode={"c": encoding})
    load(
        connection,
        recipe,
        [
            {"k": n, "c": row, "answer": label}
            for n, (row, label) in enumerate(zip(rows, labels, strict=True))
        ],
    )
    params = fit(DuckRows(connection, "clean"), recipe)
    row = load_recipe(recipe, params)
    load(connection, recipe, [{"k": 1, "c": given, "answer": 1}])
    batch = connection.execute(f"SELECT {', '.join(feature_sql(recipe, params))} FROM clean").fetchone()

    assert row.features({"c": given}) == pytest.approx(wanted)
    assert list(batch) == row.features({"c": given})


def test_the_guide_leaves_out_no_rule_function_or_encoding():
    written = " ".join(FEATURES[n][0] for n in range(len(FEATURES)))
    functions = {
        kind.sql_names()[0].lower()
        for kind in READERS
        if hasattr(kind, "sql_names") and kind.__name__ != "Case"
    }
    known = {"substring": "substr", "pow": "power", "log": "log10", "datediff": "date_diff"}
    missing = {f for f in functions if known.get(f, f).replace("_", "") not in written.replace("_", "")}
    encodings = {
        kind.model_fields["encoding"].annotation.__args__[0] for kind in Encoding.__args__[0].__args__
    }

    assert missing <= {"and", "or"}
    assert {name for name in encodings if f"encoding: {name}" not in TEXT} == set()
    declared = " ".join(f"{{{each[1]}" for each in CLEANING) + " ".join(each[0] for each in FITTED)
    told_in_words = {"description", "feature", "optional", "type"}
    assert {name for name in Column.model_fields if f"{name}: " not in declared} <= told_in_words
    for name, field in Column.model_fields.items():
        choices = [one for one in get_args(field.annotation) if isinstance(one, str)]
        assert {one for one in choices if f"{name}: {one}" not in declared} <= {"null"}, name
