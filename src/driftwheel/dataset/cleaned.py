"""What every cleaned row gets beside its columns, in words every engine takes."""

from collections.abc import Iterable

from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.literals import identifier, quote
from driftwheel.recipe.sql import label_sql

SENT = ("__id", "__at", "__told")
"""What a captured row has and a dropped one lacks: its id, when it was asked, the label that came later."""


def derived(space: Workspace) -> list[str]:
    """Write ``__origin``, ``__time``, ``__label``, ``__key``, ``__rejected`` and ``__value``.

    Over a cleaning query's columns with ``__captured`` and those of ``SENT``. ``__rejected`` is the rule that
    rejects a row, ``__value`` what stood there.
    """
    spec = space.spec
    keys = [space.text(name) for name in spec.source.key]
    whole = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    missing = " ".join(
        f"WHEN {key} IS NULL THEN {quote(f'{name}: key missing')}"
        for key, name in zip(keys, spec.source.key, strict=True)
    )
    time = identifier(spec.split.column) if spec.split.column else "CAST(NULL AS STRING)"
    timeless = "WHEN FALSE THEN NULL"
    if spec.split.by == "time":
        missed = quote(f"{spec.split.column}: time missing")
        timeless = f"WHEN NOT __captured AND {time} IS NULL THEN {missed}"
    values = " ".join(f"WHEN {quote(name)} THEN {identifier(f'__given.{name}')}" for name in space.columns)
    stood = f"CASE split_part(__rejected, ':', 1) {values} END"
    absent = f"CASE WHEN NOT __captured THEN CASE {missing} END END"
    label = label_sql(space.recipe, space.dialect)
    return [
        "CASE WHEN __captured THEN 'captured' ELSE 'data' END AS __origin",
        f"coalesce({time}, replace(substr(__at, 1, 19), 'T', ' ')) AS __time",
        f"CASE WHEN __captured THEN __told ELSE ({label}) END AS __label",
        f"CASE WHEN {whole} THEN md5({_unambiguous(keys)}) ELSE md5('captured:' || __id) END AS __key",
        f"coalesce(__rejected, {absent}, CASE {timeless} END) AS __rejected",
        f"CASE WHEN __rejected IS NOT NULL THEN {stood} END AS __value",
    ]


def _unambiguous(parts: Iterable[str]) -> str:
    """Write texts as one, each with its length before it: ('a', 'bc') and ('ab', 'c') must differ."""
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)
