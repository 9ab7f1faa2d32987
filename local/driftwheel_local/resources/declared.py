"""What a template declares of one resource, and the account of which of it was carried out."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.resources.request import Api


class Properties:
    """Properties of a resource, each to be taken exactly where it is carried out.

    `close` refuses whatever nobody took, so that no property is ever skipped in silence.
    """

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping):
            raise TemplateError(f"{place}: expected an object, got {values!r}")
        self.place = place
        self._values = dict(values)
        self._left = set(self._values)
        self._nested: list[Properties] = []

    def take(self, name: str, default: Any = None) -> Any:
        """Answer a property, or `default` when it is not declared."""
        self._left.discard(name)
        return self._values.get(name, default)

    def require(self, name: str) -> Any:
        """Answer a property that CloudFormation requires."""
        if name not in self._values:
            raise TemplateError(f"{self.place}: property {name} is required")
        return self.take(name)

    def pick(self, *names: str) -> dict[str, Any]:
        """Answer the declared ones of `names`, to be passed to the API under the same names."""
        return {name: self.take(name) for name in names if name in self._values}

    def nested(self, name: str) -> "Properties | None":
        """Answer an object property, tracked as this one is."""
        value = self.take(name)
        return None if value is None else self._track(f"{self.place}.{name}", value)

    def nested_list(self, name: str) -> "list[Properties]":
        """Answer a list of object properties, each tracked."""
        return [self._track(f"{self.place}.{name}[{i}]", v) for i, v in enumerate(self.take(name, []))]

    def close(self) -> None:
        """Refuse the first property nobody took."""
        for child in self._nested:
            child.close()
        if self._left:
            raise TemplateError(
                f"{self.place}: property {min(self._left)} is not supported by the local runtime; "
                "remove it or teach driftwheel_local.resources to carry it out"
            )

    def _track(self, place: str, value: Any) -> "Properties":
        child = Properties(place, value)
        self._nested.append(child)
        return child


@dataclass(frozen=True)
class Created:
    """A resource that exists: what `Ref` is and what `Fn::GetAtt` knows."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """One resource to create: its properties are resolved, its dependencies exist.

    `packages` maps a key in PACKAGED_BUCKET to the built folder or the definition file it stands for.
    """

    logical_id: str
    kind: str
    properties: Properties
    api: Api
    stack_name: str
    account: str
    region: str
    packages: Mapping[str, Path]

    def name(self, given: Any, limit: int, *, lower: bool = False, ending: str = "") -> str:
        """Answer the declared physical name, or one as CloudFormation makes them, the same at every start."""
        if given is not None:
            return str(given)
        digest = hashlib.sha256(f"{self.stack_name}/{self.logical_id}".encode()).digest()
        suffix = base64.b32encode(digest).decode()[:12]
        room = limit - len(suffix) - len(ending) - 1
        name = f"{self.stack_name}-{self.logical_id}"[:room].rstrip("-") + f"-{suffix}{ending}"
        return name.lower() if lower else name

    def arn(self, service: str, resource: str) -> str:
        """Answer an ARN in the stack's account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


Provision = Callable[[Declared], Created]
"""Creates one resource, or adopts the one that exists. Raises TemplateError or botocore's errors."""


def tag_map(tags: Any) -> dict[str, str]:
    """Answer tags as a map, from CloudFormation's list of Key and Value or its map."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or []}


def tag_list(tags: Any) -> list[dict[str, str]]:
    """Answer tags as a list of Key and Value."""
    return [{"Key": key, "Value": value} for key, value in tag_map(tags).items()]
