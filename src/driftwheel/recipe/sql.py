"""The recipe as SQL, for any engine; ``duck`` and ``spark`` bring the dialect, ``row`` is the same in Python.

Three stages: cleaning (text columns → typed columns), features (cleaned columns → ``x.<output>`` doubles) and
the target (→ ``__label``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.encodings import ENCODINGS, bounded_sql, encoded, fitted_of, output_names
from driftwheel.recipe.literals import (
    BLANKS,
    double_sql,
    parse_boolean,
    parse_integer,
    parse_number,
    parse_timestamp,
)
from driftwheel.recipe.notation import iso_text_sql, plain_number, plain_number_sql
from driftwheel.recipe.row import fill_of

Recipe = Mapping[str, Any]
Params = Mapping[str, Any]
Node = Sequence[Any]

PARSERS: dict[str, Callable[[str], Any]] = {
    "number": parse_number,
    "integer": parse_integer,
    "timestamp": parse_timestamp,
}
"""Type → parser of its null tokens."""


@dataclass(frozen=True)
class Stages:
    """Cleaning in four steps, each a list of ``(expression, name)``, over what came in and the steps before.

    ``tested``: ``__plain.<column>``, which plain way of the dialect reads a cell, or -1; ``parsed``:
    ``__parsed.<column>``, what the text says; ``judged``: the cleaned column, ``__issue.<column>`` (NULL,
    'bad literal', 'outside range' or 'missing') and ``__rewritten.<n>`` (see ``rewritten``); ``told``:
    ``__given.<column>`` (the trimmed text of a cell with an issue, NULL when absent) and ``__rejected``
    (NULL, or '<column>: <issue>' of the first rule that rejects the row).
    """

    tested: list[tuple[str, str]]
    parsed: list[tuple[str, str]]
    judged: list[tuple[str, str]]
    told: list[tuple[str, str]]


TRIMMED, FOLDED, CANONICAL = "trimmed", "folded", "canonical"
"""Rules that rewrite a text: blanks taken away or joined, Unicode NFKC, another spelling."""

WORD = 60
"""Marks in one integer of 64 bits."""


def textual(column: Recipe) -> bool:
    """Tell whether a column keeps its text."""
    return column["type"] in {"category", "text"}


def rewritten(recipe: Recipe) -> dict[tuple[str, str], tuple[str, int]]:
    """Give the mark of every column and rule that may rewrite its text: the integer that holds it, its bit.

    A row's marks are a handful of integers, zero in most rows: they cost next to nothing to keep.
    """
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for column in recipe["columns"]:
        may = {TRIMMED: True, FOLDED: textual(column), CANONICAL: bool(column.get("canonical"))}
        for rule in (rule for rule, there in may.items() if there):
            word, place = divmod(len(found), WORD)
            found[column["name"], rule] = f"__rewritten.{word}", 1 << place
    return found


def cleaning_stages(
    recipe: Recipe, d: Dialect, received: Callable[[str], str], unfolded: Callable[[str], str] | None
) -> Stages:
    """Write how every column is cleaned; ``received`` names the text of a column, brought to NFKC.

    ``unfolded`` names it as it was before; None when all are the same.
    """
    found, marks = Stages([], [], [], []), rewritten(recipe)
    bits: dict[str, list[str]] = {word: [] for word, _ in marks.values()}
    for column in recipe["columns"]:
        name, text = column["name"], received(column["name"])
        ways, plain = _plain(column, text, d), d.identifier(f"__plain.{name}")
        if ways:  # told once, and the second test of a type is made only where the first fails
            numbered = [(test, str(n)) for n, (test, _) in enumerate(ways)]
            found.tested.append((_when(numbered, "-1"), f"__plain.{name}"))
        whens = [(f"{plain} = {n}", value) for n, (_, value) in enumerate(ways)]
        normal = d.collapsed(text) if textual(column) else d.trimmed(text, BLANKS)
        even = _when(whens, normal) if textual(column) else normal
        given, issue = _given(column, even, d), d.identifier(f"__issue.{name}")
        parsed = d.identifier(f"__parsed.{name}")
        read = _parsed(column, given, d)
        found.parsed.append((read if textual(column) else _when(whens, read), f"__parsed.{name}"))
        found.judged.append((_value(column, parsed, d), name))
        found.judged.append((_issue(column, given, parsed, d), f"__issue.{name}"))
        stood = f"CASE WHEN {issue} IS NOT NULL THEN {_given(column, normal, d)} END"
        found.told.append((stood, f"__given.{name}"))
        changes = {
            TRIMMED: _when([(f"{plain} >= 0", "FALSE")] if ways else [], f"{normal} <> {text}"),
            FOLDED: f"{unfolded(name)} <> {text}" if unfolded and textual(column) else None,
            CANONICAL: f"{parsed} <> {even}" if column.get("canonical") else None,
        }
        for rule, changed in changes.items():
            if changed:
                word, bit = marks[name, rule]
                bits[word].append(f"CASE WHEN {changed} THEN {d.integer(bit)} ELSE {d.integer(0)} END")
    found.judged.extend((f"CAST({' | '.join(listed)} AS BIGINT)", word) for word, listed in bits.items())
    found.told.append((rejected_sql(recipe, d), "__rejected"))
    return found


def _when(whens: Sequence[tuple[str, str]], otherwise: str) -> str:
    cases = " ".join(f"WHEN {test} THEN {value}" for test, value in whens)
    return f"CASE {cases} ELSE {otherwise} END" if cases else otherwise


def _plain(column: Recipe, text: str, d: Dialect) -> list[tuple[str, str]]:
    """Write which texts the engine may read its own way; a null token among them is null by its value."""
    if textual(column):
        return d.plain("text", text)
    if column["type"] in PARSERS:
        usual = not column.get("notation") and not column.get("forms")
    else:
        usual = {*map(parse_boolean, column["null_tokens"])} == {None}
    return d.plain(column["type"], text) if usual else []


def rejected_sql(recipe: Recipe, d: Dialect) -> str:
    """Write the first rule that rejects a row, over cleaned columns and their issues."""
    rules = []
    for column in recipe["columns"]:
        x, issue = d.identifier(column["name"]), d.identifier(f"__issue.{column['name']}")
        told = f"{d.quote(column['name'] + ': ')} || CAST({issue} AS {d.text_type})"
        if column["missing"] == "reject":
            rules.append(f"WHEN {x} IS NULL THEN {told}")
        if column["range"] is not None and column["outside"] == "reject":
            rules.append(f"WHEN {issue} = {d.issue('outside range')} THEN {told}")
    return f"CASE {' '.join(rules)} END" if rules else f"CAST(NULL AS {d.text_type})"


def named(pairs: Iterable[tuple[str, str]], d: Dialect) -> str:
    """Write ``expression AS name, …``."""
    return ", ".join(f"{sql} AS {d.identifier(name)}" for sql, name in pairs)


def cleaned_value(column: Recipe, x: str, d: Dialect) -> str:
    """Write the cleaned value of a folded text in one expression."""
    whens = _plain(column, x, d)
    if textual(column):
        return _value(column, _parsed(column, _given(column, _when(whens, d.collapsed(x)), d), d), d)
    return _value(column, _when(whens, _parsed(column, _given(column, d.trimmed(x, BLANKS), d), d)), d)


def operands_sql(recipe: Recipe, params: Params, d: Dialect) -> dict[str, tuple[str, str]]:
    """Write every column and feature as the model and later features see it: name → (type, SQL)."""
    found = {
        column["name"]: (column["type"], _imputed(column, d.identifier(column["name"]), params, d))
        for column in recipe["columns"]
    }
    for feature in recipe["features"]:
        names = {name: x for name, (_, x) in found.items()}
        found[feature["name"]] = (feature["type"], expression_sql(feature["expression"], names, d))
    return found


def feature_pairs(
    recipe: Recipe, params: Params, d: Dialect, folds: Params | None = None
) -> list[tuple[str, str]]:
    """Write ``(expression, "x.<output>")`` (DOUBLE) for every output of the model's inputs.

    Over cleaned columns. With ``folds`` (see ``fit.fit_folds``) the rows are those the parameters were
    learned from, and a target mean is the one learned without the row's own fold (column ``__fold``).
    """
    operands = operands_sql(recipe, params, d)
    found: list[str] = []
    for name, encoding, _ in encoded(recipe):
        x = f"({operands[name][1]})"
        if encoding is None:
            found.append(f"CAST({x} AS DOUBLE)")
        elif folds and name in folds:
            found += _out_of_fold(x, encoding, folds[name], d)
        else:
            found += ENCODINGS[encoding].sql(x, fitted_of(name, encoding, params), d)
    names = [output for output, _, _ in output_names(recipe, params)]
    return [(sql, f"x.{name}") for sql, name in zip(found, names, strict=True)]


def _out_of_fold(x: str, encoding: str, folds: Sequence[Params], d: Dialect) -> list[str]:
    columns = zip(*(ENCODINGS[encoding].sql(x, fold, d) for fold in folds), strict=True)
    return [
        f"CASE __fold % {len(folds)} {' '.join(f'WHEN {n} THEN {sql}' for n, sql in enumerate(column))} END"
        for column in columns
    ]


def label_sql(recipe: Recipe, d: Dialect) -> str:
    """Write the label (DOUBLE) over cleaned columns, nothing imputed.

    NULL where the target is unknown, and for a binary target where it is a number other than 0 and 1.
    """
    names = {
        column["name"]: _converted(column, _operand(column, d.identifier(column["name"])))
        for column in recipe["columns"]
    }
    target = recipe["target"]
    label = f"CAST({expression_sql(target['expression'], names, d)} AS DOUBLE)"
    if target["kind"] == "binary" and target["type"] == "number":
        return f"CASE WHEN {label} IN (0e0, 1e0) THEN {label} END"
    return label


def _given(column: Recipe, x: str, d: Dialect) -> str:
    tokens = column["null_tokens"]
    if tokens == [""]:
        return f"nullif({x}, '')"
    return f"CASE WHEN {x} NOT IN ({', '.join(map(d.quote, tokens))}) THEN {x} END"


def _parsed(column: Recipe, x: str, d: Dialect) -> str:
    if column.get("notation"):
        return plain_number_sql(x, column["notation"], d)
    if column["type"] == "timestamp":
        return d.timestamp(iso_text_sql(x, column.get("forms", ()), d))
    if column["type"] in {"number", "integer", "boolean"}:
        return {"number": d.number, "integer": d.whole, "boolean": d.boolean}[column["type"]](x)
    if not column["canonical"]:
        return x
    cases = " ".join(
        f"WHEN {d.quote(key)} THEN {d.quote(name)}" for key, name in sorted(column["canonical"].items())
    )
    return f"CASE {d.lowered(x)} {cases} ELSE {x} END"


def _literal(column: Recipe, value: Any, d: Dialect) -> str:
    if column["type"] == "integer":
        return d.integer(value)
    return d.quote(value) if column["type"] == "timestamp" else double_sql(value)


def _known(column: Recipe, x: str, d: Dialect) -> str:
    """Null out values that equal a null token written in another way (-999.0 for -999)."""
    if column["type"] not in PARSERS:
        return x
    nulls = [_literal(column, value, d) for value in sorted(null_values(column))]
    return f"CASE WHEN {x} NOT IN ({', '.join(nulls)}) THEN {x} END" if nulls else x


def null_values(column: Recipe) -> set[Any]:
    """Give the values that the column's null tokens stand for when read as its type."""
    rule, parse = column.get("notation"), PARSERS[column["type"]]
    read = (lambda text: plain_number(text, rule)) if rule else parse
    return {value for token in column["null_tokens"] if (value := read(token)) is not None}


