# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""``profile.json``: what came in, what stayed behind and why, and what each column looks like."""

from collections.abc import Mapping
from typing import Any

from driftwheel.dataset.numbers import number_profiles
from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.literals import double_sql, identifier
from driftwheel.recipe.row import fill_of
from driftwheel.recipe.sql import rewritten

TOP, NAMED = 12, 5
LONGEST = 60
"""Characters of a value that a profile shows."""


def column_profiles(space: Workspace) -> dict[str, Any]:
    """Describe every cleaned column of ``rows``: numbers by quantiles and bins, others by frequent values."""
    columns = space.recipe["columns"]
    rows, issues = space.count("rows"), _issues(space)
    numbers = number_profiles(space, [c["name"] for c in columns if c["type"] in {"number", "integer"}])
    found = {}
    for column in columns:
        name = column["name"]
        missing, bad, outside = issues.get(name, (0, 0, 0))
        about = {"type": column["type"], "given": rows - missing, "missing": missing}
        about |= {"bad_literal": bad, "outside_range": outside}
        found[name] = about | (numbers.get(name) or _words(space, column, rows))
    return found


def rewritten_texts(space: Workspace) -> dict[str, dict[str, int]]:
    """Count by column the values of ``rows`` that a rule rewrote: ``trimmed``, ``folded``, ``canonical``.

    A value that is not of its type afterwards, or missing, is counted all the same.
    """
    marks = rewritten(space.recipe)
    words = [identifier(word) for word in dict.fromkeys(word for word, _ in marks.values())]
    counted = ", ".join(f"coalesce(sum(n) FILTER (WHERE {_marked(*mark)}), 0)" for mark in marks.values())
    # Few rows differ in their marks.
    alike = f"SELECT {', '.join(words)}, count(*) AS n FROM rows GROUP BY {', '.join(words)}"
    counts = space.one(f"SELECT {counted} FROM ({alike}) AS alike")
    found: dict[str, dict[str, int]] = {}
    for (name, rule), count in zip(marks, counts, strict=True):
        found.setdefault(name, {})[rule] = int(count)
    return found


def _marked(word: str, bit: int) -> str:
    return f"({identifier(word)} & {bit}) <> 0"


