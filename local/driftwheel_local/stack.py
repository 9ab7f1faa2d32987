"""A template's resources made real: in dependency order, in parallel where nothing depends."""

import difflib
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.intrinsics import TemplateError, references, resolve
from driftwheel_local.resources import PROVISIONS
from driftwheel_local.resources.declared import Created, Declared, Properties
from driftwheel_local.resources.request import Api
from driftwheel_local.template import Template

WORKERS = 6  # creation is a chain of short HTTP calls; more threads only fight for one interpreter


class StackError(RuntimeError):
    """When a resource of the template cannot be created."""


@dataclass
class Resources:
    """The resources created so far, as `Ref` and `Fn::GetAtt` see them."""

    created: dict[str, Created] = field(default_factory=dict)

    def ref(self, logical_id: str) -> str:
        """Answer the physical id of a resource."""
        return self._find(logical_id).ref

    def get_att(self, logical_id: str, attribute: str) -> Any:
        """Answer an attribute of a resource."""
        attributes = self._find(logical_id).attributes
        if attribute not in attributes:
            known = ", ".join(sorted(attributes)) or "none"
            raise TemplateError(f"{logical_id} has no attribute {attribute!r}; it has {known}")
        return attributes[attribute]

    def _find(self, logical_id: str) -> Created:
        if logical_id not in self.created:
            close = difflib.get_close_matches(logical_id, self.created, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TemplateError(f"{logical_id!r} is neither a resource nor a parameter{hint}")
        return self.created[logical_id]


def check_supported(template: Template) -> None:
    """Refuse a template with a resource type this runtime cannot create, before anything is created."""
    for logical_id, resource in template.resources.items():
        if resource["Type"] not in PROVISIONS:
            raise TemplateError(
                f"{logical_id}: resource type {resource['Type']} is not supported by the local runtime; "
                f"supported: {', '.join(sorted(PROVISIONS))}"
            )


def dependencies(template: Template) -> dict[str, set[str]]:
    """Answer, for each resource, the resources that must exist first.

    Raises TemplateError for an unknown name or a circle.
    """
    needed: dict[str, set[str]] = {}
    for logical_id, resource in template.resources.items():
        named = resource.get("DependsOn", [])
        named = {named} if isinstance(named, str) else set(named)
        found = references(resource.get("Properties", {}), template.scope) | named
        unknown = sorted(found - set(template.resources))
        if unknown:
            raise TemplateError(
                f"{logical_id} refers to {unknown[0]!r}, which is no resource or parameter here"
            )
        needed[logical_id] = found - {logical_id}
    _refuse_circle(needed)
    return needed


def _refuse_circle(needed: Mapping[str, set[str]]) -> None:
    left = {logical_id: set(others) for logical_id, others in needed.items()}
    while left:
        free = [logical_id for logical_id, others in left.items() if not others & set(left)]
        if not free:
            raise TemplateError(f"resources depend on each other in a circle: {', '.join(sorted(left))}")
        for logical_id in free:
            del left[logical_id]


def create(
    template: Template,
    api: Api,
    packages: Mapping[str, Path],
    *,
    created: Callable[[str, Created], None] | None = None,
) -> Resources:
    """Create every resource of `template`, or adopt those that exist; `created` hears of each.

    Raises StackError naming the resource; what was created before it stays.
    """
    check_supported(template)
    needed = dependencies(template)
    resources = Resources()
    running: dict[Future[Created], str] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="stack") as pool:
        while needed or running:
            ready = [logical_id for logical_id, others in needed.items() if others <= set(resources.created)]
            for logical_id in ready:
                del needed[logical_id]
                running[pool.submit(_create_one, template, logical_id, resources, api, packages)] = logical_id
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                logical_id = running.pop(future)
                resources.created[logical_id] = future.result()
                if created is not None:
                    created(logical_id, resources.created[logical_id])
    return resources


def outputs(template: Template, resources: Resources) -> dict[str, str]:
    """Answer the template's outputs."""
    return {
        name: str(resolve(output.get("Value"), template.scope, resources, f"Outputs.{name}"))
        for name, output in template.outputs.items()
    }


def _create_one(
    template: Template, logical_id: str, resources: Resources, api: Api, packages: Mapping[str, Path]
) -> Created:
    resource = template.resources[logical_id]
    kind, pseudo = resource["Type"], template.scope.pseudo
    place = f"{logical_id} ({kind})"
    try:
        values = resolve(resource.get("Properties", {}), template.scope, resources, logical_id)
        declared = Declared(
            logical_id,
            kind,
            Properties(place, values),
            api,
            stack_name=pseudo["AWS::StackName"],
            account=pseudo["AWS::AccountId"],
            region=pseudo["AWS::Region"],
            packages=packages,
        )
        answer = PROVISIONS[kind](declared)
        declared.properties.close()
    except (TemplateError, ClientError, BotoCoreError) as error:
        text = str(error)
        raise StackError(text if text.startswith(logical_id) else f"{place}: {text}") from error
    return answer