def _value(column: Recipe, parsed: str, d: Dialect) -> str:
    x = _known(column, parsed, d)
    if column["range"] is None:
        return x
    low, high = (_literal(column, bound, d) for bound in column["range"])
    if column["outside"] == "clip":
        return f"CASE WHEN {x} < {low} THEN {low} WHEN {x} > {high} THEN {high} ELSE {x} END"
    return f"CASE WHEN {x} BETWEEN {low} AND {high} THEN {x} END"


def _outside(column: Recipe, parsed: str, d: Dialect) -> str:
    low, high = (_literal(column, bound, d) for bound in column["range"])
    return f"{_known(column, parsed, d)} NOT BETWEEN {low} AND {high}"


def _issue(column: Recipe, given: str, parsed: str, d: Dialect) -> str:
    missing, bad, outside = (d.issue(kind) for kind in ("missing", "bad literal", "outside range"))
    if column["type"] in {"category", "text"}:
        return f"CASE WHEN {parsed} IS NULL THEN {missing} END"
    rules = [f"WHEN {parsed} IS NULL THEN CASE WHEN {given} IS NULL THEN {missing} ELSE {bad} END"]
    if column["range"] is not None:
        rules.append(f"WHEN {_outside(column, parsed, d)} THEN {outside}")
    if column["type"] in PARSERS and null_values(column):
        rules.append(f"WHEN {_known(column, parsed, d)} IS NULL THEN {missing}")
    return f"CASE {' '.join(rules)} END"


