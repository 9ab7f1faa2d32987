"""CloudFormation's intrinsic functions: what a value refers to, and what it comes to."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class TemplateError(ValueError):
    """When the template says something CloudFormation, or this runtime, cannot carry out."""


class Resources(Protocol):
    """What the resolver asks about resources that already exist."""

    def ref(self, logical_id: str) -> str:
        """Answer what `Ref` of this resource is."""

    def get_att(self, logical_id: str, attribute: str) -> Any:
        """Answer what `Fn::GetAtt` of this attribute is."""


NO_VALUE = object()  # AWS::NoValue: the property that holds it disappears

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_CONDITION_FUNCTIONS = frozenset({"Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition"})


@dataclass
class Scope:
    """Everything a value may refer to that is known before any resource exists."""

    parameters: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    _evaluated: dict[str, bool] = field(default_factory=dict)
    _evaluating: list[str] = field(default_factory=list)

    def condition(self, name: str) -> bool:
        """Decide a named condition of the template."""
        if name in self._evaluated:
            return self._evaluated[name]
        if name not in self.conditions:
            raise TemplateError(f"Condition {name!r} is not declared under Conditions")
        if name in self._evaluating:
            raise TemplateError(
                f"Conditions refer to each other in a circle: {' -> '.join(self._evaluating)}"
            )
        self._evaluating.append(name)
        try:
            answer = truth(self.conditions[name], self, f"Conditions.{name}")
        finally:
            self._evaluating.pop()
        self._evaluated[name] = answer
        return answer

    def known(self, name: str) -> bool:
        """Decide whether `Ref name` is a parameter or a pseudo parameter."""
        return name in self.parameters or name in self.pseudo

    def value(self, name: str) -> Any:
        """Answer a parameter or pseudo parameter."""
        return self.parameters[name] if name in self.parameters else self.pseudo[name]


def single_function(value: Any) -> tuple[str, Any] | None:
    """Answer (function, argument) when `value` is an intrinsic function call."""
    if isinstance(value, dict) and len(value) == 1:
        name, argument = next(iter(value.items()))
        if name == "Ref" or (isinstance(name, str) and name.startswith("Fn::")):
            return name, argument
        if name == "Condition" and isinstance(argument, str):  # an object here is an IAM statement's
            return name, argument
    return None


def references(value: Any, scope: Scope) -> set[str]:
    """Answer the logical ids `value` refers to, in the branches its conditions choose."""
    return set(_references(value, scope))


def _references(value: Any, scope: Scope) -> Iterator[str]:
    call = single_function(value)
    if call is None:
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for child in children:
            yield from _references(child, scope)
        return
    name, argument = call
    if name == "Ref":
        if argument != "AWS::NoValue" and not scope.known(argument):
            yield argument
    elif name == "Condition":
        return
    elif name == "Fn::GetAtt":
        yield _attribute(argument, "Fn::GetAtt")[0]
    elif name == "Fn::If":
        condition, chosen, other = _arguments(argument, 3, name, name)
        yield from _references(chosen if scope.condition(condition) else other, scope)
    elif name == "Fn::Sub":
        text, local = _sub_arguments(argument, name)
        yield from _references(local, scope)
        for placeholder in _PLACEHOLDER.findall(text):
            target = placeholder.split(".", 1)[0].strip()
            if not placeholder.startswith("!") and target not in local and not scope.known(target):
                yield target
    else:
        yield from _references(argument, scope)


def resolve(value: Any, scope: Scope, resources: Resources, path: str) -> Any:
    """Answer `value` with every intrinsic function carried out; `path` names the place in errors."""
    call = single_function(value)
    if call is not None:
        return _call(call[0], call[1], scope, resources, path)
    if isinstance(value, dict):
        resolved = {key: resolve(child, scope, resources, f"{path}.{key}") for key, child in value.items()}
        return {key: child for key, child in resolved.items() if child is not NO_VALUE}
    if isinstance(value, list):
        items = [resolve(child, scope, resources, f"{path}[{i}]") for i, child in enumerate(value)]
        return [item for item in items if item is not NO_VALUE]
    return value


class _NoResources:
    def ref(self, logical_id: str) -> str:
        raise TemplateError(f"{logical_id!r} is no parameter; only parameters can be used here")

    def get_att(self, logical_id: str, attribute: str) -> Any:
        raise TemplateError(f"{logical_id}.{attribute} cannot be used here")


def truth(value: Any, scope: Scope, path: str) -> bool:
    """Decide what stands under Conditions, or in a rule: equalities, and what joins them."""
    call = single_function(value)
    if call is None or call[0] not in _CONDITION_FUNCTIONS:
        raise TemplateError(f"{path}: expected one of {', '.join(sorted(_CONDITION_FUNCTIONS))}")
    name, argument = call
    if name == "Condition":
        return scope.condition(argument)
    if name == "Fn::Not":
        return not truth(_arguments(argument, 1, name, path)[0], scope, path)
    if name == "Fn::Equals":
        left, right = (resolve(v, scope, _NoResources(), path) for v in _arguments(argument, 2, name, path))
        return _text(left) == _text(right)
    if not isinstance(argument, list) or not 2 <= len(argument) <= 10:
        raise TemplateError(f"{path}: {name} needs 2 to 10 conditions")
    answers = [truth(each, scope, path) for each in argument]
    return all(answers) if name == "Fn::And" else any(answers)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _arguments(argument: Any, count: int, name: str, path: str) -> list[Any]:
    if not isinstance(argument, list) or len(argument) != count:
        raise TemplateError(f"{path}: {name} needs a list of {count}, got {argument!r}")
    return argument


def _attribute(argument: Any, path: str) -> tuple[str, Any]:
    if isinstance(argument, str) and "." in argument:
        logical_id, attribute = argument.split(".", 1)
        return logical_id, attribute
    logical_id, attribute = _arguments(argument, 2, "Fn::GetAtt", path)
    return logical_id, attribute


def _sub_arguments(argument: Any, path: str) -> tuple[str, dict[str, Any]]:
    if isinstance(argument, str):
        return argument, {}
    text, local = _arguments(argument, 2, "Fn::Sub", path)
    if not isinstance(text, str) or not isinstance(local, dict):
        raise TemplateError(f"{path}: Fn::Sub needs a string, or a string and a map")
    return text, local


def _call(name: str, argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f"{path}: {name} is not supported; use one of {', '.join(sorted(_FUNCTIONS))}")
    return function(argument, scope, resources, path)


def _ref(argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    if not isinstance(argument, str):
        raise TemplateError(f"{path}: Ref needs a name, got {argument!r}")
    if argument == "AWS::NoValue":
        return NO_VALUE
    if scope.known(argument):
        return scope.value(argument)
    if argument.startswith("AWS::"):
        raise TemplateError(f"{path}: pseudo parameter {argument} is not supported")
    return resources.ref(argument)


def _get_att(argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    logical_id, attribute = _attribute(argument, path)
    return resources.get_att(logical_id, resolve(attribute, scope, resources, path))


def _sub(argument: Any, scope: Scope, resources: Resources, path: str) -> str:
    text, local = _sub_arguments(argument, path)
    values = {key: resolve(value, scope, resources, path) for key, value in local.items()}

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        name = name.strip()
        if name in values:
            value = values[name]
        elif "." in name and not scope.known(name):
            value = _get_att(name, scope, resources, path)
        else:
            value = _ref(name, scope, resources, path)
        if isinstance(value, list | dict) or value is NO_VALUE:
            raise TemplateError(f"{path}: ${{{name}}} in Fn::Sub is not text")
        return _text(value)

    return _PLACEHOLDER.sub(replace, text)


def _join(argument: Any, scope: Scope, resources: Resources, path: str) -> str:
    separator, items = _arguments(argument, 2, "Fn::Join", path)
    resolved = resolve(items, scope, resources, path)
    if not isinstance(separator, str) or not isinstance(resolved, list):
        raise TemplateError(f"{path}: Fn::Join needs a separator and a list")
    return separator.join(_text(item) for item in resolved)


def _if(argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    condition, chosen, other = _arguments(argument, 3, "Fn::If", path)
    return resolve(chosen if scope.condition(condition) else other, scope, resources, path)


def _select(argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    index, items = (resolve(v, scope, resources, path) for v in _arguments(argument, 2, "Fn::Select", path))
    if not isinstance(items, list) or not 0 <= int(index) < len(items):
        raise TemplateError(f"{path}: Fn::Select has no element {index} in {items!r}")
    return items[int(index)]


def _split(argument: Any, scope: Scope, resources: Resources, path: str) -> list[str]:
    separator, text = (resolve(v, scope, resources, path) for v in _arguments(argument, 2, "Fn::Split", path))
    if not isinstance(text, str) or not separator:
        raise TemplateError(f"{path}: Fn::Split needs a separator and a text")
    return text.split(separator)


def _find_in_map(argument: Any, scope: Scope, resources: Resources, path: str) -> Any:
    keys = [resolve(v, scope, resources, path) for v in _arguments(argument, 3, "Fn::FindInMap", path)]
    found: Any = scope.mappings
    for key in keys:
        if not isinstance(found, dict | Mapping) or _text(key) not in found:
            raise TemplateError(f"{path}: Mappings has no {'.'.join(_text(k) for k in keys)}")
        found = found[_text(key)]
    return found


def _base64(argument: Any, scope: Scope, resources: Resources, path: str) -> str:
    return base64.b64encode(_text(resolve(argument, scope, resources, path)).encode()).decode()


def _condition(argument: Any, scope: Scope, _resources: Resources, path: str) -> bool:
    return truth({"Condition": argument}, scope, path)


_FUNCTIONS: dict[str, Callable[[Any, Scope, Resources, str], Any]] = {
    "Ref": _ref,
    "Condition": _condition,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::If": _if,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::FindInMap": _find_in_map,
    "Fn::Base64": _base64,
}
