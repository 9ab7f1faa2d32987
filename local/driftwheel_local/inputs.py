"""What a rule's target receives: the event, a part of it, a constant, or a template filled from it.

Rules of "Amazon EventBridge input transformation" (eb-transform-target-input in the user guide).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

PATHS_LIMIT = 100
INPUT_LIMIT_BYTES = 8192
_RESERVED = frozenset(
    {
        *("aws.events.rule-arn", "aws.events.rule-name", "aws.events.event", "aws.events.event.json"),
        "aws.events.event.ingestion-time",
    }
)
_STEP = re.compile(r"\.([A-Za-z0-9_\-/]+)|\.?\[(\d+|\*)\]|\.(\*)")
_VARIABLE = re.compile(r"<([A-Za-z0-9_.\-]+)>")


class InvalidInputError(ValueError):
    """When a target's Input, InputPath or InputTransformer is not one EventBridge accepts."""


def check_input(target: Mapping[str, Any]) -> None:
    """Refuse a target whose input settings cannot be carried out. Raises InvalidInputError."""
    given = [name for name in ("Input", "InputPath", "InputTransformer") if target.get(name) is not None]
    if len(given) > 1:
        raise InvalidInputError(
            f"Only one of Input, InputPath, or InputTransformer must be provided: {given}"
        )
    if "Input" in given:
        if len(target["Input"].encode()) > INPUT_LIMIT_BYTES:
            raise InvalidInputError(f"Input is longer than {INPUT_LIMIT_BYTES} bytes")
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise InvalidInputError(f"Input is not valid JSON: {error}") from error
    if "InputPath" in given:
        _steps(target["InputPath"])
    if "InputTransformer" in given:
        _check_transformer(target["InputTransformer"])


def _check_transformer(transformer: Mapping[str, Any]) -> None:
    paths = transformer.get("InputPathsMap") or {}
    if len(paths) > PATHS_LIMIT:
        raise InvalidInputError(f"InputPathsMap has more than {PATHS_LIMIT} entries")
    for name, path in paths.items():
        if name.lower().startswith("aws."):
            raise InvalidInputError(f"InputPathsMap key {name!r} is reserved")
        _steps(path)
    template = transformer.get("InputTemplate")
    if not template:
        raise InvalidInputError("InputTransformer needs an InputTemplate")
    for name in _VARIABLE.findall(template):
        if name not in paths and name not in _RESERVED:
            raise InvalidInputError(f"InputTemplate uses <{name}>, which InputPathsMap does not define")


def target_input(
    target: Mapping[str, Any], event: Mapping[str, Any], *, rule_arn: str, rule_name: str, ingested: str
) -> str:
    """Answer the text the target receives for `event`; `ingested` is when EventBridge got it (ISO 8601)."""
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath") is not None:
        found = find(event, target["InputPath"])
        return json.dumps(None if found is _MISSING else found)
    transformer = target.get("InputTransformer")
    if transformer is None:
        return json.dumps(event)
    values: dict[str, Any] = {
        name: find(event, path) for name, path in (transformer.get("InputPathsMap") or {}).items()
    }
    values |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_name,
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
        "aws.events.event.ingestion-time": ingested,
    }
    return _fill(transformer["InputTemplate"], values)


_MISSING = object()


def find(document: Any, path: str) -> Any:
    """Answer what the JSON path leads to; a path with `*` answers a list. A missing part answers a marker."""
    found, many = [document], False
    for name, index in _steps(path):
        if name is None and index is None:
            many = True
            found = [
                c for n in found for c in (n.values() if isinstance(n, dict) else n if _is_list(n) else ())
            ]
        elif name is not None:
            found = [node[name] for node in found if isinstance(node, dict) and name in node]
        else:
            assert index is not None
            found = [node[index] for node in found if _is_list(node) and index < len(node)]
    if many:
        return found
    return found[0] if found else _MISSING


def _is_list(node: Any) -> bool:
    return isinstance(node, list)


def _steps(path: Any) -> list[tuple[str | None, int | None]]:
    if not isinstance(path, str) or not path.startswith("$"):
        raise InvalidInputError(f"{path!r} is not a JSON path: it must begin with $")
    steps: list[tuple[str | None, int | None]] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise InvalidInputError(
                f"{path!r} is not a JSON path EventBridge supports (at {path[position:]!r})"
            )
        name, index, star = match.groups()
        any_child = star is not None or index == "*"
        steps.append((None, None) if any_child else (name, int(index) if index is not None else None))
        position = match.end()
    return steps


def _fill(template: str, values: Mapping[str, Any]) -> str:
    """Replace variables: inside a JSON string their text, elsewhere their JSON.

    A template that is neither object nor array is a line of text, where values stand unquoted. A variable
    whose path leads nowhere is empty.
    """
    is_json = template.lstrip()[:1] in {"{", "["}
    filled: list[str] = []
    position, quoted = 0, False
    for match in _VARIABLE.finditer(template):
        before = template[position : match.start()]
        quoted = quoted ^ (len(re.findall(r'(?<!\\)"', before)) % 2 == 1)
        filled.append(before)
        position = match.end()
        name = match.group(1)
        if name not in values:
            filled.append(match.group(0))
        elif is_json and not quoted:
            value = values[name]
            filled.append('""' if value is _MISSING else json.dumps(value))
        else:
            text = _plain(values[name])
            filled.append(json.dumps(text)[1:-1] if is_json or quoted else text)
    return "".join(filled) + template[position:]


def _plain(value: Any) -> str:
    if value is _MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
