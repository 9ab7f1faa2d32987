"""Requests held to botocore's own service model, including what botocore's client leaves unchecked.

botocore checks types, required members, unknown names and minima only; AWS also refuses maxima, patterns
and enums. The words are AWS's (`Value '…' at '…' failed to satisfy constraint: …`).
"""

import base64
import binascii
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import chain, groupby
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from driftwheel_local.sagemaker.refusals import Refusal, invalid

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "bigdecimal": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float, str, datetime),
    "blob": (str, bytes, bytearray),
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
}
_POSIX_CLASSES = {"ASCII": r"\x00-\x7f", "Print": r"\x20-\x7e", "Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z"}
_PROPERTY = re.compile(r"\\p\{(\w+)\}")
# Java writes the supplementary planes as surrogates inside a class; Python's strings have code points.
_SURROGATES = r"\uD800\uDC00-\uDBFF\uDFFF"
# A slip in AWS's own model: a repeat count behind the end anchor.
_ANCHOR_REPEAT = re.compile(r"\$\{\d+,\d+\}")


@cache
def service(name: str) -> ServiceModel:
    """Answer botocore's model of a service, e.g. `sagemaker`."""
    return botocore.session.get_session().get_service_model(name)


@cache
def _runs() -> list[tuple[str, int, int]]:
    """Answer every (category, first, last) run of code points.

    Planes 4 to 13 are unassigned and 15 and 16 private as a whole: looking at each point there would cost
    half a second.
    """
    looked_at = chain(range(0x40000), range(0xE0000, 0xE1000))
    runs = [
        (category, points[0], points[-1])
        for category, group in groupby(looked_at, lambda point: unicodedata.category(chr(point)))
        if (points := list(group))
    ]
    return [*runs, ("Cn", 0x40000, 0xDFFFF), ("Cn", 0xE1000, 0xEFFFF), ("Co", 0xF0000, sys.maxunicode)]


@cache
def _category(prefix: str) -> str:
    """Answer the inside of a character class for a Unicode category such as `L` or `Zs`."""
    return "".join(f"\\U{a:08x}-\\U{b:08x}" for category, a, b in _runs() if category.startswith(prefix))


@cache
def pattern(expression: str) -> re.Pattern[str]:
    """Compile a pattern of a service model, which is written for Java.

    Raises ValueError when Python cannot express it, so that no pattern is skipped unseen.
    """

    def members(match: re.Match[str]) -> str:
        inside = _POSIX_CLASSES.get(match[1]) or _category(match[1])
        before = expression[: match.start()]
        # An unescaped "[" still open before us means we already stand inside a class.
        opened = re.sub(r"\\.", "", before)
        return inside if opened.rfind("[") > opened.rfind("]") else f"[{inside}]"

    translated = _PROPERTY.sub(members, expression.replace(_SURROGATES, r"\U00010000-\U0010ffff"))
    translated = _ANCHOR_REPEAT.sub("$", translated).replace(r"\z", r"\Z").replace(r"[\w-", r"[\w\-")
    try:
        return re.compile(translated)
    except re.error as error:
        raise ValueError(f"pattern {expression!r} cannot be expressed in Python: {error}") from error


def validate(operation: OperationModel, request: Mapping[str, Any]) -> None:
    """Raise AWS's ValidationException, naming every violated constraint, or return."""
    if operation.input_shape is None:
        return
    found = list(_structure(operation.input_shape, request, "", strict=True))
    if found:
        noun = "error" if len(found) == 1 else "errors"
        raise invalid(f"{len(found)} validation {noun} detected: {'; '.join(found)}")


def violations(shape: Shape, value: Any) -> list[str]:
    """Answer what is wrong with an answer of ours: unknown members and wrong types, at any depth."""
    return list(_check(shape, value, "", strict=False))


