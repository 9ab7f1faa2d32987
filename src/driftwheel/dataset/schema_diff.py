"""How the files' columns differ from what ``model.yaml`` declares and from what the champion's files had.

A required column that is missing refuses its file (``checks``). What is here changes no row, and people want
to know of it all the same: a new column may be a feature, a lost optional one a broken export.
"""

from collections.abc import Mapping
from typing import Any

from driftwheel.dataset.files import Assembled, FileFacts
from driftwheel.dataset.workspace import Workspace

NAMED = 10
"""Columns a sentence names; the others are counted."""


def undeclared(space: Workspace, found: Assembled) -> dict[str, str]:
    """Name the columns that nobody declared, each with the key of the first file that has it."""
    declared = {*space.columns, *space.spec.source.key}
    declared |= {name for enrichment in space.spec.enrich for name in enrichment.on}
    first: dict[str, str] = {}
    for facts in _read(found):
        for name in facts.columns:
            if name not in declared:
                first.setdefault(name, facts.key)
    return first


def differences(
    space: Workspace, found: Assembled, extra: Mapping[str, str], baseline: Mapping[str, Any] | None
) -> list[str]:
    """Say which columns came and which optional ones went; ``extra`` is what ``undeclared`` found.

    ``baseline`` is the champion's ``profile.json``: what its files had too is no news. Without one every
    undeclared column is told of once.
    """
    known = (baseline or {}).get("undeclared", {} if baseline is None else extra)
    came: dict[str, list[str]] = {}
    for name, key in extra.items():
        if name not in known:
            came.setdefault(key, []).append(name)
    since = ", new since the champion" if baseline is not None else ""
    notes = [
        f"{key} has {_columns(names)} that model.yaml does not declare{since}: left out"
        for key, names in came.items()
    ]
    optional = [name for name, column in space.spec.columns.items() if column.optional]
    elsewhere = {name for facts in _read(found) if facts.role != "source" for name in facts.columns}
    given = [name for name in optional if name not in elsewhere and _was_given(name, baseline)]
    new = [found.files[number] for number in sorted(new_files(found, baseline or {}))]
    gone = {facts.key: [name for name in given if name not in facts.columns] for facts in new}
    notes += [
        f"{key} lacks {_columns(names)}, optional, which the champion's files had"
        for key, names in gone.items()
        if names
    ]
    return notes


def new_files(found: Assembled, baseline: Mapping[str, Any]) -> set[int]:
    """Number the source files that can be read and that the champion did not learn from in this version.

    What its run refused it did not learn from. Baselines of before name no versions: there the key decides.
    """
    learned = {s["key"]: s.get("version") for s in baseline.get("sources", ()) if "refused" not in s}
    return {
        number
        for number in found.readable("source")
        if (facts := found.files[number]).key not in learned
        or learned[facts.key] not in {None, facts.version}
    }


def _read(found: Assembled) -> list[FileFacts]:
    return [facts for facts in found.files.values() if facts.refusal is None]


def _was_given(name: str, baseline: Mapping[str, Any] | None) -> bool:
    return bool((baseline or {}).get("columns", {}).get(name, {}).get("given"))


def _columns(names: list[str]) -> str:
    word = "column" if len(names) == 1 else "columns"
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{word} {', '.join(repr(name) for name in names[:NAMED])}{more}"
