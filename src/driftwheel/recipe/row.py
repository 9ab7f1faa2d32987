"""One record into features, with nothing but the standard library: what the model server runs.

The recipe's expressions (JSON, see ``expression``) become Python closures with SQL's nulls. ``duck`` writes
the same meaning as SQL; tests hold the two together bit by bit.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from driftwheel.recipe.literals import (
    LARGEST_INTEGER,
    SMALLEST_INTEGER,
    collapse,
    fold,
    lower,
    parse_boolean,
    parse_integer,
    parse_number,
    parse_timestamp,
    trim,
    upper,
)

VERSION = 1
"""Of the recipe's JSON: a server refuses a recipe written in another version."""

REMEMBERED = 10_000
"""Texts of one column whose cleaned form is kept: categories repeat, so most are looked up."""

REMEMBERED_LENGTH = 200
"""Longer texts are not kept: they seldom repeat, and a stranger must not fill the memory with them."""

Values = dict[str, Any]
Closure = Callable[[Values], Any]


class FieldError(ValueError):
    """When a record's field cannot be used at all; says which field and what to send instead."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True)
class RowRecipe:
    """A compiled recipe.

    ``feature_types``: 'q' is a quantity, 'c' the integer code of a category. ``column_types``: column → its
    declared type. ``sources``: feature → the columns its value depends on.
    """

    feature_names: list[str]
    feature_types: list[str]
    inputs: list[str]
    column_types: dict[str, str]
    sources: dict[str, list[str]]
    _cleaners: list[tuple[str, Callable[[object], Any]]]
    _fills: list[tuple[str, Any]]
    _numbers: list[str]
    _derived: list[tuple[str, Closure]]
    _outputs: list[tuple[str, dict[str, float] | None]]

    def clean(self, record: Mapping[str, object]) -> Values:
        """Clean the inputs of one record, nothing imputed; cleaning twice changes nothing.

        Raises FieldError. Fields that are no input are ignored; an absent field is null.
        """
        return {name: clean(record.get(name)) for name, clean in self._cleaners}

    def features(self, record: Mapping[str, object]) -> list[float | None]:
        """Compute the features of one record in the order of ``feature_names``; raises FieldError."""
        get = record.get
        values = {name: clean(get(name)) for name, clean in self._cleaners}
        for name, fill in self._fills:
            if values[name] is None:
                values[name] = fill
        for name in self._numbers:
            if values[name] is not None:
                values[name] = float(values[name])
        for name, closure in self._derived:
            values[name] = closure(values)
        return [
            (None if (value := values[name]) is None else float(value))
            if codes is None
            else codes.get(values[name])
            for name, codes in self._outputs
        ]


def load_recipe(recipe: dict[str, Any], params: dict[str, Any]) -> RowRecipe:
    """Compile a recipe with its fitted parameters.

    Raises ValueError or KeyError when the two do not fit this code or each other.
    """
    if recipe["version"] != VERSION:
        raise ValueError(f"recipe version {recipe['version']!r}; this code runs version {VERSION}")
    columns = {column["name"]: column for column in recipe["columns"]}
    inputs = [columns[name] for name in recipe["inputs"]]
    models = [column for column in inputs if column["model_input"]]
    outputs = [(column["name"], column["type"], [column["name"]]) for column in models]
    outputs += [(feature["name"], feature["type"], feature["reads"]) for feature in recipe["features"]]
    fills = {"median": params["medians"], "mode": params["modes"]}
    categories = {name for name, kind, _ in outputs if kind in {"category", "text"}}
    return RowRecipe(
        feature_names=[name for name, _, _ in outputs],
        feature_types=["c" if name in categories else "q" for name, _, _ in outputs],
        inputs=list(recipe["inputs"]),
        column_types={name: column["type"] for name, column in columns.items()},
        sources={name: list(reads) for name, _, reads in outputs},
        _cleaners=[
            (column["name"], _required(column, CLEANERS[column["type"]](column))) for column in inputs
        ],
        _fills=[
            (column["name"], fills[column["missing"]][column["name"]])
            for column in inputs
            if column["missing"] in fills and fills[column["missing"]][column["name"]] is not None
        ],
        _numbers=[column["name"] for column in inputs if column["type"] == "integer"],
        _derived=[
            (feature["name"], compile_expression(feature["expression"])) for feature in recipe["features"]
        ],
        _outputs=[
            (
                name,
                {c: float(n) for n, c in enumerate(params["categories"][name])}
                if name in categories
                else None,
            )
            for name, _, _ in outputs
        ],
    )


def _required(column: Mapping[str, Any], clean: Callable[[object], Any]) -> Callable[[object], Any]:
    if column["missing"] != "reject":
        return clean
    name, wanted = column["name"], WANTED[column["type"]]

    def required(raw: object) -> Any:
        value = clean(raw)
        if value is None:
            raise FieldError(name, f"is required and is missing or unreadable; send {wanted}")
        return value

    return required


WANTED = {
    "number": "a finite number",
    "integer": "an integer of 64 bits",
    "boolean": "true or false",
    "timestamp": "a text like 2026-01-31 14:00:00 (UTC, or with Z or +01:00 at its end)",
    "category": "a text",
    "text": "a text",
}


def _wrong(column: Mapping[str, Any], raw: object) -> FieldError:
    kind = "a " + {"bool": "boolean", "str": "text", "dict": "object"}.get(
        type(raw).__name__, type(raw).__name__
    )
    if isinstance(raw, float) and not math.isfinite(raw):
        kind = str(raw)
    return FieldError(column["name"], f"got {kind}; send {WANTED[column['type']]}, or null when unknown")


def _numeric(column: Mapping[str, Any]) -> Callable[[object], Any]:
    whole = column["type"] == "integer"
    parse: Callable[[str], Any] = parse_integer if whole else parse_number
    absent = frozenset(column["null_tokens"])
    nulls = frozenset(parse(token) for token in absent) - {None}
    low, high = column["range"] or (-math.inf, math.inf)
    outside, name = column["outside"], column["name"]

    def clean(raw: object) -> Any:
        if raw is None:
            return None
        if isinstance(raw, str):
            text = trim(raw)
            value = None if text in absent else parse(text)
        elif isinstance(raw, bool) or not isinstance(raw, int | float):
            raise _wrong(column, raw)
        else:
            value = _whole(raw) if whole else _finite(raw)
            if value is None and not whole:
                raise _wrong(column, raw)
            if value is None and isinstance(raw, float) and not math.isfinite(raw):
                raise _wrong(column, raw)
        if value is None or value in nulls:
            return None
        if low <= value <= high:
            return value
        if outside == "clip":
            return low if value < low else high
        if outside == "reject":
            raise FieldError(
                name, f"is outside [{low:g}, {high:g}]; send a value inside, or null when unknown"
            )
        return None

    return clean


def _finite(raw: float) -> float | None:
    try:
        value = float(raw)
    except OverflowError:
        return None
    return value + 0.0 if math.isfinite(value) else None


def _whole(raw: float) -> int | None:
    if isinstance(raw, float) and not raw.is_integer():  # neither are NaN and the infinities
        return None
    value = int(raw)
    return value if SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None


def _boolean(column: Mapping[str, Any]) -> Callable[[object], Any]:
    absent = frozenset(column["null_tokens"])

    def clean(raw: object) -> bool | None:
        if raw is None or isinstance(raw, bool):
            return raw
        if isinstance(raw, int):
            raw = str(raw)[:8]
        if not isinstance(raw, str):
            raise _wrong(column, raw)
        text = trim(raw)
        return None if text in absent else parse_boolean(text)

    return clean


def _timestamp(column: Mapping[str, Any]) -> Callable[[object], Any]:
    absent = frozenset(column["null_tokens"])
    nulls = frozenset(parse_timestamp(token) for token in absent) - {None}

    def clean(raw: object) -> str | None:
        if raw is None:
            return None
        if not isinstance(raw, str):
            raise _wrong(column, raw)
        text = trim(raw)
        value = None if text in absent else parse_timestamp(text)
        return None if value in nulls else value

    return clean


def _textual(column: Mapping[str, Any]) -> Callable[[object], Any]:
    absent = frozenset(column["null_tokens"])
    canonical = column["canonical"]
    known: dict[str, str | None] = {}

    def clean(raw: object) -> str | None:
        if raw is None:
            return None
        if not isinstance(raw, str):
            raise _wrong(column, raw)
        if raw in known:
            return known[raw]
        if not raw.isascii():
            _valid(column, raw)
        text = collapse(fold(raw))
        value = None if text in absent else canonical.get(lower(text), text)
        if len(known) < REMEMBERED and len(raw) <= REMEMBERED_LENGTH:
            known[raw] = value
        return value

    return clean


def _valid(column: Mapping[str, Any], raw: str) -> None:
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        raise FieldError(
            column["name"], "holds half a character (a lone surrogate); send Unicode text"
        ) from error


CLEANERS: dict[str, Callable[[Mapping[str, Any]], Callable[[object], Any]]] = {
    "number": _numeric,
    "integer": _numeric,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "category": _textual,
    "text": _textual,
}


def compile_expression(node: list[Any]) -> Closure:
    """Turn an expression into a closure over the values of one row; raises ValueError for an unknown node."""
    operator, *arguments = node
    if operator in {"number", "text", "boolean"}:
        (constant,) = arguments
        return lambda _: constant
    if operator == "null":
        return lambda _: None
    if operator == "column":
        (name,) = arguments
        return lambda values: values[name]
    if operator == "case":
        return _case([(compile_expression(c), compile_expression(v)) for c, v in arguments[0]], arguments[1])
    if operator == "extract":
        return _null_in_null_out(PARTS[arguments[0]], compile_expression(arguments[1]))
    if operator == "substr":
        start, length = arguments[1] - 1, arguments[2]
        stop = None if length is None else start + length
        return _null_in_null_out(lambda text: text[start:stop], compile_expression(arguments[0]))
    operands = [compile_expression(argument) for argument in arguments]
    if operator in UNARY:
        return _null_in_null_out(UNARY[operator], *operands)
    if operator in BINARY:
        return _both(BINARY[operator], *operands)
    if operator in VARIADIC:
        return VARIADIC[operator](operands)
    raise ValueError(f"the recipe holds {operator!r}, which this code does not know")


def _null_in_null_out(function: Callable[[Any], Any], operand: Closure) -> Closure:
    def apply(values: Values) -> Any:
        value = operand(values)
        return None if value is None else function(value)

    return apply


def _both(function: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    def apply(values: Values) -> Any:
        one = left(values)
        if one is None:
            return None
        other = right(values)
        return None if other is None else function(one, other)

    return apply


def _case(branches: list[tuple[Closure, Closure]], default: list[Any]) -> Closure:
    otherwise = compile_expression(default)

    def apply(values: Values) -> Any:
        for condition, result in branches:
            if condition(values):
                return result(values)
        return otherwise(values)

    return apply


def _and(operands: list[Closure]) -> Closure:
    def apply(values: Values) -> bool | None:
        answer: bool | None = True
        for operand in operands:
            value = operand(values)
            if value is False:
                return False
            if value is None:
                answer = None
        return answer

    return apply


def _or(operands: list[Closure]) -> Closure:
    def apply(values: Values) -> bool | None:
        answer: bool | None = False
        for operand in operands:
            value = operand(values)
            if value is True:
                return True
            if value is None:
                answer = None
        return answer

    return apply


def _in(operands: list[Closure]) -> Closure:
    subject, *options = operands

    def apply(values: Values) -> bool | None:
        value = subject(values)
        if value is None:
            return None
        answer: bool | None = False
        for option in options:
            other = option(values)
            if other is None:
                answer = None
            elif other == value:
                return True
        return answer

    return apply


def _coalesce(operands: list[Closure]) -> Closure:
    def apply(values: Values) -> Any:
        for operand in operands:
            value = operand(values)
            if value is not None:
                return value
        return None

    return apply


def _among(choose: Callable[[list[Any]], Any]) -> Callable[[list[Closure]], Closure]:
    """Choose among the operands that are not null; null when all are."""

    def build(operands: list[Closure]) -> Closure:
        def apply(values: Values) -> Any:
            present = [value for operand in operands if (value := operand(values)) is not None]
            return choose(present) if present else None

        return apply

    return build


def _concat(operands: list[Closure]) -> Closure:
    return lambda values: "".join([text for operand in operands if (text := operand(values)) is not None])


def _is_null(operands: list[Closure]) -> Closure:
    (operand,) = operands
    return lambda values: operand(values) is None


def _nullif(operands: list[Closure]) -> Closure:
    left, right = operands

    def apply(values: Values) -> Any:
        value = left(values)
        return None if value is not None and value == right(values) else value

    return apply


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _power(base: float, exponent: float) -> float | None:
    if not (base > 0 or (base == 0 and exponent >= 0) or (base < 0 and exponent == math.floor(exponent))):
        return None
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[5:7]), int(text[8:10]))


PARTS: dict[str, Callable[[str], float]] = {
    "year": lambda text: float(text[:4]),
    "month": lambda text: float(text[5:7]),
    "day": lambda text: float(text[8:10]),
    "hour": lambda text: float(text[11:13]),
    "isodow": lambda text: float(_day(text).isoweekday()),
    "doy": lambda text: float(_day(text).timetuple().tm_yday),
}

UNARY: dict[str, Callable[[Any], Any]] = {
    "finite": lambda value: value if -math.inf < value < math.inf else None,
    "negate": lambda value: -value,
    "not": lambda value: not value,
    "abs": abs,
    "floor": lambda value: float(math.floor(value)),
    "ceil": lambda value: float(math.ceil(value)),
    "ln": lambda value: math.log(value) if value > 0 else None,
    "log10": lambda value: math.log10(value) if value > 0 else None,
    "sqrt": lambda value: math.sqrt(value) if value >= 0 else None,
    "exp": _exp,
    "lower": lower,
    "upper": upper,
    "length": lambda text: float(len(text)),
}

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other if other != 0 else None,
    "power": _power,
    "=": lambda one, other: one == other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "days": lambda start, end: float((_day(end) - _day(start)).days),
    "||": lambda one, other: one + other,
}

VARIADIC: dict[str, Callable[[list[Closure]], Closure]] = {
    "and": _and,
    "or": _or,
    "in": _in,
    "coalesce": _coalesce,
    "least": _among(min),
    "greatest": _among(max),
    "concat": _concat,
    "is_null": _is_null,
    "nullif": _nullif,
}
