# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""The recipe as DuckDB SQL: what the batch engine runs; ``row`` says the same for one record.

Three stages, each a query over the one before: ``cleaning_query`` (all-VARCHAR rows → typed columns),
``feature_sql`` (cleaned columns → ``x.<feature>`` doubles) and ``target_sql`` (→ ``__label``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from driftwheel.recipe.encodings import ENCODINGS, bounded_sql, encoded, fitted_of, output_names
from driftwheel.recipe.literals import (
    boolean_sql,
    collapse_sql,
    double_sql,
    fold,
    identifier,
    integer_sql,
    lower_sql,
    number_sql,
    parse_integer,
    parse_number,
    parse_timestamp,
    quote,
    timestamp_sql,
    trim_sql,
    upper_sql,
)
from driftwheel.recipe.notation import iso_text_sql, plain_number, plain_number_sql

Recipe = Mapping[str, Any]
Params = Mapping[str, Any]
Node = Sequence[Any]

FOLDS = "driftwheel_folds"
"""Temporary table (original, folded) of the texts that Unicode NFKC changes."""


def cleaning_sql(recipe: Recipe) -> list[str]:
    """Write ``expression AS name`` for every column, over VARCHAR columns of the same names.

    Texts must be folded already (``cleaning_query`` does it) unless all are ASCII. Numbers become DOUBLE,
    integers BIGINT, booleans BOOLEAN, timestamps VARCHAR ``YYYY-MM-DD HH:MM:SS``, texts VARCHAR.
    """
    return [
        f"{_value(column, _parsed(column, _given(column, _text(column, identifier(column['name'])))))} "
        f"AS {identifier(column['name'])}"
        for column in recipe["columns"]
    ]


def find_folds(connection: Any, source: str, recipe: Recipe) -> list[str]:
    """Fill ``driftwheel_folds`` with the texts of ``source`` that NFKC changes; return their columns.

    ``source`` is a table's name or a query in parentheses.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {FOLDS} (original VARCHAR PRIMARY KEY, folded VARCHAR)")
    found = []
    for column in recipe["columns"]:
        if column["type"] not in {"category", "text"}:
            continue
        name = identifier(column["name"])
        rows = connection.execute(
            f"SELECT DISTINCT {name} FROM {source} WHERE NOT regexp_full_match({name}, '[\\x00-\\x7F]*')"
        ).fetchall()
        pairs = [(text, fold(text)) for (text,) in rows if fold(text) != text]
        if pairs:
            connection.executemany(f"INSERT OR IGNORE INTO {FOLDS} VALUES (?, ?)", pairs)
            found.append(column["name"])
    return found


def cleaning_query(connection: Any, source: str, recipe: Recipe) -> str:
    """Write the query that cleans ``source`` (a table's name, or a query in parentheses) of VARCHAR columns.

    Beside the cleaned columns and whatever else ``source`` holds it gives, per column, ``__given.<column>``
    (trimmed text, NULL when absent) and ``__issue.<column>`` (NULL, 'bad literal', 'outside range' or
    'missing'), and ``__rejected`` (NULL, or '<column>: <issue>' of the first rule that rejects the row).
    """
    folded = find_folds(connection, source, recipe)
    columns = recipe["columns"]
    given, parsed, final, rejections = [], [], [], []
    for column in columns:
        name = column["name"]
        x, given_name, parsed_name = (identifier(f"{stage}{name}") for stage in ("", "__given.", "__parsed."))
        if name in folded:
            x = f"coalesce((SELECT f.folded FROM {FOLDS} f WHERE f.original = __source.{x}), __source.{x})"
        given.append(f"{_given(column, _text(column, x))} AS {given_name}")
        parsed.append(f"{_parsed(column, given_name)} AS {parsed_name}")
        issue = _issue(column, given_name, parsed_name)
        final.append(f"{_value(column, parsed_name)} AS {identifier(name)}")
        final.append(f"{issue} AS {identifier(f'__issue.{name}')}")
        rejects = _rejects(column, parsed_name)
        if rejects:
            rejections.append(f"WHEN {rejects} THEN {quote(name + ': ')} || coalesce({issue}, 'missing')")
    rejected = f"CASE {' '.join(rejections)} END" if rejections else "CAST(NULL AS VARCHAR)"
    names = ", ".join(identifier(column["name"]) for column in columns)
    stages = ", ".join(identifier(f"__parsed.{column['name']}") for column in columns)
    first = f"SELECT *, {', '.join(given)} FROM {source} AS __source"
    second = f"SELECT * EXCLUDE ({names}), {', '.join(parsed)} FROM ({first})"
    return f"SELECT * EXCLUDE ({stages}), {', '.join(final)}, {rejected} AS __rejected FROM ({second})"


class DuckDialect:
    """What the encodings write in DuckDB's way."""

    quote = staticmethod(quote)

    @staticmethod
    def code(x: str, keys: Sequence[str]) -> str:
        """Look a text up in an ENUM: a hash look-up however many keys there are."""
        if not keys:
            return "CAST(NULL AS DOUBLE)"
        return f"CAST(enum_code(try_cast({x} AS ENUM({', '.join(map(quote, keys))}))) AS DOUBLE)"

    @staticmethod
    def pick(code: str, values: Sequence[float]) -> str:
        """Index a list literal."""
        listed = ", ".join(map(double_sql, values))
        return f"list_extract([{listed}], CAST({code} AS BIGINT) + 1)" if values else "CAST(NULL AS DOUBLE)"

    @staticmethod
    def instr(text: str, x: str) -> str:
        """Find a character."""
        return f"instr({quote(text)}, {x})"


def operands_sql(recipe: Recipe, params: Params) -> dict[str, tuple[str, str]]:
    """Write every column and feature as the model and later features see it: name → (type, SQL)."""
    found = {
        column["name"]: (column["type"], _imputed(column, identifier(column["name"]), params))
        for column in recipe["columns"]
    }
    for feature in recipe["features"]:
        names = {name: x for name, (_, x) in found.items()}
        found[feature["name"]] = (feature["type"], expression_sql(feature["expression"], names))
    return found


def feature_sql(recipe: Recipe, params: Params, folds: Params | None = None) -> list[str]:
    """Write ``expression AS "x.<output>"`` (DOUBLE) for every output of the model's inputs.

    Over cleaned columns. With ``folds`` (see ``fit.fit_folds``) the rows are those the parameters were
    learned from, and a target mean is the one learned without the row's own fold (column ``__fold``).
    """
    operands = operands_sql(recipe, params)
    found: list[str] = []
    for name, encoding, _ in encoded(recipe):
        x = operands[name][1]
        if encoding is None:
            found.append(f"CAST({x} AS DOUBLE)")
        elif folds and name in folds:
            found += _out_of_fold(x, encoding, folds[name])
        else:
            found += ENCODINGS[encoding].sql(f"({x})", fitted_of(name, encoding, params), DuckDialect())
    names = [output for output, _, _ in output_names(recipe, params)]
    return [f"{sql} AS {identifier(f'x.{name}')}" for sql, name in zip(found, names, strict=True)]


def _out_of_fold(x: str, encoding: str, folds: Sequence[Params]) -> list[str]:
    columns = zip(*(ENCODINGS[encoding].sql(f"({x})", fold, DuckDialect()) for fold in folds), strict=True)
    return [
        f"CASE __fold % {len(folds)} {' '.join(f'WHEN {n} THEN {sql}' for n, sql in enumerate(column))} END"
        for column in columns
    ]


def target_sql(recipe: Recipe) -> str:
    """Write ``expression AS __label`` (DOUBLE) over cleaned columns, nothing imputed.

    NULL where the target is unknown, and for a binary target where it is a number other than 0 and 1.
    """
    names = {column["name"]: _seen(column, identifier(column["name"])) for column in recipe["columns"]}
    target = recipe["target"]
    label = f"CAST({expression_sql(target['expression'], names)} AS DOUBLE)"
    if target["kind"] == "binary" and target["type"] == "number":
        label = f"CASE WHEN {label} IN (0e0, 1e0) THEN {label} END"
    return f"{label} AS __label"


def _text(column: Recipe, x: str) -> str:
    return collapse_sql(x) if column["type"] in {"category", "text"} else trim_sql(x)


def _given(column: Recipe, x: str) -> str:
    tokens = column["null_tokens"]
    if tokens == [""]:
        return f"nullif({x}, '')"
    return f"CASE WHEN {x} NOT IN ({', '.join(map(quote, tokens))}) THEN {x} END"


PARSERS: dict[str, tuple[Callable[[str], str], Callable[[str], Any], Callable[[Any], str]]] = {
    "number": (number_sql, parse_number, double_sql),
    "integer": (integer_sql, parse_integer, str),
    "timestamp": (timestamp_sql, parse_timestamp, quote),
}
"""Type → SQL parser, Python parser of null tokens, SQL literal of a parsed value."""


def _parsed(column: Recipe, x: str) -> str:
    if column["type"] == "boolean":
        return boolean_sql(x)
    if column.get("notation"):
        return plain_number_sql(x, column["notation"], number_sql)
    if column["type"] == "timestamp":
        return timestamp_sql(iso_text_sql(x, column.get("forms", ())))
    if column["type"] in PARSERS:
        return PARSERS[column["type"]][0](x)
    if not column["canonical"]:
        return x
    cases = " ".join(
        f"WHEN {quote(key)} THEN {quote(name)}" for key, name in sorted(column["canonical"].items())
    )
    return f"CASE {lower_sql(x)} {cases} ELSE {x} END"


def _known(column: Recipe, x: str) -> str:
    """Null out values that equal a null token written in another way (-999.0 for -999)."""
    if column["type"] not in PARSERS:
        return x
    _, parse, literal = PARSERS[column["type"]]
    nulls = sorted(null_values(column, parse))
    return f"CASE WHEN {x} NOT IN ({', '.join(map(literal, nulls))}) THEN {x} END" if nulls else x


def null_values(column: Recipe, parse: Callable[[str], Any]) -> set[Any]:
    """Give the values that the column's null tokens stand for when read as its type."""
    rule = column.get("notation")
    read = (lambda text: plain_number(text, rule)) if rule else parse
    return {value for token in column["null_tokens"] if (value := read(token)) is not None}


def _bounds(column: Recipe) -> tuple[str, str]:
    literal = str if column["type"] == "integer" else double_sql
    low, high = map(literal, column["range"])
    return low, high


def _value(column: Recipe, parsed: str) -> str:
    x = _known(column, parsed)
    if column["range"] is None:
        return x
    low, high = _bounds(column)
    if column["outside"] == "clip":
        return f"CASE WHEN {x} < {low} THEN {low} WHEN {x} > {high} THEN {high} ELSE {x} END"
    return f"CASE WHEN {x} BETWEEN {low} AND {high} THEN {x} END"


def _outside(column: Recipe, parsed: str) -> str:
    low, high = _bounds(column)
    return f"{_known(column, parsed)} NOT BETWEEN {low} AND {high}"


def _issue(column: Recipe, given: str, parsed: str) -> str:
    rules = [f"WHEN {given} IS NOT NULL AND {parsed} IS NULL THEN 'bad literal'"]
    if column["range"] is not None:
        rules.append(f"WHEN {_outside(column, parsed)} THEN 'outside range'")
    rules.append(f"WHEN {_known(column, parsed)} IS NULL THEN 'missing'")
    return f"CASE {' '.join(rules)} END"


def _rejects(column: Recipe, parsed: str) -> str:
    rules = []
    if column["missing"] == "reject":
        rules.append(f"({_value(column, parsed)}) IS NULL")
    if column["range"] is not None and column["outside"] == "reject":
        rules.append(f"({_outside(column, parsed)})")
    return " OR ".join(rules)


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


def _imputed(column: Recipe, x: str, params: Params) -> str:
    operand = fenced_sql(column, x, params)
    fill = fill_of(column, params)
    if fill is not None:
        operand = f"coalesce({operand}, {_constant(fill)})"
    return _converted(column, operand)


def fill_of(column: Recipe, params: Params) -> Any:
    """Give what a missing value becomes; None when it stays missing."""
    rule, name = column["missing"], column["name"]
    if rule == "constant":
        return column["fill"]
    fitted = {"median": "medians", "mean": "means", "mode": "modes"}.get(rule)
    return params[fitted].get(name) if fitted else None


def _constant(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return quote(value) if isinstance(value, str) else double_sql(value)


def _seen(column: Recipe, x: str) -> str:
    """Write a cleaned column as expressions see it: a double in the wanted unit."""
    return _converted(column, _operand(column, x))


def _converted(column: Recipe, x: str) -> str:
    if not column.get("convert"):
        return x
    factor, offset = map(double_sql, column["convert"])
    return bounded_sql(f"({x} * {factor} + {offset})")


def expression_sql(node: Node, names: Mapping[str, str]) -> str:
    """Write an expression; ``names`` gives the SQL of each name. Raises ValueError for an unknown node."""
    operator, *arguments = node
    if operator in LEAVES:
        return LEAVES[operator](*arguments)
    if operator == "column":
        return f"({names[arguments[0]]})"
    if operator == "case":
        pairs, default = arguments
        whens = [f"WHEN {expression_sql(c, names)} THEN {expression_sql(v, names)}" for c, v in pairs]
        return f"(CASE {' '.join(whens)} ELSE {expression_sql(default, names)} END)"
    if operator == "extract":
        part, x = arguments
        return f"CAST(extract({part} FROM CAST({expression_sql(x, names)} AS TIMESTAMP)) AS DOUBLE)"
    if operator == "substr":
        x, start, length = arguments
        rest = "" if length is None else f", {length}"
        return f"substr({expression_sql(x, names)}, {start}{rest})"
    operands = [expression_sql(argument, names) for argument in arguments]
    if operator in INFIX:
        return f"({f' {INFIX[operator]} '.join(operands)})"
    if operator in CALLS:
        return f"{operator}({', '.join(operands)})"
    if operator in TEMPLATES:
        return TEMPLATES[operator].format(*operands)
    if operator == "in":
        return f"({operands[0]} IN ({', '.join(operands[1:])}))"
    raise ValueError(f"the recipe holds {operator!r}, which this code does not know")


LEAVES: dict[str, Callable[..., str]] = {
    "number": double_sql,
    "text": quote,
    "boolean": lambda value: "TRUE" if value else "FALSE",
    "null": lambda: "NULL",
}

INFIX = {name: name for name in ("+", "-", "*", "=", "<>", "<", "<=", ">", ">=", "||")} | {
    "and": "AND",
    "or": "OR",
}

CALLS = frozenset({"abs", "floor", "ceil", "exp", "coalesce", "nullif", "least", "greatest", "concat"})

TEMPLATES = {
    "finite": "(CASE WHEN isfinite({0}) THEN {0} END)",
    "/": "(CASE WHEN {1} <> 0e0 THEN {0} / {1} END)",
    "negate": "(- {0})",
    "not": "(NOT {0})",
    "is_null": "({0} IS NULL)",
    "ln": "(CASE WHEN {0} > 0e0 THEN ln({0}) END)",
    "log10": "(CASE WHEN {0} > 0e0 THEN log10({0}) END)",
    "sqrt": "(CASE WHEN {0} >= 0e0 THEN sqrt({0}) END)",
    "power": (
        "(CASE WHEN {0} > 0e0 OR ({0} = 0e0 AND {1} >= 0e0) OR ({0} < 0e0 AND {1} = floor({1})) "
        "THEN power({0}, {1}) END)"
    ),
    "lower": lower_sql("{0}"),
    "upper": upper_sql("{0}"),
    "length": "CAST(length({0}) AS DOUBLE)",
    "days": "CAST(date_diff('day', CAST({0} AS TIMESTAMP), CAST({1} AS TIMESTAMP)) AS DOUBLE)",
}