def _operand(column: Recipe, x: str) -> str:
    return f"CAST({x} AS DOUBLE)" if column["type"] == "integer" else x


def fenced_sql(column: Recipe, x: str, params: Params) -> str:
    """Write a column's operand (integers as DOUBLE) with its outliers clipped or nulled, nothing imputed."""
    operand = _operand(column, x)
    fence = params.get("fences", {}).get(column["name"])
    if not column.get("outliers") or fence is None:
        return operand
    low, high = map(double_sql, fence)
    if column["outliers"]["action"] == "null":
        return f"(CASE WHEN {operand} BETWEEN {low} AND {high} THEN {operand} END)"
    return f"(CASE WHEN {operand} < {low} THEN {low} WHEN {operand} > {high} THEN {high} ELSE {operand} END)"


def _imputed(column: Recipe, x: str, params: Params, d: Dialect) -> str:
    operand = fenced_sql(column, x, params)
    fill = fill_of(column, params)
    if isinstance(fill, bool):
        operand = f"coalesce({operand}, {str(fill).upper()})"
    elif fill is not None:
        operand = f"coalesce({operand}, {d.quote(fill) if isinstance(fill, str) else double_sql(fill)})"
    return _converted(column, operand)


def _converted(column: Recipe, x: str) -> str:
    if not column.get("convert"):
        return x
    factor, offset = map(double_sql, column["convert"])
    return bounded_sql(f"({x} * {factor} + {offset})")


