"""What ``recipe.json`` says of one column: its declaration in ``model.yaml``, checked and compiled.

Apart from ``declare``, whose expressions need a parser of SQL that takes half a second to import.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.literals import (
    collapse,
    fold,
    lower,
    parse_integer,
    parse_number,
    parse_timestamp,
    trim,
)
from driftwheel.recipe.notation import form_rule, number_rule, plain_number
from driftwheel.units import conversion

if TYPE_CHECKING:
    from driftwheel.spec import Column


def declare_column(name: str, column: "Column") -> dict[str, Any]:
    """Compile one column; raises SpecInvalid naming its field."""
    place = f"columns.{name}"
    textual = column.type in {"category", "text"}
    tokens = {collapse(fold(token)) if textual else trim(token) for token in column.null_tokens}
    return {
        "name": name,
        "type": column.type,
        "model_input": column.feature and column.type not in {"text", "timestamp"},
        # An empty text is null everywhere: a CSV reader cannot tell the two apart.
        "null_tokens": sorted(tokens | {""}),
        "canonical": _canonical(place, column, tokens | {""}),
        "notation": _notation(column),
        "forms": [form_rule(form) for form in column.forms],
        "range": _range(place, column, tokens),
        "outside": column.outside,
        "missing": column.missing,
        "optional": column.optional,
        "fill": _fill(place, column),
        "outliers": column.outliers.model_dump() if column.outliers else None,
        "convert": list(conversion(column.unit, column.convert)) if column.unit and column.convert else None,
    }


def _notation(column: "Column") -> dict[str, Any] | None:
    notation = column.notation
    return None if notation is None else number_rule(notation.decimal, notation.group, notation.symbols)


def _fill(place: str, column: "Column") -> bool | float | str | None:
    fill = column.fill
    if fill is None:
        return None
    wanted: dict[str, type | tuple[type, ...]] = {
        "boolean": bool,
        "category": str,
        "text": str,
        "timestamp": str,
    }
    right = isinstance(fill, wanted.get(column.type, int | float))
    if not right or (column.type != "boolean" and isinstance(fill, bool)):
        raise SpecInvalid(f"{place}.fill: {fill!r} is no {column.type}")
    if column.type == "timestamp":
        moment = parse_timestamp(trim(str(fill)))
        if moment is None:
            raise SpecInvalid(f"{place}.fill: {fill!r} is no timestamp; write 'YYYY-MM-DD HH:MM:SS'")
        return moment
    if isinstance(fill, str):
        text = collapse(fold(fill))
        return _canonical(place, column, ()).get(lower(text), text)
    return fill if isinstance(fill, bool) else float(fill)


def _canonical(place: str, column: "Column", tokens: Iterable[str]) -> dict[str, str]:
    """Map each spelling (ASCII letters lowered) to its canonical text; a canonical text maps to itself."""
    found: dict[str, str] = {}
    for name, aliases in column.canonical.items():
        canonical = collapse(fold(name))
        if canonical in tokens:
            raise SpecInvalid(
                f"{place}.canonical: '{name}' is also a null token; it would be null when read again"
            )
        for spelling in (name, *aliases):
            key = lower(collapse(fold(spelling)))
            if found.setdefault(key, canonical) != canonical:
                raise SpecInvalid(
                    f"{place}.canonical: '{spelling}' stands for both '{found[key]}' and '{canonical}'"
                )
    return found


def _range(place: str, column: "Column", tokens: Iterable[str]) -> list[float | int] | None:
    if column.range is None:
        return None
    parse = parse_integer if column.type == "integer" else parse_number
    rule = _notation(column)
    bounds: list[float | int] = []
    for bound in column.range:
        value = parse(repr(bound))
        if value is None:
            kind = "an integer of 64 bits" if column.type == "integer" else "a finite number"
            raise SpecInvalid(f"{place}.range: {bound!r} is not {kind}")
        bounds.append(value)
    nulls = {plain_number(token, rule) if rule else parse(token) for token in tokens}
    if column.outside == "clip" and nulls & set(bounds):
        raise SpecInvalid(
            f"{place}.range: a bound is also a null token; a clipped value would be null when read again"
        )
    return bounds
