"""JSON of one form, from Python and from DuckDB alike: equal documents are equal bytes."""

import json
from collections.abc import Iterable
from typing import Any

from driftwheel.recipe.literals import identifier, quote

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)
_ESCAPED = {chr(code): json.dumps(chr(code))[1:-1] for code in range(32)}


def encode(document: Any) -> str:
    """Write a document: keys in order, no blanks, no character escaped that need not be."""
    return _ENCODER.encode(document)


def line_sql(kinds: Iterable[tuple[str, str]]) -> str:
    """Write ``{"key": __key, "label": __label, "record": {…}}`` as DuckDB's SQL of a text.

    ``kinds`` are names of columns with their types in the recipe. DuckDB writes a double as Python does: the
    shortest text that reads back the same.
    """
    pieces = ['\'{"key":"\'', "__key", '\'","label":\'', value_sql("__label", "number"), "',\"record\":{'"]
    for place, (name, kind) in enumerate(sorted(kinds)):
        pieces += [quote(f"{',' if place else ''}{encode(name)}:"), value_sql(identifier(name), kind)]
    return f"concat({', '.join([*pieces, quote('}}')])})"


def value_sql(x: str, kind: str) -> str:
    """Write a cell of a column of this type as JSON."""
    if kind in {"number", "integer", "boolean"}:
        return f"coalesce(CAST({x} AS VARCHAR), 'null')"
    escaped = f"""replace(replace({x}, '\\', '\\\\'), '"', '\\"')"""
    for character, written in _ESCAPED.items():
        escaped = f"replace({escaped}, chr({ord(character)}), {quote(written)})"
    odd = rf"""regexp_matches({x}, '["\\\x00-\x1F]')"""
    return f"""coalesce('"' || CASE WHEN {odd} THEN {escaped} ELSE {x} END || '"', 'null')"""