def select(shape: Shape | None, value: Any) -> Any:
    """Keep of `value` only what `shape` declares, at any depth; None members vanish."""
    if isinstance(shape, StructureShape):
        return {
            name: select(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [select(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: select(shape.value, item) for key, item in value.items()}
    return value


def operation(service_name: str, name: str) -> OperationModel:
    """Answer the model of one operation; an unknown name is AWS's UnknownOperationException."""
    model = service(service_name)
    if name not in model.operation_names:
        raise Refusal("UnknownOperationException", f"{service_name} has no operation {name}")
    return model.operation_model(name)


def _member(name: str) -> str:
    """AWS writes member names with a small first letter in its validation messages."""
    return name[:1].lower() + name[1:]


def _failed(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _structure(shape: StructureShape, value: Mapping[str, Any], path: str, *, strict: bool) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    if strict:
        for name in shape.required_members:
            if value.get(name) is None:
                yield _failed(None, prefix + _member(name), "Member must not be null")
    for name, item in value.items():
        if name not in shape.members:
            yield _failed(item, prefix + _member(name), f"Member is not known to {shape.name}")
        elif item is not None:
            yield from _check(shape.members[name], item, prefix + _member(name), strict=strict)
    set_members = [name for name, item in value.items() if item is not None]
    if strict and getattr(shape, "is_tagged_union", False) and len(set_members) != 1:
        yield _failed(dict(value), path, f"Exactly one member of {shape.name} must be set")


def _check(shape: Shape, value: Any, path: str, *, strict: bool) -> Iterator[str]:
    expected: tuple[Any, ...] = _PYTHON_TYPES[shape.type_name]
    is_bool_as_number = isinstance(value, bool) and bool not in expected
    if not isinstance(value, expected) or is_bool_as_number:
        yield _failed(value, path, f"Member must be of type {shape.type_name}")
        return
    if strict:
        for constraint in _constraints(shape, value):
            yield _failed(value, path, constraint)
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path, strict=strict)
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value, start=1):
            yield from _check(shape.member, item, f"{path}.{index}.member", strict=strict)
    elif isinstance(shape, MapShape):
        yield from _map(shape, value, path, strict=strict)


def _map(shape: MapShape, value: Mapping[str, Any], path: str, *, strict: bool) -> Iterator[str]:
    for key, item in value.items():
        if strict:
            wrong = _constraints(shape.key, key)
            if wrong:
                yield _failed(value, path, f"Map keys must satisfy constraint: [{', '.join(wrong)}]")
        scalar = not isinstance(shape.value, (StructureShape, ListShape, MapShape))
        if scalar and strict and isinstance(item, _PYTHON_TYPES[shape.value.type_name]):
            wrong = _constraints(shape.value, item)
            if wrong:
                yield _failed(value, path, f"Map value must satisfy constraint: [{', '.join(wrong)}]")
        else:
            yield from _check(shape.value, item, f"{path}.{key}.member", strict=strict)


def _constraints(shape: Shape, value: Any) -> list[str]:
    """Answer the constraints of one shape that `value` (already of the right type) violates."""
    found: list[str] = []
    metadata = shape.metadata
    kind = shape.type_name
    if kind in {"string", "list", "map", "blob"}:
        length = _blob_length(value) if kind == "blob" else len(value)
        for bound, words in (("min", "greater"), ("max", "less")):
            limit = metadata.get(bound)
            if limit is not None and (length < limit if bound == "min" else length > limit):
                found.append(f"Member must have length {words} than or equal to {limit}")
    elif kind in {"integer", "long", "float", "double"}:
        for bound, words in (("min", "greater"), ("max", "less")):
            limit = metadata.get(bound)
            if limit is not None and (value < limit if bound == "min" else value > limit):
                found.append(f"Member must have value {words} than or equal to {limit}")
    if kind == "string":
        allowed = metadata.get("enum")
        if allowed and value not in allowed:
            found.append(f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        expression = metadata.get("pattern")
        if expression and not pattern(expression).fullmatch(value):
            found.append(f"Member must satisfy regular expression pattern: {expression}")
    return found


def _blob_length(value: str | bytes | bytearray) -> int:
    """A blob inside JSON is base64; its limits count the bytes behind it."""
    if isinstance(value, str):
        try:
            return len(base64.b64decode(value, validate=True))
        except binascii.Error:
            return len(value)
    return len(value)
