# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Columns that may tell the answer because they are written after it: by their values, gaps and names."""

import re
from collections.abc import Sequence
from typing import Any

from driftwheel.discovery.column import Found
from driftwheel.rank_sum import auc_of, rank_sum_sql
from driftwheel.recipe.literals import boolean_sql, collapse_sql, identifier, number_sql, quote, trim_sql

LEAKING = 0.98
ROWS = 50_000
FEW_OF_A_KIND = 20
WORDS = re.compile(r"[^\W_]+")
AFTERWARDS = re.compile(
    "after|afterwards|post|final|outcome|result|resolved|resolution|closed|closing|actual|refund(?:ed)?|"
    "chargeback|cancel(?:l?ed|lation)|reason|returned|terminated|termination|discharged?|settled|paid"
)
"""Words of what is known only once it is over."""

SAME_STEM = 4
"""Letters two words must begin with alike to be of one stem: ``churn_date`` beside ``churned``."""


def find(connection: Any, columns: Sequence[Found], answer: Found, key: Sequence[str]) -> dict[str, float]:
    """Name the columns that alone tell a yes or no, with their AUC; note those whose names say so.

    ``answer`` is the target's column. A target that is a number is told by everything that follows it: only
    names are looked at.
    """
    for column in columns:
        if column is not answer and column.name not in key and column.type != "text":
            _note_name(column, answer.name)
    if answer.type != "boolean" and answer.distinct != 2 and not answer.classes:
        return {}
    others = [column for column in columns if column is not answer]
    return _told_by_gaps(connection, others, answer) | _told_by_values(connection, others, answer)


def _note_name(column: Found, target: str) -> None:
    words = WORDS.findall(column.name.lower())
    stems = {word[:SAME_STEM] for word in WORDS.findall(target.lower()) if len(word) >= SAME_STEM}
    late = next((word for word in words if AFTERWARDS.fullmatch(word)), None)
    like = next((word for word in words if word[:SAME_STEM] in stems), None)
    if late:
        column.notes.append(f"'{late}' in its name: is it known only after the answer? then feature: false")
    elif like:
        column.notes.append(
            f"'{like}' in its name sounds like {target}: is it known before it? else feature: false"
        )


def label_sql(answer: Found) -> str:
    """Write a target as 0 and 1: the rarer of two texts is 1, of several the most frequent."""
    x = trim_sql(identifier(answer.name))
    if answer.type == "boolean":
        return f"CAST({boolean_sql(x)} AS INTEGER)"
    if answer.classes:
        return f"CAST({collapse_sql(identifier(answer.name))} = {quote(answer.top[0][0])} AS INTEGER)"
    rarer = f"SELECT {x} FROM raw WHERE {x} <> '' GROUP BY 1 ORDER BY count(*), 1 LIMIT 1"
    return f"CAST({x} = ({rarer}) AS INTEGER)"


def _told_by_gaps(connection: Any, columns: Sequence[Found], answer: Found) -> dict[str, float]:
    """Measure how well it tells the answer that a column has a value at all: a date of cancellation does."""
    suspects = {}
    for column in columns:
        if not 0 < column.given < column.rows:
            continue
        x = trim_sql(identifier(column.name))
        tokens = ", ".join(map(quote, ["", *column.null_tokens]))
        ones, zeros, given_ones, given_zeros = connection.execute(
            "SELECT count(*) FILTER (WHERE y = 1), count(*) FILTER (WHERE y = 0), "
            "count(*) FILTER (WHERE y = 1 AND given), count(*) FILTER (WHERE y = 0 AND given) FROM "
            f"(SELECT {label_sql(answer)} AS y, coalesce({x} NOT IN ({tokens}), FALSE) AS given FROM raw)"
        ).fetchone()
        if min(ones, zeros) < FEW_OF_A_KIND:
            continue
        auc = 0.5 + abs(given_ones / ones - given_zeros / zeros) / 2
        if auc > LEAKING:
            suspects[column.name] = auc
            column.notes.append(f"whether it has a value already tells {answer.name}")
    return suspects


def _told_by_values(connection: Any, columns: Sequence[Found], answer: Found) -> dict[str, float]:
    """Measure how well each column's values tell it, by AUC."""
    suspects = {}
    for column in columns:
        if column.identifier or column.type == "text":
            continue
        x = trim_sql(identifier(column.name))
        sample = (
            f"(SELECT {label_sql(answer)} AS y, nullif({x}, '') AS t FROM raw "
            f"USING SAMPLE reservoir({ROWS} ROWS) REPEATABLE (7))"
        )
        value = number_sql("t") if column.type in {"number", "integer"} else "avg(y) OVER (PARTITION BY t)"
        if value.startswith("avg") and column.distinct > column.rows / 20:
            continue
        ranks, ones, count = connection.execute(rank_sum_sql("y", value, f"{sample} AS sampled")).fetchone()
        if min(ones, count - ones) < FEW_OF_A_KIND:
            continue
        auc = auc_of(ranks, ones, count)
        if max(auc, 1 - auc) > LEAKING:
            suspects[column.name] = max(auc, 1 - auc)
    return suspects
