# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The recipe on DuckDB: what the batch engine runs; ``row`` says the same for one record."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from driftwheel.recipe import sql
from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.literals import (
    boolean_sql,
    double_sql,
    fold,
    identifier,
    integer_sql,
    lower_sql,
    number_sql,
    quote,
    timestamp_sql,
    upper_sql,
)
from driftwheel.recipe.sql import Params, Recipe

UNEVEN = r"^ | \z|  |[\t\n\x{0b}\f\r\x{a0}]"
PLAIN_NUMBER, PLAIN_INTEGER = r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?", "[+-]?[0-9]{1,18}"
"""Texts the engine reads as the grammar does: ``literals`` has it whole."""

ASCII = r"[\x00-\x7F]*"

FOLDS = "driftwheel_folds"
"""Temporary table (original, folded) of the texts that Unicode NFKC changes."""


class DuckDialect(Dialect):
    """DuckDB's way; its literals stand beside their Python in ``literals``."""

    text_type = "VARCHAR"

    def identifier(self, name: str) -> str:
        """Write a name."""
        return identifier(name)

    def quote(self, text: str) -> str:
        """Write a text."""
        return quote(text)

    def integer(self, value: int) -> str:
        """Write an integer."""
        return str(value)

    def matches(self, x: str, pattern: str) -> str:
        """Match the whole text."""
        return f"regexp_full_match({x}, {quote(pattern)})"

    def group(self, x: str, pattern: str, number: int) -> str:
        """Take a group."""
        return f"regexp_extract({x}, {quote(pattern)}, {number})"

    def replaced(self, x: str, pattern: str, text: str) -> str:
        """Replace every match: without 'g' DuckDB replaces the first one only."""
        return f"regexp_replace({x}, {quote(pattern)}, {quote(text)}, 'g')"

    def trimmed(self, x: str, characters: str) -> str:
        """Strip characters."""
        return f"trim({x}, {quote(characters)})"

    def plain(self, kind: str, x: str) -> list[tuple[str, str]]:
        """Read what needs no trimming, no care for overflow and no rewriting: most cells of most files."""
        if kind == "text":  # few have any but single blanks inside, and the test is cheap
            return [(f"NOT regexp_matches({x}, {quote(UNEVEN)})", x)]
        if kind == "number":
            return [(self.matches(x, PLAIN_NUMBER), f"CAST({x} AS DOUBLE) + 0e0")]  # minus zero is zero
        if kind == "integer":
            return [(self.matches(x, PLAIN_INTEGER), f"CAST({x} AS BIGINT)")]
        if kind == "boolean":
            return [(f"{x} IN ('1', 'true')", "TRUE"), (f"{x} IN ('0', 'false')", "FALSE")]
        same = "strlen({0}) = {1} AND CAST(try_cast({0} AS {2}) AS VARCHAR) = {0}"
        return [
            (same.format(x, 19, "TIMESTAMP"), x),
            (same.format(x, 10, "DATE"), f"{x} || ' 00:00:00'"),
        ]

    def issue(self, kind: str) -> str:
        """Name an issue in one byte."""
        return f"CAST({quote(kind)} AS ENUM('missing', 'bad literal', 'outside range'))"

    def number(self, x: str) -> str:
        """Read a number."""
        return number_sql(x)

    def whole(self, x: str) -> str:
        """Read an integer."""
        return integer_sql(x)

    def timestamp(self, x: str) -> str:
        """Read a timestamp."""
        return timestamp_sql(x)

    def part(self, part: str, x: str) -> str:
        """Extract a part."""
        return f"CAST(extract({part} FROM CAST({x} AS TIMESTAMP)) AS DOUBLE)"

    def days(self, start: str, end: str) -> str:
        """Count midnights."""
        return f"CAST(date_diff('day', CAST({start} AS TIMESTAMP), CAST({end} AS TIMESTAMP)) AS DOUBLE)"

    def rounded(self, function: str, x: str) -> str:
        """Round to a whole double."""
        return f"{function}({x})"

    def joined(self, parts: Sequence[str]) -> str:
        """Concatenate; NULLs are skipped."""
        return f"concat({', '.join(parts)})"

    def code(self, x: str, keys: Sequence[str]) -> str:
        """Look a text up in an ENUM: a hash look-up however many keys there are."""
        if not keys:
            return "CAST(NULL AS DOUBLE)"
        return f"CAST(enum_code(try_cast({x} AS ENUM({', '.join(map(quote, keys))}))) AS DOUBLE)"

    def pick(self, code: str, values: Sequence[float]) -> str:
        """Index a list literal."""
        listed = ", ".join(map(double_sql, values))
        return f"list_extract([{listed}], CAST({code} AS BIGINT) + 1)" if values else "CAST(NULL AS DOUBLE)"

    def lowered(self, x: str) -> str:
        """Lower the 26 ASCII letters."""
        return f"({lower_sql(x)})"

    def raised(self, x: str) -> str:
        """Raise the 26 ASCII letters."""
        return f"({upper_sql(x)})"

    def boolean(self, x: str) -> str:
        """Read a boolean."""
        return boolean_sql(x)

    def total(self, x: str) -> str:
        """Sum with Kahan's compensation."""
        return f"fsum({x})"


