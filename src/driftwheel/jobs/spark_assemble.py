# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Several sources into ``cleaned`` in Spark, as ``dataset.assemble`` does it in DuckDB."""

import csv
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from driftwheel.dataset.cleaned import SENT, derived
from driftwheel.dataset.files import Assembled
from driftwheel.dataset.flood import LONGEST
from driftwheel.jobs.spark_workspace import SparkWorkspace
from driftwheel.recipe.literals import identifier, quote
from driftwheel.recipe.spark import cleaning_query
from driftwheel.recipe.sql import rewritten


def join(space: SparkWorkspace, found: Assembled, frames: dict[str, Any]) -> None:
    """Make ``joined``: the source rows with the columns of every enrichment, as text.

    For each key of an enrichment its last row counts: rows never multiply. Both sides are compared after
    cleaning.
    """
    space.show("joined", _readable(frames["source"], found, "source"))
    own = {name for n in found.readable("source") for name in found.files[n].columns}
    for number, enrichment in enumerate(space.spec.enrich):
        role, on = f"enrich-{number}", enrichment.on
        seen = {name for n in found.readable(role) for name in found.files[n].columns}
        gives = [name for name in space.columns if name in seen - own - set(on)]
        own |= set(gives)
        space.show("enriching", _readable(frames[role], found, role))
        keys = [identifier(f"__on.{name}") for name in on]
        latest = (
            f"SELECT *, row_number() OVER (PARTITION BY {_list(keys)} ORDER BY __file DESC, __line DESC) "
            f"AS __place FROM ({_keyed(space, on, 'enriching', gives)})"
        )
        same = " AND ".join(f"l.{key} = r.{key}" for key in keys)
        kept = [name for name in space.columns if name not in gives]
        chosen = [
            *(f"l.{identifier(name)} AS {identifier(name)}" for name in (*kept, "__file", "__line")),
            *(f"r.{identifier(name)} AS {identifier(name)}" for name in gives),
        ]
        side = "INNER" if enrichment.how == "inner" else "LEFT"
        before = space.count("joined")
        space.keep(
            "wider",
            f"SELECT {_list(chosen)}, r.__match AS __match FROM ({_keyed(space, on, 'joined', kept)}) l "
            f"{side} JOIN (SELECT *, TRUE AS __match FROM ({latest}) WHERE __place = 1) r ON {same}",
        )
        found.unmatched += before - int(space.one("SELECT count(*) FILTER (WHERE __match) FROM wider")[0])
        space.show("joined", space.session.table("wider").drop("__match"))


def _readable(frame: Any, found: Assembled, role: str) -> Any:
    return frame.where(frame["__file"].isin(found.readable(role)))


def _keyed(space: SparkWorkspace, on: list[str], view: str, kept: Iterable[str]) -> str:
    """Write a query over ``view`` with the cleaned form of each key column beside it (``__on.<column>``)."""
    by_name = {column["name"]: column for column in space.recipe["columns"]}
    keys = [by_name[name] | {"name": f"__on.{name}"} for name in on]
    copies = _list(f"{identifier(name)} AS {identifier(f'__on.{name}')}" for name in on)
    return cleaning_query(f"(SELECT *, {copies} FROM {view})", {"columns": keys}, [*kept, "__file", "__line"])


def read_captured(space: SparkWorkspace, path: Path) -> None:
    """Make ``captured`` of the rows that ``stage_captured`` wrote."""
    names = [*space.columns, "__line", *SENT]
    schema = ", ".join(f"`{name}` {TYPES.get(name, 'STRING')}" for name in names)
    rows: list[tuple[Any, ...]] = []
    if path.exists():
        csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
        with path.open(encoding="utf-8", newline="") as stream:
            for *values, line, row_id, time, label in csv.reader(stream):
                rows.append((*(value or None for value in values), int(line), row_id, time, float(label)))
    space.show("captured", space.session.createDataFrame(rows, schema))


TYPES = {"__line": "BIGINT", "__told": "DOUBLE"}


def clean(space: SparkWorkspace) -> None:
    """Make ``cleaned``: typed columns, label, key, time, origin; for a rejected row the rule and value."""
    names = _list(map(identifier, space.columns))
    union = (
        f"(SELECT {names}, __file, __line, CAST(NULL AS STRING) AS __id, CAST(NULL AS STRING) AS __at, "
        "CAST(NULL AS DOUBLE) AS __told, FALSE AS __captured FROM joined UNION ALL "
        f"SELECT {names}, CAST(NULL AS INT), __line, __id, __at, __told, TRUE FROM captured)"
    )
    query = cleaning_query(union, space.recipe, ["__file", "__line", "__captured", *SENT])
    marks = {word for word, _ in rewritten(space.recipe).values()}
    beside = map(identifier, (*(f"__issue.{name}" for name in space.judged), *sorted(marks)))
    kept = _list([names, *beside, "__file", "__line", "__id", *derived(space)])
    space.keep("cleaned", f"SELECT {kept} FROM ({query})")


def keep_usable(space: SparkWorkspace, refused_files: list[int]) -> dict[str, int]:
    """Make ``usable`` and ``rows`` (see ``dataset.splits.keep_usable``); count what stayed behind."""
    left_out = ", ".join(map(str, refused_files)) or "-1"
    usable = f"__rejected IS NULL AND coalesce(__file, -2) NOT IN ({left_out})"
    space.show("usable", space.session.sql(f"SELECT * FROM cleaned WHERE {usable}"))
    window = _window(space)
    space.keep(
        "rows",
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY __key ORDER BY "
        "CASE WHEN __origin = 'data' THEN 0 ELSE 1 END, __file DESC, __line DESC) AS __place "
        f"FROM usable WHERE __label IS NOT NULL AND {window}) WHERE __place = 1",
    )
    unlabelled, given, inside = space.one(
        "SELECT count(*) FILTER (WHERE __label IS NULL), count(__label), "
        f"count(*) FILTER (WHERE __label IS NOT NULL AND {window}) FROM usable"
    )
    return {
        "unlabelled": unlabelled,
        "outside_window": given - inside,
        "duplicates": inside - space.count("rows"),
    }


def _window(space: SparkWorkspace) -> str:
    """Write which rows a sliding window keeps; times are texts that compare as times."""
    window = space.spec.window
    if window.policy != "sliding" or window.days is None:
        return "TRUE"
    newest = space.one("SELECT max(__time) FROM usable WHERE __label IS NOT NULL")[0]
    if newest is None:
        return "__time IS NOT NULL"
    try:
        oldest = datetime.fromisoformat(newest) - timedelta(days=window.days)
    except OverflowError:
        return "__time IS NOT NULL"
    return f"__time > {quote(oldest.isoformat(sep=' '))}"


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
