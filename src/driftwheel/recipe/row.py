"""One record into features, with nothing but the standard library: what the model server runs.

The recipe's expressions (JSON, see ``expression``) become Python closures with SQL's nulls. ``duck`` writes
the same meaning as SQL; tests hold the two together bit by bit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from driftwheel.recipe.encodings import ENCODINGS, bounded, encoded, fitted_of, output_names
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
from driftwheel.recipe.notation import iso_text, plain_number

VERSION = 2
"""Of the recipe's JSON, as it is written now."""

READABLE = frozenset({1, 2})
"""Versions this code computes: 1 knew neither notations, conversions, outliers nor encodings."""

REMEMBERED = 10_000
"""Texts of one column whose cleaned form is kept: categories repeat, so most are looked up."""

REMEMBERED_LENGTH = 200
"""Longer texts are not kept: they seldom repeat, and a stranger must not fill the memory with them."""

Values = dict[str, Any]
Closure = Callable[[Values], Any]
Encoder = Callable[[Any], Sequence[float | None]]


class RecipeUnknown(ValueError):
    """When a recipe is of a version, or holds an operator, that this code does not know; quotes no data."""


class FieldError(ValueError):
    """When a record's field cannot be used at all; says which field and what to send instead."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True)
class RowRecipe:
    """A compiled recipe.

    ``feature_names``: what the model reads, encodings written out. ``feature_types``: 'q' is a quantity, 'c'
    the integer code of a category. ``column_types``: column → its declared type. ``sources``: feature → the
    columns its value depends on. ``columns``: input → its declaration; ``cleaners``: input → what cleans it.
    ``required``: the inputs that every record names, be it with null.
    """

    feature_names: list[str]
    feature_types: list[str]
    inputs: list[str]
    required: frozenset[str]
    column_types: dict[str, str]
    sources: dict[str, list[str]]
    columns: dict[str, Mapping[str, Any]]
    cleaners: dict[str, Callable[[object], Any]]
    _numbers: list[str]
    _fences: list[tuple[str, Callable[[float], float | None]]]
    _fills: list[tuple[str, Any]]
    _conversions: list[tuple[str, float, float]]
    _derived: list[tuple[str, Closure]]
    _outputs: list[tuple[str, Encoder | None]]

    def clean(self, record: Mapping[str, object]) -> Values:
        """Clean the inputs of one record, nothing imputed; cleaning twice changes nothing.

        Raises FieldError. Fields that are no input are ignored; an absent field is null.
        """
        return {name: clean(record.get(name)) for name, clean in self.cleaners.items()}

    def features(self, record: Mapping[str, object]) -> list[float | None]:
        """Compute the features of one record in the order of ``feature_names``; raises FieldError."""
        get = record.get
        values = {name: clean(get(name)) for name, clean in self.cleaners.items()}
        for name in self._numbers:
            if values[name] is not None:
                values[name] = float(values[name])
        for name, fenced in self._fences:
            if values[name] is not None:
                values[name] = fenced(values[name])
        for name, fill in self._fills:
            if values[name] is None:
                values[name] = fill
        for name, factor, offset in self._conversions:
            if values[name] is not None:
                values[name] = bounded(values[name] * factor + offset)
        for name, closure in self._derived:
            values[name] = closure(values)
        found: list[float | None] = []
        for name, encoder in self._outputs:
            value = values[name]
            if encoder is not None:
                found += encoder(value)
            else:
                found.append(None if value is None else float(value))
        return found


def load_recipe(recipe: dict[str, Any], params: dict[str, Any]) -> RowRecipe:
    """Compile a recipe with its fitted parameters.

    Raises ValueError or KeyError when the two do not fit this code or each other.
    """
    if recipe["version"] not in READABLE:
        raise RecipeUnknown(f"recipe version {recipe['version']!r}; this code runs {sorted(READABLE)}")
    columns = {column["name"]: column for column in recipe["columns"]}
    inputs = [columns[name] for name in recipe["inputs"]]
    reads = {name: [name] for name in columns} | {f["name"]: f["reads"] for f in recipe["features"]}
    outputs = output_names(recipe, params)
    fills = [(column["name"], fill_of(column, params)) for column in inputs]
    return RowRecipe(
        feature_names=[output for output, _, _ in outputs],
        feature_types=[kind for _, kind, _ in outputs],
        inputs=list(recipe["inputs"]),
        # Recipes written before ``optional`` stood in them promised their clients nothing.
        required=frozenset(column["name"] for column in inputs if not column.get("optional", True)),
        column_types={name: column["type"] for name, column in columns.items()},
        sources={output: list(reads[name]) for output, _, name in outputs},
        columns={column["name"]: column for column in inputs},
        cleaners={column["name"]: _required(column, CLEANERS[column["type"]](column)) for column in inputs},
        _numbers=[column["name"] for column in inputs if column["type"] == "integer"],
        _fences=[
            (column["name"], _fence(column, params["fences"][column["name"]]))
            for column in inputs
            if column.get("outliers") and params["fences"][column["name"]] is not None
        ],
        _fills=[(name, fill) for name, fill in fills if fill is not None],
        _conversions=[(column["name"], *column["convert"]) for column in inputs if column.get("convert")],
        _derived=[
            (feature["name"], compile_expression(feature["expression"])) for feature in recipe["features"]
        ],
        _outputs=[
            (name, None if encoding is None else _encoder(name, encoding, params))
            for name, encoding, _ in encoded(recipe)
        ],
    )


def fill_of(column: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """Give what a missing value becomes; None when it stays missing. An integer's fill is a double.

    Raises KeyError when the parameters belong to another recipe.
    """
    rule = column["missing"]
    if rule == "constant":
        return column["fill"]
    fitted = {"median": "medians", "mean": "means", "mode": "modes"}.get(rule)
    value = params[fitted][column["name"]] if fitted else None
    return float(value) if column["type"] in {"integer", "number"} and value is not None else value


def _fence(column: Mapping[str, Any], fence: tuple[float, float]) -> Callable[[float], float | None]:
    low, high = fence
    if column["outliers"]["action"] == "null":
        return lambda value: value if low <= value <= high else None
    return lambda value: min(max(value, low), high)


def _encoder(name: str, encoding: str, params: Mapping[str, Any]) -> Encoder:
    return ENCODINGS[encoding].compiled(fitted_of(name, encoding, params))


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


def _parser(column: Mapping[str, Any]) -> Callable[[str], Any]:
    if rule := column.get("notation"):
        return partial(plain_number, rule=rule)
    return parse_integer if column["type"] == "integer" else parse_number


def null_numbers(column: Mapping[str, Any]) -> frozenset[float]:
    """Give the numbers a column's null tokens stand for, however they are written."""
    return frozenset(map(_parser(column), column["null_tokens"])) - {None}


def _numeric(column: Mapping[str, Any]) -> Callable[[object], Any]:
    whole, parse = column["type"] == "integer", _parser(column)
    absent, nulls = frozenset(column["null_tokens"]), null_numbers(column)
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
    forms = column.get("forms", ())

    def clean(raw: object) -> str | None:
        if raw is None:
            return None
        if not isinstance(raw, str):
            raise _wrong(column, raw)
        text = trim(raw)
        value = None if text in absent else parse_timestamp(iso_text(text, forms) if forms else text)
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
    raise RecipeUnknown(f"the recipe holds {operator!r}, which this code does not know")


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