def fitted_rules(space: Workspace, params: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Count by column the values of ``rows`` beyond the fence (``outliers``) and the missing ones ``filled``.

    A value the fence nulls is filled too where the column has a fill.
    """
    asked: list[tuple[str, str, str]] = []
    for column in space.recipe["columns"]:
        name, x = column["name"], identifier(column["name"])
        fence = params["fences"].get(name)
        beyond = "FALSE"
        if column.get("outliers") and fence:
            beyond = f"CAST({x} AS DOUBLE) NOT BETWEEN {' AND '.join(map(double_sql, fence))}"
            asked.append((name, "outliers", beyond))
        if fill_of(column, params) is not None:
            nulled = f" OR {beyond}" if (column.get("outliers") or {}).get("action") == "null" else ""
            asked.append((name, "filled", f"{x} IS NULL{nulled}"))
    found: dict[str, dict[str, int]] = {}
    if asked:
        counts = space.one(
            f"SELECT {', '.join(f'count(*) FILTER (WHERE {rule})' for _, _, rule in asked)} FROM rows"
        )
        for (name, what, _), count in zip(asked, counts, strict=True):
            found.setdefault(name, {})[what] = count
    return found


def _issues(space: Workspace) -> dict[str, tuple[int, ...]]:
    """Count missing, unreadable and outlying cells of the columns that have any: most have none."""
    asked = {name: identifier(f"__issue.{name}") for name in space.judged}
    texts = [name for name in space.columns if name not in asked]
    cells = [f"count({issue})" for issue in asked.values()]
    cells += [f"count(*) - count({identifier(name)})" for name in texts]
    found = dict(zip([*asked, *texts], space.one(f"SELECT {', '.join(cells)} FROM rows"), strict=True))
    counts: dict[str, tuple[int, ...]] = {name: (found[name], 0, 0) for name in texts}
    if some := [name for name in asked if found[name]]:
        counted = space.one(f"SELECT {', '.join(_counts(asked[name]) for name in some)} FROM rows")
        counts |= {name: counted[3 * place : 3 * place + 3] for place, name in enumerate(some)}
    return counts


def _counts(issue: str) -> str:
    kinds = ("missing", "bad literal", "outside range")
    return ", ".join(f"count(*) FILTER (WHERE {issue} = '{kind}')" for kind in kinds)


def _words(space: Workspace, column: dict[str, Any], rows: int) -> dict[str, Any]:
    name, x = column["name"], identifier(column["name"])
    if column["type"] == "timestamp":
        first, last = space.one(f"SELECT min({x}), max({x}) FROM rows")
        return {"first": first, "last": last}
    if space.spec.source.key == [name]:  # no two rows have one key
        return {"distinct": int(space.one(f"SELECT count({x}) FROM rows")[0])}
    counted = (
        f"(SELECT {space.text(name)} AS value, count(*) AS n FROM rows WHERE {x} IS NOT NULL GROUP BY 1)"
    )
    top = space.rows(f"SELECT value, n, count(*) OVER () FROM {counted} ORDER BY n DESC, value LIMIT {TOP}")
    distinct = top[0][2] if top else 0
    # What names a row may name a person: the values of keys and of columns like keys stay where they are.
    hidden = name in space.spec.source.key or distinct > max(TOP, rows / 2)
    unknown = _unlisted(space, column, counted, hidden=hidden)
    return {"distinct": distinct} | ({} if hidden else {"top": [[_short(v), n] for v, n, _ in top]}) | unknown


def _unlisted(space: Workspace, column: dict[str, Any], counted: str, *, hidden: bool) -> dict[str, Any]:
    """Count the values that the column's canonical ones do not hold; name the commonest."""
    if not column.get("canonical"):
        return {}
    canonical = ", ".join(map(space.dialect.quote, sorted(set(column["canonical"].values()))))
    query = (
        f"SELECT value, n, sum(n) OVER (), count(*) OVER () FROM {counted} WHERE value NOT IN ({canonical})"
    )
    found = space.rows(f"{query} ORDER BY n DESC, value LIMIT {TOP}")
    rows, distinct = found[0][2:] if found else (0, 0)
    named = [] if hidden else [_short(value) for value, *_ in found]
    return {"unlisted": int(rows), "unlisted_distinct": int(distinct), "unlisted_top": named}


def unlisted(columns: Mapping[str, dict[str, Any]]) -> list[str]:
    """Say of each column with canonical values how often another one stands there."""
    notes = []
    for name, facts in columns.items():
        if rows := facts.get("unlisted"):
            often = ", ".join(map(repr, facts["unlisted_top"][:NAMED]))
            different = f"{facts['unlisted_distinct']:,} different{often and ', most often '}{often}"
            notes.append(f"{name}: {rows:,} values are not under canonical, kept as they are ({different})")
    return notes


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"


def label_profile(space: Workspace) -> dict[str, Any]:
    """Describe the labels of ``rows``."""
    rows, mean, ones = space.one(
        "SELECT count(*), avg(__label), count(*) FILTER (WHERE __label = 1) FROM rows"
    )
    kind = space.spec.target.kind
    return {"kind": kind, "rows": rows, "mean": mean} | ({"positives": ones} if kind == "binary" else {})


def spans(space: Workspace) -> dict[str, list[str | None]]:
    """Give the first and last moment of each split."""
    query = "SELECT __split, min(__time), max(__time) FROM parted GROUP BY 1 ORDER BY 1"
    return {split: [first, last] for split, first, last in space.rows(query)}


def rejected_by_rule(space: Workspace) -> dict[str, int]:
    """Count rejected rows by the rule that rejected them."""
    return dict(
        space.rows(
            "SELECT __rejected, count(*) FROM cleaned WHERE __rejected IS NOT NULL "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        )
    )
