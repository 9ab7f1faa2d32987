"""EventBridge event patterns: which are valid, and which events they match.

The rules are those of "Comparison operators in Amazon EventBridge event patterns" (user guide): names are
matched exactly, an array in the event matches when one of its elements does, arrays of objects match element
by element.
"""

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

MAXIMUM_BYTES = 4096  # PutRule's limit on EventPattern

_MISSING = object()
_SCALAR = str | int | float | bool | None
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}


class InvalidPatternError(ValueError):
    """When a text is not an event pattern; the message is EventBridge's reason."""


def parse_pattern(text: str) -> dict[str, Any]:
    """Answer the pattern in `text`. Raises InvalidPatternError."""
    if len(text.encode()) > MAXIMUM_BYTES:
        raise InvalidPatternError(f"Event pattern is longer than {MAXIMUM_BYTES} bytes")
    try:
        pattern = json.loads(text)
    except ValueError as error:
        raise InvalidPatternError(f"Invalid JSON: {error}") from error
    if not isinstance(pattern, dict) or not pattern:
        raise InvalidPatternError("Filter is not an object or is empty")
    _check_object(pattern, "")
    return pattern


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Decide whether `event` satisfies every field of `pattern`."""
    if isinstance(event, list):
        return any(isinstance(element, dict) and matches(pattern, element) for element in event)
    node = event if isinstance(event, dict) else {}
    return all(_field_matches(name, wanted, node) for name, wanted in pattern.items())


def _field_matches(name: str, wanted: Any, node: Mapping[str, Any]) -> bool:
    if name == "$or":
        return any(matches(alternative, node) for alternative in wanted)
    value = node.get(name, _MISSING)
    if isinstance(wanted, dict):
        return matches(wanted, {} if value is _MISSING else value)
    if isinstance(value, dict):
        value = _MISSING  # matchers look at leaves only
    values = value if isinstance(value, list) else [value]
    leaves = [each for each in values if not isinstance(each, dict | list)] or [_MISSING]
    return any(_matcher_matches(matcher, leaves) for matcher in wanted)


def _matcher_matches(matcher: Any, leaves: list[Any]) -> bool:
    if isinstance(matcher, dict) and "exists" in matcher:
        return bool(matcher["exists"]) == any(leaf is not _MISSING for leaf in leaves)
    return any(_leaf_matches(matcher, leaf) for leaf in leaves if leaf is not _MISSING)


def _leaf_matches(matcher: Any, leaf: Any) -> bool:
    if not isinstance(matcher, dict):
        return _equal(matcher, leaf)
    name, argument = next(iter(matcher.items()))
    if name == "anything-but":
        return not _excluded(argument, leaf)
    if name == "numeric":
        number = isinstance(leaf, int | float) and not isinstance(leaf, bool)
        pairs = zip(argument[::2], argument[1::2], strict=True)
        return number and all(_COMPARISONS[sign](leaf, bound) for sign, bound in pairs)
    return isinstance(leaf, str) and _text_matches(name, argument, leaf)


def _equal(wanted: Any, leaf: Any) -> bool:
    # Python holds True == 1; JSON does not
    return isinstance(wanted, bool) == isinstance(leaf, bool) and wanted == leaf


def _excluded(argument: Any, leaf: Any) -> bool:
    if isinstance(argument, dict):
        name, texts = next(iter(argument.items()))
        listed = texts if isinstance(texts, list) else [texts]
        return isinstance(leaf, str) and any(_text_matches(name, text, leaf) for text in listed)
    listed = argument if isinstance(argument, list) else [argument]
    return any(_equal(each, leaf) for each in listed)


def _text_matches(name: str, argument: Any, leaf: str) -> bool:
    if isinstance(argument, dict):  # prefix or suffix with equals-ignore-case
        argument, leaf = argument["equals-ignore-case"].lower(), leaf.lower()
    if name == "prefix":
        return leaf.startswith(argument)
    if name == "suffix":
        return leaf.endswith(argument)
    if name == "equals-ignore-case":
        return leaf.lower() == str(argument).lower()
    if name == "wildcard":
        return _wildcard(argument).fullmatch(leaf) is not None
    try:
        return ipaddress.ip_address(leaf) in ipaddress.ip_network(argument)
    except ValueError:
        return False  # the event's text is no address, so it is not in the range


def _wildcard(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\[*\\]|.", text, flags=re.DOTALL)
    expression = "".join(".*" if part == "*" else re.escape(part[-1]) for part in parts)
    return re.compile(expression, re.DOTALL)


def _check_object(pattern: Mapping[str, Any], path: str) -> None:
    if not pattern:
        raise InvalidPatternError(f"Empty objects are not allowed at {path or 'the top'}")
    for name, wanted in pattern.items():
        place = f"{path}.{name}" if path else name
        if name == "$or":
            if (
                not isinstance(wanted, list)
                or len(wanted) < 2
                or not all(isinstance(w, dict) for w in wanted)
            ):
                raise InvalidPatternError(f"{place} must be an array of at least two objects")
            for alternative in wanted:
                _check_object(alternative, place)
        elif isinstance(wanted, dict):
            _check_object(wanted, place)
        elif isinstance(wanted, list):
            if not wanted:
                raise InvalidPatternError("Empty arrays are not allowed")
            for matcher in wanted:
                _check_matcher(matcher, place)
        else:
            raise InvalidPatternError(f'"{name}" must be an object or an array')


def _check_matcher(matcher: Any, place: str) -> None:
    if not isinstance(matcher, dict):
        if not isinstance(matcher, _SCALAR):
            raise InvalidPatternError(f"{place}: match value must be String, number, true, false, or null")
        return
    if len(matcher) != 1:
        raise InvalidPatternError(f"{place}: only one key allowed in match expression")
    name, argument = next(iter(matcher.items()))
    check = _CHECKS.get(name)
    if check is None:
        raise InvalidPatternError(f"{place}: unrecognized match type {name}")
    if not check(argument):
        raise InvalidPatternError(f"{place}: {argument!r} is no value for {name}")


def _is_affix(argument: Any) -> bool:
    folded = isinstance(argument, dict) and list(argument) == ["equals-ignore-case"]
    return isinstance(argument, str) or (folded and isinstance(argument["equals-ignore-case"], str))


def _is_numeric(argument: Any) -> bool:
    if not isinstance(argument, list) or len(argument) not in {2, 4}:
        return False
    signs, bounds = argument[::2], argument[1::2]
    numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds)
    return numbers and all(isinstance(sign, str) and sign in _COMPARISONS for sign in signs)


def _is_wildcard(argument: Any) -> bool:
    return isinstance(argument, str) and "**" not in argument.replace("\\*", "")


def _is_anything_but(argument: Any) -> bool:
    if isinstance(argument, dict):
        if len(argument) != 1:
            return False
        name, texts = next(iter(argument.items()))
        check = _CHECKS.get(name) if name in {"prefix", "suffix", "wildcard", "equals-ignore-case"} else None
        listed = texts if isinstance(texts, list) else [texts]
        return check is not None and bool(listed) and all(check(text) for text in listed)
    listed = argument if isinstance(argument, list) else [argument]
    return bool(listed) and all(isinstance(each, str | int | float) for each in listed)


def _is_network(argument: Any) -> bool:
    try:
        ipaddress.ip_network(argument)
    except ValueError:
        return False
    return isinstance(argument, str)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "prefix": _is_affix,
    "suffix": _is_affix,
    "equals-ignore-case": lambda argument: isinstance(argument, str),
    "wildcard": _is_wildcard,
    "anything-but": _is_anything_but,
    "numeric": _is_numeric,
    "exists": lambda argument: isinstance(argument, bool),
    "cidr": _is_network,
}