DUCK = DuckDialect()


def find_folds(connection: Any, source: str, recipe: Recipe) -> bool:
    """Fill ``driftwheel_folds`` with the texts of ``source`` that NFKC changes; tell whether there are any.

    ``source`` is a table's name or a query in parentheses.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {FOLDS} (original VARCHAR PRIMARY KEY, folded VARCHAR)")
    names = _list(identifier(column["name"]) for column in recipe["columns"] if sql.textual(column))
    if not names:
        return False
    rows = connection.execute(
        f"SELECT DISTINCT x FROM (SELECT unnest([{names}]) AS x FROM {source} "
        f"WHERE NOT {DUCK.matches(f'concat({names})', ASCII)}) "
        f"WHERE NOT {DUCK.matches('x', ASCII)}"
    ).fetchall()
    pairs = [(text, folded) for (text,) in rows if (folded := fold(text)) != text]
    if pairs:
        connection.executemany(f"INSERT INTO {FOLDS} VALUES (?, ?)", pairs)
    return bool(pairs)


def cleaning_sql(recipe: Recipe) -> list[str]:
    """Write ``expression AS name`` for every column, over VARCHAR columns of the same names.

    Texts must be folded already (``cleaning_query`` does it) unless all are ASCII. Numbers become DOUBLE,
    integers BIGINT, booleans BOOLEAN, timestamps VARCHAR ``YYYY-MM-DD HH:MM:SS``, texts VARCHAR.
    """
    return [
        f"{sql.cleaned_value(column, identifier(column['name']), DUCK)} AS {identifier(column['name'])}"
        for column in recipe["columns"]
    ]


def cleaning_query(connection: Any, source: str, recipe: Recipe, *, folded: bool = False) -> str:
    """Write the query that cleans ``source`` (a table's name, or a query in parentheses) of VARCHAR columns.

    It gives the columns of ``sql.Stages`` but ``__parsed``, and whatever else ``source`` holds. ``folded``
    says that every text is in NFKC already, as ASCII always is: ``source`` is then not read beforehand.
    """
    folds = not folded and find_folds(connection, source, recipe)
    names = [column["name"] for column in recipe["columns"]]
    folding = {column["name"] for column in recipe["columns"] if folds and sql.textual(column)}

    def received(name: str) -> str:
        return identifier(f"__text.{name}")

    def unfolded(name: str) -> str:
        return identifier(f"__unfolded.{name}")

    def folded_text(name: str) -> str:
        x = f"__source.{identifier(name)}"
        if name not in folding:
            return x
        return f"coalesce((SELECT f.folded FROM {FOLDS} f WHERE f.original = {x}), {x})"

    stages = sql.cleaning_stages(recipe, DUCK, received, unfolded if folds else None)
    texts = [(folded_text(name), f"__text.{name}") for name in names]
    texts += [(f"__source.{identifier(name)}", f"__unfolded.{name}") for name in names if name in folding]
    given = _list(map(identifier, names))
    query = f"SELECT * EXCLUDE ({given}), {sql.named(texts, DUCK)} FROM {source} AS __source"
    query = f"SELECT *, {sql.named(stages.tested, DUCK)} FROM ({query})" if stages.tested else query
    query = f"SELECT *, {sql.named(stages.parsed, DUCK)} FROM ({query})"
    used = _list(
        [
            *(identifier(name) for _, name in (*stages.tested, *stages.parsed)),
            *(unfolded(name) for name in names if name in folding),
        ]
    )
    query = f"SELECT * EXCLUDE ({used}), {sql.named(stages.judged, DUCK)} FROM ({query})"
    return f"SELECT * EXCLUDE ({_list(map(received, names))}), {sql.named(stages.told, DUCK)} FROM ({query})"


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def feature_sql(recipe: Recipe, params: Params, folds: Params | None = None) -> list[str]:
    """Write ``expression AS "x.<output>"`` for every output of the model's inputs (``sql.feature_pairs``)."""
    pairs = sql.feature_pairs(recipe, params, DUCK, folds)
    return [f"{x} AS {identifier(name)}" for x, name in pairs]


def target_sql(recipe: Recipe) -> str:
    """Write ``expression AS __label`` (``sql.label_sql``)."""
    return f"{sql.label_sql(recipe, DUCK)} AS __label"


def expression_sql(node: Sequence[Any], names: Mapping[str, str]) -> str:
    """Write an expression (``sql.expression_sql``)."""
    return sql.expression_sql(node, names, DUCK)
