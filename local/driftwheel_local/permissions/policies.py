"""Statements of identity policies, and the decision they come to: an explicit Deny, an Allow, or neither."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from driftwheel_local.permissions.conditions import Context, arn_like, like, satisfied

Verdict = Literal["allowed", "explicit deny", "implicit deny"]


@dataclass(frozen=True)
class Need:
    """One right a request asks for: an IAM action on a resource's ARN, with the request's condition keys."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement, its single values made lists."""

    allows: bool
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    not_resources: tuple[str, ...] = ()
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def covers(self, need: Need) -> bool:
        """Decide whether action, resource and conditions all match; actions in any case, as on AWS."""
        if self.actions and not any(like(need.action, each, ignore_case=True) for each in self.actions):
            return False
        if any(like(need.action, each, ignore_case=True) for each in self.not_actions):
            return False
        if self.resources and not any(matches_resource(need.resource, each) for each in self.resources):
            return False
        if any(matches_resource(need.resource, each) for each in self.not_resources):
            return False
        return satisfied(self.conditions, need.context)


def matches_resource(arn: str, wildcard: str) -> bool:
    """Decide whether a Resource element names this ARN; `*` alone names everything."""
    return wildcard == "*" or arn_like(arn, wildcard)


def statements_of(document: Mapping[str, Any]) -> tuple[Statement, ...]:
    """Read a policy document. Raises ValueError for an element no identity policy has."""
    return tuple(_statement(each) for each in _list(document["Statement"]))


def decide(statements: Iterable[Statement], need: Need) -> Verdict:
    """Evaluate as IAM does within one account: a Deny wins, else one Allow is enough, else it is denied."""
    covering = [statement for statement in statements if statement.covers(need)]
    if any(not statement.allows for statement in covering):
        return "explicit deny"
    return "allowed" if covering else "implicit deny"


_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def _statement(body: Mapping[str, Any]) -> Statement:
    unknown = sorted(set(body) - _ELEMENTS)
    if unknown or body.get("Effect") not in {"Allow", "Deny"}:
        fault = f"element {unknown[0]}" if unknown else f"Effect {body.get('Effect')!r}"
        raise ValueError(f"statement {body.get('Sid', '')!r}: {fault} is not one of an identity policy")
    if not ({"Action", "NotAction"} & set(body) and {"Resource", "NotResource"} & set(body)):
        raise ValueError(f"statement {body.get('Sid', '')!r} needs an Action and a Resource")
    return Statement(
        allows=body["Effect"] == "Allow",
        actions=_list(body.get("Action")),
        not_actions=_list(body.get("NotAction")),
        resources=_list(body.get("Resource")),
        not_resources=_list(body.get("NotResource")),
        conditions=body.get("Condition", {}),
    )


def _list(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
