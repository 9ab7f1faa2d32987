"""Is every right asked for? Statements against the needs of a whole session, and policies made narrower."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from driftwheel_local.intrinsics import resolve
from driftwheel_local.permissions.actions import needs_of
from driftwheel_local.permissions.conditions import arn_like, like
from driftwheel_local.permissions.policies import Need, Statement, decide
from driftwheel_local.permissions.requests import Call
from driftwheel_local.template import substitute

from .boundary import FixedFacts
from .exercised import UNSEEN
from .iam import ACCOUNT, REGION, ROOT, FixedNames, general, roles, template

Policy = tuple[Statement, ...]


def faults(seen: Mapping[str, Iterable[Need]]) -> Iterator[str]:
    """Name each right of the template that a whole session did not need.

    ``seen`` are the needs by role. A role that was never heard of counts too: all it may do is unused.
    """
    static = {"ModelLoopRole": machine_needs(), "SchedulerRole": scheduler_needs()}
    for role, statements in roles(in_vpc=True).items():  # all that stands there without one, and more
        needs = [*seen.get(role, ()), *static.get(role, ())]
        excused = UNSEEN.get(role, {})
        yield from (f"unused: {role}: {right}" for right in unused(statements, needs, excused))
        yield from (f"could be narrower: {role}: {name}" for name in survivors(statements, needs, excused))


def unused(statements: Policy, needs: Sequence[Need], excused: Iterable[str] = ()) -> Iterator[str]:
    """Name the actions and the resources of each Allow that cover no need."""
    for statement in filter(lambda each: each.allows, statements):
        used = [need for need in needs if statement.covers(need)]
        counted = [action for action in statement.actions if not _excused(action, excused)]
        for action in counted:
            if not any(like(need.action, action, ignore_case=True) for need in used):
                yield f"{action} on {', '.join(statement.resources)}"
        for resource in statement.resources if counted else ():
            if resource != "*" and not any(arn_like(need.resource, resource) for need in used):
                yield f"{'/'.join(counted)} on {resource}"


def survivors(statements: Policy, needs: Sequence[Need], excused: Iterable[str] = ()) -> Iterator[str]:
    """Name each narrower policy that would still have allowed everything."""
    for name, narrower in mutants(statements, excused):
        if all(decide(narrower, need) == "allowed" for need in needs):
            yield name


def mutants(statements: Policy, excused: Iterable[str] = ()) -> Iterator[tuple[str, Policy]]:
    """Take away each action, shrink each resource, falsify each condition; one at a time."""
    for number, statement in enumerate(statements):
        counted = [action for action in statement.actions if not _excused(action, excused)]
        for action in counted:
            left = tuple(each for each in statement.actions if each != action)
            narrower = replace(statement, actions=left or ("none:None",))
            yield f"statement {number} without {action}", _with(statements, number, narrower)
        for resource in statement.resources if counted else ():
            others = tuple(each for each in statement.resources if each != resource)
            narrower = replace(statement, resources=(f"{resource}/smaller", *others))
            yield f"statement {number} with less than {resource}", _with(statements, number, narrower)
        for operator, keys in statement.conditions.items() if counted else ():
            for key in keys:
                false = {operator.removesuffix("IfExists"): {**keys, key: "falsified"}}
                kept = {each: value for each, value in statement.conditions.items() if each != operator}
                narrower = replace(statement, conditions=kept | false)
                yield f"statement {number} with a false {key}", _with(statements, number, narrower)


def machine_needs() -> list[Need]:
    """What each Task of the shipped definition asks of the state machine's role."""
    resource = template().resources["ModelLoop"]["Properties"]
    text = (ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8")
    values = resolve(
        resource["DefinitionSubstitutions"], template().scope, FixedNames(template()), "ModelLoop"
    )
    return [general(need) for need in _tasks(json.loads(substitute(text, values, "ModelLoop")))]


def scheduler_needs() -> list[Need]:
    """What each schedule's target and dead letters ask of the scheduler's role."""
    found: list[Need] = []
    for logical_id, resource in template().resources.items():
        if resource["Type"] == "AWS::Scheduler::Schedule":
            names = FixedNames(template())
            target = resolve(resource["Properties"], template().scope, names, logical_id)["Target"]
            for arn in (target["Arn"], target["DeadLetterConfig"]["Arn"]):
                service, name = arn.split(":")[2], arn.rpartition(":")[2]
                request = {"QueueUrl": f"https://sqs/{name}", "FunctionName": arn}
                call = Call(service, {"sqs": "SendMessage", "lambda": "Invoke"}[service], request, REGION)
                found += needs_of(call, ACCOUNT, FixedFacts())
    return found


def _tasks(machine: dict[str, Any]) -> Iterator[Need]:
    for state in machine["States"].values():
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from _tasks(inner)
        if state["Type"] == "Task":
            call = Call("lambda", "Invoke", {"FunctionName": state["Resource"]}, REGION)
            if ":function:" not in state["Resource"]:
                integration = state["Resource"].split(":::")[1].removesuffix(".waitForTaskToken")
                service, action = integration.split(":", 1)
                call = Call(service, action[0].upper() + action[1:], state["Parameters"], REGION)
            yield from needs_of(call, ACCOUNT, FixedFacts())


def _excused(action: str, patterns: Iterable[str]) -> bool:
    return any(like(action, pattern) for pattern in patterns)


def _with(statements: Policy, number: int, changed: Statement) -> Policy:
    return (*statements[:number], changed, *statements[number + 1 :])
