"""Condition blocks of a policy statement.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Context = Mapping[str, str]
"""Condition keys of a request, by their exact lower-case names."""


class UnknownOperatorError(ValueError):
    """When a policy holds a condition operator that is not evaluated here."""


@lru_cache(maxsize=4_096)
def _pattern(wildcard: str, *, ignore_case: bool) -> re.Pattern[str]:
    text = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.split(r"([*?])", wildcard))
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def like(value: str, wildcard: str, *, ignore_case: bool = False) -> bool:
    """Decide whether `value` matches a pattern of `*` and `?`."""
    return _pattern(wildcard, ignore_case=ignore_case).fullmatch(value) is not None


def arn_like(value: str, wildcard: str) -> bool:
    """Decide whether an ARN matches, part by part: `*` crosses none of the first five colons."""
    given, wanted = value.split(":", 5), wildcard.split(":", 5)
    return len(given) == len(wanted) and all(map(like, given, wanted))


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda value, wanted: value == wanted,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "stringlike": like,
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
    "arnequals": arn_like,  # AWS: ArnEquals and ArnLike behave identically
    "arnlike": arn_like,
    "numericequals": lambda value, wanted: float(value) == float(wanted),
    "numericlessthan": lambda value, wanted: float(value) < float(wanted),
    "numericlessthanequals": lambda value, wanted: float(value) <= float(wanted),
    "numericgreaterthan": lambda value, wanted: float(value) > float(wanted),
    "numericgreaterthanequals": lambda value, wanted: float(value) >= float(wanted),
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "numericnotequals": "numericequals",
}


def satisfied(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Decide whether every operator and key holds. Raises UnknownOperatorError."""
    return all(
        _holds(operator, context.get(key.lower()), _texts(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, value: str | None, wanted: Sequence[str]) -> bool:
    name = operator.lower()
    if name == "null":
        return (value is None) == (wanted[0].lower() == "true")
    is_optional = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        raise UnknownOperatorError(
            f"condition operator {operator!r} is not evaluated by the local runtime: add it to conditions.py"
        )
    if value is None:  # AWS: an absent key fails a condition, unless it is negated or says IfExists
        return is_optional or negated
    return any(compare(value, each) for each in wanted) != negated


def _texts(wanted: Any) -> list[str]:
    values = wanted if isinstance(wanted, list) else [wanted]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
