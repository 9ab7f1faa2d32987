"""What ``recipe.json`` says: the declaration of ``model.yaml``, checked and compiled once, free of SQL."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftwheel.encode import DateParts
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.column_rule import declare_column
from driftwheel.recipe.encodings import ENCODINGS
from driftwheel.recipe.literals import collapse, fold
from driftwheel.recipe.row import VERSION
from driftwheel.spec import ModelSpec, load_spec

if TYPE_CHECKING:
    from driftwheel.recipe.expression import Expression

Node = list[Any]

LARGEST = 20_000
"""Nodes of one feature with the earlier features it reads written out: more would choke the SQL planner."""

TYPES = {"category": "text", "text": "text", "integer": "number", "number": "number"}
"""Column types as expressions see them; boolean and timestamp are themselves."""


def read_model(text: str | bytes, name: str = "model.yaml") -> ModelSpec:
    """Read a ``model.yaml`` that is accepted: its fields are valid and its recipe compiles.

    Raises SpecInvalid naming the file, the field, its line and the remedy.
    """
    from driftwheel.yaml12 import line_of  # noqa: PLC0415  # as in load_spec

    spec = load_spec(text, name)
    try:
        declare(spec)
    except SpecInvalid as error:
        place = str(error).partition(":")[0].split(".")
        raise SpecInvalid(f"{name}: {error} (line {line_of(text, place)})") from error
    return spec


def declare(spec: ModelSpec) -> dict[str, Any]:
    """Compile a specification to ``recipe.json``.

    ``inputs`` are the columns a request needs. Raises SpecInvalid naming the field and the remedy.
    """
    columns = {name: declare_column(name, column) for name, column in spec.columns.items()}
    names = {name: TYPES.get(column.type, column.type) for name, column in spec.columns.items()}
    target = _target(spec, names)
    if spec.target.expression is None:
        columns[spec.target.column]["model_input"] = False  # a column that is the answer is no question
    features = _features(spec, dict(names)) + _date_parts(spec)
    used = {name for name, column in columns.items() if column["model_input"]}
    used.update(name for feature in features for name in feature["reads"])
    if not any(column["model_input"] for column in columns.values()) and not features:
        raise SpecInvalid("columns: no column and no feature enters the model; set feature: true on some")
    answer = target["reads"]
    if len(answer) == 1 and answer[0] in used:
        raise SpecInvalid(
            f"target: it is made of '{answer[0]}' alone, which also enters the model; "
            f"set columns.{answer[0]}.feature: false and read it in no feature"
        )
    return {
        "version": VERSION,
        "model": spec.model,
        "columns": list(columns.values()),
        "inputs": [name for name in columns if name in used],
        "features": features,
        "encode": _encodings(spec, columns, features),
        "target": target,
    }


def _features(spec: ModelSpec, names: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    reads: dict[str, list[str]] = {name: [name] for name in names}
    sizes: dict[str, int] = dict.fromkeys(names, 1)
    for name, text in spec.features.items():
        place = f"features.{name}"
        parsed = _parse(text, names, place, spec)
        if parsed.type == "timestamp":
            raise SpecInvalid(
                f"{place}: it gives a timestamp; write extract(… from …) or date_diff('day', …)"
            )
        sizes[name] = _size(parsed.node, sizes)
        if sizes[name] > LARGEST:
            raise SpecInvalid(
                f"{place}: too large with the features it reads written out; read fewer of them"
            )
        columns = {column for one in parsed.reads for column in reads[one]}
        reads[name] = [column for column in spec.columns if column in columns]
        if not columns:
            raise SpecInvalid(f"{place}: it reads no column, so it is the same for every row")
        names[name] = parsed.type
        found.append({"name": name, "type": parsed.type, "expression": parsed.node, "reads": reads[name]})
    return found


def _parse(text: str, names: Mapping[str, str], place: str, spec: ModelSpec) -> "Expression":
    try:
        return _expression(text, names, place)
    except SpecInvalid as error:
        later = [
            name for name in spec.features if name not in names and f"'{name}' is no column" in str(error)
        ]
        if later:
            raise SpecInvalid(f"{place}: '{later[0]}' is a later feature; write it above this one") from error
        raise


def _expression(text: str, names: Mapping[str, str], place: str) -> "Expression":
    # A model without expressions needs no parser of SQL; a function pays for it with the first that has some.
    from driftwheel.recipe.expression import parse_expression  # noqa: PLC0415  # sqlglot is slow to import

    return parse_expression(text, names, place)


def _date_parts(spec: ModelSpec) -> list[dict[str, Any]]:
    """Write the declared parts of timestamps as features: what needs no fitting is an expression."""
    found = []
    for name, encoding in spec.encode.items():
        if not isinstance(encoding, DateParts):
            continue
        if name not in spec.columns or spec.columns[name].type != "timestamp":
            raise SpecInvalid(f"encode.{name}: date_parts needs a timestamp column")
        for part in encoding.parts:
            feature = f"{name}_{part}"
            if feature in spec.columns or feature in spec.features:
                raise SpecInvalid(
                    f"encode.{name}: its part '{feature}' is also a column or feature; rename that"
                )
            node = ["extract", part, ["column", name]]
            found.append({"name": feature, "type": "number", "expression": node, "reads": [name]})
    return found


def _encodings(
    spec: ModelSpec, columns: Mapping[str, Mapping[str, Any]], features: list[dict[str, Any]]
) -> dict[str, Any]:
    inputs = {name: TYPES.get(c["type"], c["type"]) for name, c in columns.items() if c["model_input"]}
    inputs |= {feature["name"]: feature["type"] for feature in features}
    found: dict[str, Any] = {}
    for name, encoding in spec.encode.items():
        if isinstance(encoding, DateParts):
            continue
        place = f"encode.{name}"
        if name not in inputs:
            raise SpecInvalid(f"{place}: the column does not enter the model (feature: false, or the target)")
        takes = ENCODINGS[encoding.encoding].takes
        if inputs[name] not in takes:
            raise SpecInvalid(
                f"{place}: {encoding.encoding} needs a {' or '.join(takes)}, this is a {inputs[name]}"
            )
        found[name] = encoding.model_dump()
        if "order" in found[name]:
            order = [collapse(fold(text)) for text in found[name]["order"]]
            if len(set(order)) != len(order):
                raise SpecInvalid(f"{place}.order: a category stands twice")
            found[name]["order"] = order
    for name in (name for name, encoding in found.items() if encoding["encoding"] == "one_hot"):
        clash = [other for other in inputs if other.startswith(f"{name}__")]
        if clash:
            raise SpecInvalid(f"encode.{name}: its outputs are {name}__1, …; rename '{clash[0]}'")
    return found


COPIES = {"finite": 2, "/": 2, "power": 5, "ln": 2, "log10": 2, "sqrt": 2, "nullif": 2}
"""How often SQL writes an operand, where more than once: once to guard, once to compute."""


def _size(node: Node, sizes: Mapping[str, int]) -> int:
    if node[0] == "column":
        return sizes[node[1]]
    parts = [part for part in node[1:] if isinstance(part, list)]
    if node[0] == "case":
        parts = [one for pair in node[1] for one in pair] + [node[2]]
    return 1 + COPIES.get(node[0], 1) * sum(_size(part, sizes) for part in parts)


def _target(spec: ModelSpec, names: Mapping[str, str]) -> dict[str, Any]:
    target = spec.target
    node: Node = ["column", target.column]
    if target.expression is None:
        place, kind, reads = "target.column", names[target.column], [target.column]
    else:
        place = "target.expression"
        parsed = _expression(target.expression, names, place)
        node, kind, reads = parsed.node, parsed.type, parsed.reads
    wanted = {"binary": {"boolean", "number"}, "regression": {"number"}}[target.kind]
    if kind not in wanted:
        remedy = (
            "write a comparison, for example answer = 'yes'"
            if target.kind == "binary"
            else "it must be a number"
        )
        raise SpecInvalid(f"{place}: a {target.kind} target cannot be a {kind}; {remedy}")
    return {
        "column": target.column,
        "kind": target.kind,
        "type": kind,
        "expression": node,
        "reads": reads,
    }
