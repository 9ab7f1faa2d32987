"""The recipe on Spark SQL 3.5, ANSI or not: the same values as ``duck`` and ``row``.

Spark reads a backslash in a text literal as an escape, matches regular expressions anywhere in a text, turns
``floor`` into an integer of 64 bits, and lets one NULL empty a whole ``concat``: each is written around here.
Time zones never enter: timestamps are texts in UTC, computed as TIMESTAMP_NTZ.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from driftwheel.recipe import sql
from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.fit import TrainingRows
from driftwheel.recipe.literals import (
    INTEGER,
    LONGEST,
    NUMBER,
    OFFSET,
    TIMESTAMP,
    double_sql,
    fold,
)
from driftwheel.recipe.sql import Params, Recipe

FOLD = "driftwheel_fold"
"""Name of the function that brings a text to Unicode NFKC: Spark has none of its own."""

EXACT = 4503599627370496
"""Doubles from 2**52 on are whole numbers: ``floor`` leaves them alone."""


class SparkDialect(Dialect):
    """Spark's way."""

    text_type = "STRING"

    def identifier(self, name: str) -> str:
        """Write a name in backticks."""
        return "`" + name.replace("`", "``") + "`"

    def quote(self, text: str) -> str:
        """Write a text; backslashes and quotes are escaped."""
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    def integer(self, value: int) -> str:
        """Write an integer: as a number the smallest one would not be read."""
        return f"CAST('{value}' AS BIGINT)"

    def matches(self, x: str, pattern: str) -> str:
        """Match the whole text: ``$`` would let a last line break pass."""
        return f"({x} RLIKE {self.quote(_whole(pattern))})"

    def group(self, x: str, pattern: str, number: int) -> str:
        """Take a group; empty when nothing matches."""
        return f"regexp_extract({x}, {self.quote(_whole(pattern))}, {number})"

    def replaced(self, x: str, pattern: str, text: str) -> str:
        """Replace every match."""
        return f"regexp_replace({x}, {self.quote(pattern)}, {self.quote(text)})"

    def trimmed(self, x: str, characters: str) -> str:
        """Strip characters."""
        return f"trim(BOTH {self.quote(characters)} FROM {x})"

    def number(self, x: str) -> str:
        """Read a number: the grammar first, the cast afterwards."""
        value = f"try_cast({x} AS DOUBLE)"
        return (
            f"CASE WHEN length({x}) <= {LONGEST} AND {self.matches(x, NUMBER)} AND {self.finite(value)} "
            f"THEN CASE WHEN {value} = 0e0 THEN 0e0 ELSE {value} END END"
        )

    def whole(self, x: str) -> str:
        """Read an integer of 64 bits."""
        digits = self.group(x, r"([+-]?[0-9]+)(?:\.0*)?", 1)
        return (
            f"CASE WHEN length({x}) <= {LONGEST} AND {self.matches(x, INTEGER)} "
            f"THEN try_cast({digits} AS BIGINT) END"
        )

    def timestamp(self, x: str) -> str:
        """Read a timestamp into a text in UTC."""
        clock = f"CASE WHEN length({x}) > 10 THEN substr({x}, 12, 5) ELSE '00:00' END"
        seconds = f"CASE WHEN substr({x}, 17, 1) = ':' THEN substr({x}, 18, 2) ELSE '00' END"
        local = f"try_cast(concat(substr({x}, 1, 10), ' ', {clock}, ':', {seconds}) AS TIMESTAMP_NTZ)"

        offset = self.quote(OFFSET + r"\z")

        def zone(number: int) -> str:
            return f"regexp_extract({x}, {offset}, {number})"

        minutes = (
            f"CASE WHEN length({x}) > 16 AND {zone(1)} <> '' "
            f"THEN CAST(concat({zone(1)}, '1') AS INT) * (60 * CAST({zone(2)} AS INT) "
            f"+ coalesce(try_cast({zone(3)} AS INT), 0)) ELSE 0 END"
        )
        utc = f"({local} - make_dt_interval(0, 0, {minutes}, 0))"
        first, last = "TIMESTAMP_NTZ'0001-01-01 00:00:00'", "TIMESTAMP_NTZ'9999-12-31 23:59:59'"
        return (
            f"CASE WHEN {self.matches(x, TIMESTAMP)} THEN CASE WHEN {local} >= {first} "
            f"AND {utc} BETWEEN {first} AND {last} THEN CAST({utc} AS STRING) END END"
        )

    def part(self, part: str, x: str) -> str:
        """Extract a part: from the text where that is all it takes."""
        if part in PLACES:
            start, length = PLACES[part]
            return f"CAST(substr({x}, {start}, {length}) AS DOUBLE)"
        date = f"CAST(substr({x}, 1, 10) AS DATE)"
        if part == "doy":
            return f"CAST(dayofyear({date}) AS DOUBLE)"
        return f"CAST(weekday({date}) + 1 AS DOUBLE)"  # Monday is 0 here, 1 by ISO 8601

    def days(self, start: str, end: str) -> str:
        """Count midnights."""
        dates = (f"CAST(substr({x}, 1, 10) AS DATE)" for x in (end, start))
        return f"CAST(datediff({', '.join(dates)}) AS DOUBLE)"

    def rounded(self, function: str, x: str) -> str:
        """Round to a whole double; what is too large for BIGINT is whole already."""
        return f"(CASE WHEN abs({x}) < {EXACT}e0 THEN CAST({function}({x}) AS DOUBLE) ELSE {x} END)"

    def joined(self, parts: Sequence[str]) -> str:
        """Concatenate, skipping NULLs as ``concat`` would not."""
        return f"concat_ws('', {', '.join(parts)})"

    def code(self, x: str, keys: Sequence[str]) -> str:
        """Find the place in an array."""
        if not keys:
            return "CAST(NULL AS DOUBLE)"
        listed = ", ".join(map(self.quote, keys))
        return f"CAST(nullif(array_position(array({listed}), {x}), 0) - 1 AS DOUBLE)"

    def pick(self, code: str, values: Sequence[float]) -> str:
        """Index an array; ``element_at`` answers its last element for a NULL index under ANSI (3.5.9)."""
        listed = ", ".join(map(double_sql, values))
        return f"get(array({listed}), CAST({code} AS INT))" if values else "CAST(NULL AS DOUBLE)"

    def total(self, x: str) -> str:
        """Sum; ``encodings.steady`` rounds what depends on the order."""
        return f"sum({x})"