def expression_sql(node: Node, names: Mapping[str, str], d: Dialect) -> str:
    """Write an expression; ``names`` gives the SQL of each name. Raises ValueError for an unknown node."""
    operator, *arguments = node
    if operator == "text":
        return d.quote(arguments[0])
    if operator in LEAVES:
        return LEAVES[operator](*arguments)
    if operator == "column":
        return f"({names[arguments[0]]})"
    if operator == "case":
        pairs, default = arguments
        whens = [f"WHEN {expression_sql(c, names, d)} THEN {expression_sql(v, names, d)}" for c, v in pairs]
        return f"(CASE {' '.join(whens)} ELSE {expression_sql(default, names, d)} END)"
    if operator == "extract":
        return d.part(arguments[0], expression_sql(arguments[1], names, d))
    if operator == "substr":
        x, start, length = arguments
        rest = "" if length is None else f", {length}"
        return f"substr({expression_sql(x, names, d)}, {start}{rest})"
    operands = [expression_sql(argument, names, d) for argument in arguments]
    if operator in INFIX:
        return f"({f' {INFIX[operator]} '.join(operands)})"
    if operator in CALLS:
        return f"{operator}({', '.join(operands)})"
    if operator in TEMPLATES:
        return TEMPLATES[operator].format(*operands)
    if operator in WRITTEN:
        return WRITTEN[operator](d, operands)
    raise ValueError(f"the recipe holds {operator!r}, which this code does not know")


LEAVES: dict[str, Callable[..., str]] = {
    "number": double_sql,
    "boolean": lambda value: "TRUE" if value else "FALSE",
    "null": lambda: "NULL",
}

INFIX = {name: name for name in ("+", "-", "*", "=", "<>", "<", "<=", ">", ">=", "||")} | {
    "and": "AND",
    "or": "OR",
}

CALLS = frozenset({"abs", "exp", "coalesce", "nullif"})

TEMPLATES = {
    "/": "(CASE WHEN {1} <> 0e0 THEN {0} / {1} END)",
    "negate": "(- {0})",
    "not": "(NOT {0})",
    "is_null": "({0} IS NULL)",
    "ln": "(CASE WHEN {0} > 0e0 THEN ln({0}) END)",
    "log10": "(CASE WHEN {0} > 0e0 THEN log10({0}) END)",
    "sqrt": "(CASE WHEN {0} >= 0e0 THEN sqrt({0}) END)",
    "length": "CAST(length({0}) AS DOUBLE)",
}


def _power(d: Dialect, operands: list[str]) -> str:
    base, exponent = operands
    return (
        f"(CASE WHEN {base} > 0e0 OR ({base} = 0e0 AND {exponent} >= 0e0) "
        f"OR ({base} < 0e0 AND {exponent} = {d.rounded('floor', exponent)}) "
        f"THEN power({base}, {exponent}) END)"
    )


def _among(function: str) -> Callable[[Dialect, list[str]], str]:
    """Spark's least and greatest want two operands at least."""
    return lambda _, operands: f"{function}({', '.join(operands)})" if len(operands) > 1 else operands[0]


WRITTEN: dict[str, Callable[[Dialect, list[str]], str]] = {
    "finite": lambda d, operands: f"(CASE WHEN {d.finite(operands[0])} THEN {operands[0]} END)",
    "floor": lambda d, operands: d.rounded("floor", operands[0]),
    "ceil": lambda d, operands: d.rounded("ceil", operands[0]),
    "power": _power,
    "least": _among("least"),
    "greatest": _among("greatest"),
    "concat": lambda d, operands: d.joined(operands),
    "lower": lambda d, operands: d.lowered(operands[0]),
    "upper": lambda d, operands: d.raised(operands[0]),
    "days": lambda d, operands: d.days(*operands),
    "in": lambda _, operands: f"({operands[0]} IN ({', '.join(operands[1:])}))",
}
