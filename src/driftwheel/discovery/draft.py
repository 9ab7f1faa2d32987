# ruff: noqa: RUF001, RUF003  # a count reads well with ×
"""A first ``model.yaml``: what was seen is declared, what only a person can know stands beside it."""

import json
import re
from typing import Any

from driftwheel.discovery.column import Found, worth_showing
from driftwheel.discovery.survey import Survey
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.literals import quote

UNITS = {
    "f": "degF", "fahrenheit": "degF", "c": "degC", "celsius": "degC", "km": "km", "kg": "kg", "lb": "lb",
    "mi": "mi", "miles": "mi", "usd": "USD", "eur": "EUR", "cents": "cents", "mph": "mph", "kmh": "km/h",
    "min": "min", "minutes": "min", "sec": "s", "seconds": "s", "ms": "ms", "pct": "percent",
    "percent": "percent", "hpa": "hPa", "mm": "mm", "cm": "cm",
}  # fmt: skip
"""Endings of names and the unit they suggest."""

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"})


def draft(found: Survey, model: str) -> str:
    """Write the file; ``driftwheel.spec.load_spec`` reads it.

    Raises SpecInvalid when no model can be drafted: nothing tells rows apart, or the answer is no class.
    """
    if not found.key:
        raise SpecInvalid(
            "no column has a value in every row and differs between rows: add an id column to the export"
        )
    source: dict[str, Any] = {"prefix": f"data/{model}/", "key": found.key}
    if found.read.source.format != "csv":
        source["format"] = found.read.source.format
    elif found.read.source.delimiter != ",":
        source["delimiter"] = found.read.source.delimiter
    lines = [
        f"# Drafted from {found.rows:,} rows. Read every comment, then delete it.",
        f"model: {model}",
        f"source: {_flow(source)}",
    ]
    if found.keyless:
        lines += _comment(
            "no four columns differ in every row: the key is all that tells rows apart. "
            "Better add an id to the export"
        )
    if repeats := found.rows - found.keyed:
        lines += _comment(
            f"{repeats:,} rows repeat a key: of each key the last row counts, by file name and line"
        )
    for name in found.read.unusable:
        lines += _comment(
            f"column {name!r} is left out: rename it to letters, digits and _ (not starting with __)"
        )
    for line in [*found.doubts, *found.bad_lines]:
        lines += _comment(line)
    lines.append("columns:")
    for column in found.columns:
        lines += _column(column, found)
    lines += _target(found)
    time = found.time if found.time and found.column(found.time).given == found.rows else None
    lines.append(f"split: {_flow({'by': 'time', 'column': time} if time else {'by': 'key'})}")
    return "\n".join(lines) + "\n"


def _column(column: Found, found: Survey) -> list[str]:
    declared: dict[str, Any] = {"type": column.type}
    if (
        column.name in {*found.key, found.target}
        or column.identifier
        or column.scattered
        or column.mixed
        or column.distinct <= 1
    ):
        declared["feature"] = False
    if column.null_tokens:
        declared["null_tokens"] = ["", *column.null_tokens]
    if column.notation:
        declared["notation"] = {k: v for k, v in column.notation.items() if v}
    if column.forms:
        declared["forms"] = column.forms
    notes = list(column.notes)
    if column.missing:
        notes.append(f"{column.missing:.1%} missing".replace("%", " %"))
    if column.name in found.leaking:
        notes.append(
            f"SUSPECT: alone it tells {found.target} (AUC {found.leaking[column.name]:.3f}); "
            "known before the answer? else feature: false"
        )
    if column.numbers and column.type in {"number", "integer"}:
        n = column.numbers
        notes.append(
            f"seen {n['minimum']:g} to {n['maximum']:g}, the middle 98 % {n['p01']:g} to {n['p99']:g}: "
            f"range: [{n['minimum']:g}, {n['maximum']:g}]"
        )
        unit = UNITS.get(column.name.lower().rpartition("_")[2])
        notes.append(f"unit: {unit}?" if unit and "_" in column.name else "unit: ?")
    lines = [f"  {_scalar(column.name)}: {_flow(declared)}"]
    for note in worth_showing(notes):
        lines += _comment(note, "    ")
    if column.alike:
        groups: dict[str, list[str]] = {}
        for one in column.alike[:12]:
            lines += _comment(
                f"{_scalar(one.spelling)} seen {one.times:,}×, nearest {_scalar(one.nearest)}", "    "
            )
            groups.setdefault(one.nearest, []).append(one.spelling)
        lines += _comment(f"the same? canonical: {_flow(groups)}", "    ")
    return lines


def _target(found: Survey) -> list[str]:
    answer = found.column(found.target)
    lines = _comment("the likeliest answer: choose another with --target COLUMN") if found.guessed else []
    if answer.type in {"number", "integer"} and answer.distinct > 2:
        return [
            *lines,
            f"target: {_flow({'column': answer.name, 'kind': 'regression'})}",
            "evaluation: {metric: rmse}",
        ]
    if answer.type == "boolean":
        return [*lines, f"target: {_flow({'column': answer.name})}"]
    if answer.classes:
        counts = ", ".join(f"{_scalar(value)} {times:,}×" for value, times in answer.top[:12])
        lines += _comment(
            f"{answer.distinct} answers ({counts}): a model tells one from the rest, the commonest here"
        )
    elif answer.distinct != 2:
        raise SpecInvalid(
            f"--target {answer.name}: it has {answer.distinct} different values; a target is a number, true "
            "or false, or one of at most 50 words. Write target.expression yourself, for example late = 'yes'"
        )
    named = answer.top[0 if answer.classes else -1][0] if answer.top else ""
    text = f"{answer.numbers['maximum']:.17g}" if answer.numbers else quote(named)
    column = "answer" if answer.name != "answer" else "target"
    expression = f"{answer.name} = {text}"
    return [*lines, f"target: {_flow({'column': column, 'expression': expression})}"]


def _comment(text: str, indent: str = "") -> list[str]:
    """Write a comment; nothing in it can end it."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return [f"{indent}# {plain[:400]}"]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else _scalar(str(value))


def _scalar(text: str) -> str:
    """Write a text plainly where YAML reads it back as that text, otherwise quoted as JSON, which is YAML."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
