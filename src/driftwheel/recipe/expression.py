"""The closed grammar of expressions: SQL text in, a small JSON tree out, or a refusal with its remedy.

A node is ``[operator, *arguments]``, for example ``["<=", ["column", "temp"], ["number", 35.0]]``. All
numbers are doubles. Arithmetic runs as IEEE 754 does; wherever a number is looked at (compared, passed to a
function, returned) a ``finite`` node turns infinity and NaN into null: engines order those differently.

Build time only: this needs sqlglot. ``row`` and ``duck`` run the tree.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.literals import parse_timestamp, trim

Node = list[Any]

LONGEST = 4_000
"""Characters of an expression: far more than a person reads, far less than any parser's stack."""

DEEPEST = 60
"""Levels of one tree: below the limits of every engine and of JSON readers."""

PARTS = ("isodow", "hour", "month", "day", "year", "doy")

INNER = re.compile(r"Required keyword: '[^']*' missing for <class '[^']*'>\.")
"""What the parser says of its own classes where a person left something out."""

ALLOWED = (
    "numbers, 'text', true, false, null, columns, + - * /, = <> < <= > >=, and, or, not, case, coalesce, "
    "nullif, is [not] null, between, in, abs, floor, ceil, ln, log10, exp, sqrt, power, least, greatest, "
    "lower, upper, length, substr, concat, ||, extract(isodow|hour|month|day|year|doy from t), "
    "date_diff('day', a, b)"
)

HINTS: dict[type, str] = {
    exp.Mod: "write a - b * floor(a / b)",
    exp.IntDiv: "write floor(a / b)",
    exp.Cast: "declare the column's type instead; comparisons with a timestamp take a plain text",
    exp.TryCast: "declare the column's type instead",
    exp.Round: "engines round halves differently: write floor(x + 0.5)",
    exp.If: "write case when … then … else … end",
    exp.Like: "write = , in (…) or substr(x, 1, n) = '…'",
    exp.Hour: "write extract(hour from t)",
    exp.Month: "write extract(month from t)",
    exp.Day: "write extract(day from t)",
    exp.Year: "write extract(year from t)",
    exp.DayOfYear: "write extract(doy from t)",
    exp.DayOfWeekIso: "write extract(isodow from t)",
    exp.DayOfWeek: "engines start the week on different days: write extract(isodow from t)",
    exp.Alias: "an expression has no name of its own; its name stands before the colon",
    exp.AggFunc: "a feature sees one row only",
    exp.Window: "a feature sees one row only",
    exp.Query: "a feature sees one row only",
}