PLACES = {"year": (1, 4), "month": (6, 2), "day": (9, 2), "hour": (12, 2)}
"""Start and length of a part in ``YYYY-MM-DD HH:MM:SS``."""

SPARK = SparkDialect()


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


class SparkRows(TrainingRows):
    """Rows in Spark; the session is a SparkSession."""

    dialect = SPARK

    def fetch(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run a query."""
        query = f"SELECT {select} FROM {self.table} {rest}"  # noqa: S608  # written by the dialect
        return [tuple(row) for row in self.session.sql(query).collect()]

    def quantiles(self, x: str, shares: Sequence[float]) -> list[float]:
        """Select values."""
        picks = ", ".join(f"percentile_disc({share!r}) WITHIN GROUP (ORDER BY {x})" for share in shares)
        return [float(value) for value in self.fetch(picks)[0]]


def register_fold(session: Any) -> None:
    """Make ``driftwheel_fold`` known to a SparkSession."""
    session.udf.register(FOLD, _fold, "string")


def _fold(text: str | None) -> str | None:
    return None if text is None else fold(text)


def cleaning_query(source: str, recipe: Recipe, kept: Iterable[str] = ()) -> str:
    """Write the query that cleans ``source`` (a view's name, or a query in parentheses) of STRING columns.

    It gives the columns of ``sql.Stages`` but ``__parsed``, and those of ``kept``: Spark 3.5 cannot leave
    out columns of ``*``. Needs ``register_fold``.
    """
    names = [column["name"] for column in recipe["columns"]]
    textual = {column["name"] for column in recipe["columns"] if sql.textual(column)}

    def folded(name: str) -> str:
        x = SPARK.identifier(name)
        if name not in textual:
            return x
        plain = SPARK.matches(x, r"[\x00-\x7F]*")
        return f"(CASE WHEN {x} IS NULL OR {plain} THEN {x} ELSE {FOLD}({x}) END)"

    def received(name: str) -> str:
        return SPARK.identifier(f"__text.{name}")

    def unfolded(name: str) -> str:
        return SPARK.identifier(f"__unfolded.{name}")

    stages = sql.cleaning_stages(recipe, SPARK, received, unfolded)
    rest = "".join(f", {SPARK.identifier(name)}" for name in kept)
    texts = "".join(f", {received(name)}" for name in names)
    before = "".join(f", {unfolded(name)}" for name in names if name in textual)
    judged = "".join(f", {SPARK.identifier(name)}" for _, name in stages.judged)
    first = [(folded(name), f"__text.{name}") for name in names]
    first += [(SPARK.identifier(name), f"__unfolded.{name}") for name in names if name in textual]
    query = f"SELECT {sql.named(first, SPARK)}{rest} FROM {source}"  # noqa: S608
    query = f"SELECT {sql.named(stages.parsed, SPARK)}{texts}{before}{rest} FROM ({query})"  # noqa: S608
    query = f"SELECT {sql.named(stages.judged, SPARK)}{texts}{rest} FROM ({query})"  # noqa: S608
    return f"SELECT {sql.named(stages.told, SPARK)}{judged}{rest} FROM ({query})"  # noqa: S608


def feature_sql(recipe: Recipe, params: Params, folds: Params | None = None) -> list[str]:
    """Write ``expression AS `x.<output>` `` for every output of the inputs (``sql.feature_pairs``)."""
    pairs = sql.feature_pairs(recipe, params, SPARK, folds)
    return [f"{x} AS {SPARK.identifier(name)}" for x, name in pairs]


def target_sql(recipe: Recipe) -> str:
    """Write ``expression AS __label`` (``sql.label_sql``)."""
    return f"{sql.label_sql(recipe, SPARK)} AS __label"