@dataclass(frozen=True)
class Typed:
    """A node with its type (number, text, boolean, timestamp, null); ``wild``: it may be infinite or NaN."""

    node: Node
    type: str
    wild: bool = False

    @property
    def observed(self) -> Node:
        """The node as others may look at it."""
        return ["finite", self.node] if self.wild else self.node


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its tree, its type, and the names it reads in order of appearance."""

    node: Node
    type: str
    reads: list[str]


def parse_expression(text: str, names: Mapping[str, str], place: str) -> Expression:
    """Parse one expression over ``names`` (name → type); ``place`` says where it stands in ``model.yaml``.

    Raises SpecInvalid naming the place, the offending piece and what to write instead.
    """
    reader = _Reader(names, place)
    if len(text) > LONGEST:
        raise reader.refusal("it", f"has {len(text)} characters, at most {LONGEST}; split it into features")
    try:
        tree = sqlglot.parse_one(text, read="duckdb")
        found = reader.read(tree)
    except SqlglotError as error:
        raise reader.refusal(repr(text), f"is not an SQL expression ({_first_line(error)})") from error
    except RecursionError as error:
        raise reader.refusal("it", "is nested too deeply; split it into features") from error
    if found.type == "null":
        raise reader.refusal(repr(text), "is always null")
    if _depth(found.node) > DEEPEST:
        raise reader.refusal("it", f"is nested more than {DEEPEST} levels deep; split it into features")
    return Expression(found.observed, found.type, list(reader.reads))


def _first_line(error: SqlglotError) -> str:
    said = str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return INNER.sub("an operand or an argument is missing.", said)


def _depth(node: Node) -> int:
    deepest, level = 0, [node]
    while level:
        deepest += 1
        level = [part for parent in level for part in parent if isinstance(part, list)]
    return deepest


@dataclass
class _Reader:
    names: Mapping[str, str]
    place: str
    reads: dict[str, None] = field(default_factory=dict)

    def refusal(self, what: str, why: str) -> SpecInvalid:
        return SpecInvalid(f"{self.place}: {what} {why}")

    def read(self, tree: exp.Expr) -> Typed:
        for kind in type(tree).__mro__:
            if kind in READERS:
                return READERS[kind](self, tree)
        hint = next((HINTS[kind] for kind in type(tree).__mro__ if kind in HINTS), f"allowed are: {ALLOWED}")
        raise self.refusal(_sql(tree), f"is not allowed in an expression; {hint}")

    def of(self, kind: str, tree: exp.Expr, place: exp.Expr) -> Typed:
        """Read an operand that must be of one type."""
        found = self.read(tree)
        if kind == "timestamp":
            found = self.as_timestamp(found)
        if found.type not in {kind, "null"}:
            hint = {
                "number": "; compare it or use case to make a number of it",
                "boolean": "; write a comparison, for example x > 0",
                "text": "; numbers are not turned into text, engines write them differently",
            }.get(kind, "")
            raise self.refusal(_sql(place), f"needs a {kind}, but {_sql(tree)} is a {found.type}{hint}")
        return found

    def alike(self, trees: Iterable[exp.Expr], place: exp.Expr) -> tuple[list[Typed], str]:
        """Read operands that must be of one common type; a text beside a timestamp is read as a timestamp."""
        found = [self.read(tree) for tree in trees]
        if any(one.type == "timestamp" for one in found):
            found = [self.as_timestamp(one) for one in found]
        kinds = sorted({one.type for one in found} - {"null"})
        if len(kinds) > 1:
            raise self.refusal(_sql(place), f"mixes {' and '.join(kinds)}")
        return found, kinds[0] if kinds else "null"

    def as_timestamp(self, found: Typed) -> Typed:
        if found.node[0] != "text":
            return found
        moment = parse_timestamp(trim(found.node[1]))
        if moment is None:
            raise self.refusal(repr(found.node[1]), "is not a timestamp; write 'YYYY-MM-DD HH:MM:SS'")
        return Typed(["text", moment], "timestamp")


def _sql(tree: exp.Expr) -> str:
    text = tree.sql(dialect="duckdb", comments=False)
    return repr(text if len(text) <= 80 else text[:77] + "...")


Reading = Callable[[_Reader, Any], Typed]


def _literal(reader: _Reader, tree: exp.Literal) -> Typed:
    if tree.is_string:
        try:
            tree.this.encode()
        except UnicodeEncodeError as error:
            raise reader.refusal(ascii(tree.this), "holds half a character (a lone surrogate)") from error
        return Typed(["text", tree.this], "text")
    value = float(tree.this)
    if not math.isfinite(value):
        raise reader.refusal(tree.this, "is too large for a double")
    return Typed(["number", value], "number")


def _column(reader: _Reader, tree: exp.Column) -> Typed:
    name = tree.name
    if not isinstance(tree.this, exp.Identifier) or tree.args.get("table"):
        raise reader.refusal(_sql(tree), "is not a column name; write the bare name")
    if name not in reader.names:
        folded = {known.lower(): known for known in reader.names}
        close = difflib.get_close_matches(name.lower(), folded, n=3)
        hint = (
            f"did you mean {', '.join(folded[one] for one in close)}?"
            if close
            else "declare it under columns"
        )
        raise reader.refusal(repr(name), f"is no column or earlier feature; {hint}")
    reader.reads[name] = None
    return Typed(["column", name], reader.names[name])


def _arithmetic(operator: str) -> Reading:
    def read(reader: _Reader, tree: exp.Binary) -> Typed:
        left, right = (reader.of("number", side, tree) for side in (tree.left, tree.right))
        return Typed([operator, left.node, right.node], "number", wild=True)

    return read


def _comparison(operator: str) -> Reading:
    def read(reader: _Reader, tree: exp.Binary) -> Typed:
        (left, right), kind = reader.alike((tree.left, tree.right), tree)
        if kind == "boolean" and operator not in {"=", "<>"}:
            raise reader.refusal(_sql(tree), "orders booleans; only = and <> compare them")
        return Typed([operator, left.observed, right.observed], "boolean")

    return read


def _connective(operator: str) -> Reading:
    def read(reader: _Reader, tree: exp.Binary) -> Typed:
        operands = [reader.of("boolean", side, tree).node for side in tree.flatten()]
        return Typed([operator, *operands], "boolean")

    return read


def _function(operator: str, wanted: str, given: str, *, wild: bool = False) -> Reading:
    def read(reader: _Reader, tree: exp.Func) -> Typed:
        extra = [name for name, value in tree.args.items() if name != "this" and value]
        if extra or tree.this is None:
            raise reader.refusal(_sql(tree), f"takes exactly one argument: write {operator}(x)")
        return Typed([operator, reader.of(wanted, tree.this, tree).observed], given, wild)

    return read


def _choice(operator: str) -> Reading:
    def read(reader: _Reader, tree: exp.Func) -> Typed:
        found, kind = reader.alike((tree.this, *tree.expressions), tree)
        if operator != "coalesce" and kind == "boolean":
            raise reader.refusal(_sql(tree), "orders booleans; use and / or")
        return Typed([operator, *(one.observed for one in found)], kind)

    return read


def _case(reader: _Reader, tree: exp.Case) -> Typed:
    branches = tree.args["ifs"]
    default = tree.args.get("default") or exp.Null()
    tests = [
        exp.EQ(this=tree.this.copy(), expression=one.this.copy()) if tree.this else one.this
        for one in branches
    ]
    conditions = [reader.of("boolean", test, tree).node for test in tests]
    results, kind = reader.alike([*(one.args["true"] for one in branches), default], tree)
    pairs = [[condition, result.node] for condition, result in zip(conditions, results[:-1], strict=True)]
    return Typed(["case", pairs, results[-1].node], kind, any(result.wild for result in results))


def _between(reader: _Reader, tree: exp.Between) -> Typed:
    if tree.args.get("symmetric"):
        raise reader.refusal(_sql(tree), "is not allowed; write between without symmetric")
    (x, low, high), kind = reader.alike((tree.this, tree.args["low"], tree.args["high"]), tree)
    if kind == "boolean":
        raise reader.refusal(_sql(tree), "orders booleans; only = and <> compare them")
    return Typed(["and", [">=", x.observed, low.observed], ["<=", x.observed, high.observed]], "boolean")


def _in(reader: _Reader, tree: exp.In) -> Typed:
    if not tree.expressions or any(tree.args.get(other) for other in ("query", "unnest", "field")):
        raise reader.refusal(_sql(tree), "needs a list of values: x in (1, 2, 3)")
    found, _ = reader.alike((tree.this, *tree.expressions), tree)
    return Typed(["in", *(one.observed for one in found)], "boolean")


def _nullif(reader: _Reader, tree: exp.Nullif) -> Typed:
    (left, right), kind = reader.alike((tree.this, tree.expression), tree)
    return Typed(["nullif", left.observed, right.observed], kind)


def _is(reader: _Reader, tree: exp.Is) -> Typed:
    if not isinstance(tree.expression, exp.Null):
        raise reader.refusal(_sql(tree), "is not allowed; only is null and is not null")
    return Typed(["is_null", reader.read(tree.this).observed], "boolean")


def _negation(reader: _Reader, tree: exp.Neg) -> Typed:
    operand = reader.of("number", tree.this, tree)
    if operand.node[0] == "number":
        return Typed(["number", 0.0 - operand.node[1]], "number")
    return Typed(["negate", operand.node], "number", operand.wild)


def _logarithm(reader: _Reader, tree: exp.Log) -> Typed:
    base = tree.this
    if tree.expression is None or not isinstance(base, exp.Literal) or base.this != "10":
        raise reader.refusal(
            _sql(tree), "is not allowed: engines disagree on the base; write ln(x) or log10(x)"
        )
    return Typed(["log10", reader.of("number", tree.expression, tree).observed], "number")


def _power(reader: _Reader, tree: exp.Pow) -> Typed:
    operands = [reader.of("number", side, tree).observed for side in (tree.this, tree.expression)]
    return Typed(["power", *operands], "number", wild=True)


def _substr(reader: _Reader, tree: exp.Substring) -> Typed:
    bounds: list[int | None] = []
    for name, least in (("start", 1), ("length", 0)):
        given = tree.args.get(name)
        if given is None and name == "length":
            bounds.append(None)
            continue
        if (
            not isinstance(given, exp.Literal)
            or given.is_string
            or not given.this.isdigit()
            or int(given.this) < least
        ):
            raise reader.refusal(
                _sql(tree), f"needs a whole number of at least {least} as its {name} (1 is the first)"
            )
        bounds.append(int(given.this))
    return Typed(["substr", reader.of("text", tree.this, tree).node, *bounds], "text")


def _concat(reader: _Reader, tree: exp.Concat) -> Typed:
    return Typed(["concat", *(reader.of("text", one, tree).node for one in tree.expressions)], "text")


def _pipe(reader: _Reader, tree: exp.DPipe) -> Typed:
    return Typed(["||", *(reader.of("text", side, tree).node for side in (tree.left, tree.right))], "text")


def _extract(reader: _Reader, tree: exp.Extract) -> Typed:
    part = tree.name.lower()
    if part not in PARTS:
        raise reader.refusal(_sql(tree), f"extracts {part!r}; allowed are {', '.join(PARTS)}")
    return Typed(["extract", part, reader.of("timestamp", tree.expression, tree).node], "number")


def _date_diff(reader: _Reader, tree: exp.DateDiff) -> Typed:
    unit = tree.args.get("unit")
    if unit is None or unit.name.lower() != "day":
        raise reader.refusal(
            _sql(tree), "is not allowed: engines count other units differently; write date_diff('day', a, b)"
        )
    start, end = (reader.of("timestamp", side, tree).node for side in (tree.expression, tree.this))
    return Typed(["days", start, end], "number")


READERS: dict[type, Reading] = {
    exp.Paren: lambda reader, tree: reader.read(tree.this),
    exp.Literal: _literal,
    exp.Boolean: lambda _, tree: Typed(["boolean", bool(tree.this)], "boolean"),
    exp.Null: lambda _, __: Typed(["null"], "null"),
    exp.Column: _column,
    exp.Add: _arithmetic("+"),
    exp.Sub: _arithmetic("-"),
    exp.Mul: _arithmetic("*"),
    exp.Div: _arithmetic("/"),
    exp.EQ: _comparison("="),
    exp.NEQ: _comparison("<>"),
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.And: _connective("and"),
    exp.Or: _connective("or"),
    exp.Not: lambda reader, tree: Typed(["not", reader.of("boolean", tree.this, tree).node], "boolean"),
    exp.Neg: _negation,
    exp.Case: _case,
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Nullif: _nullif,
    exp.Coalesce: _choice("coalesce"),
    exp.Least: _choice("least"),
    exp.Greatest: _choice("greatest"),
    exp.Abs: _function("abs", "number", "number"),
    exp.Floor: _function("floor", "number", "number"),
    exp.Ceil: _function("ceil", "number", "number"),
    exp.Ln: _function("ln", "number", "number"),
    exp.Sqrt: _function("sqrt", "number", "number"),
    exp.Exp: _function("exp", "number", "number", wild=True),
    exp.Lower: _function("lower", "text", "text"),
    exp.Upper: _function("upper", "text", "text"),
    exp.Length: _function("length", "text", "number"),
    exp.Log: _logarithm,
    exp.Pow: _power,
    exp.Substring: _substr,
    exp.Concat: _concat,
    exp.DPipe: _pipe,
    exp.Extract: _extract,
    exp.DateDiff: _date_diff,
}
