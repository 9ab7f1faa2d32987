"""What the rules read of a transformed template: resources by type, policy statements with their place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resources = Mapping[str, Any]
Document = Mapping[str, Any]

POLICIES = {
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
}
"""Resource policies: who may do what with one resource, whatever the caller's role says."""


@dataclass(frozen=True)
class Statement:
    """One statement of a policy and the resource it stands in."""

    place: str
    body: Mapping[str, Any]

    @property
    def actions(self) -> list[str]:
        return listed(self.body.get("Action"))

    @property
    def resources(self) -> list[Any]:
        return listed(self.body.get("Resource"))

    @property
    def services(self) -> list[Any]:
        principal = self.body.get("Principal")
        return listed(principal.get("Service")) if isinstance(principal, dict) else []

    @property
    def allows(self) -> bool:
        return bool(self.body["Effect"] == "Allow")

    def condition_keys(self) -> set[str]:
        """The condition keys of operators that demand: ...IfExists holds where the key is absent."""
        return {
            key
            for operator, tests in self.body.get("Condition", {}).items()
            if not operator.endswith("IfExists")
            for key in tests
        }


def listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def of_type(template: Document, *types: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and properties of every resource of these types."""
    for name, resource in template["Resources"].items():
        if resource["Type"] in types:
            yield name, resource.get("Properties", {})


def resource_statements(template: Document) -> Iterator[Statement]:
    """The statements of every resource policy."""
    for name, properties in of_type(template, *POLICIES):
        field = POLICIES[template["Resources"][name]["Type"]]
        for each in listed(properties[field]["Statement"]):
            yield Statement(name, each)


def trust_statements(template: Document) -> Iterator[Statement]:
    """Who may assume each role."""
    for name, properties in of_type(template, "AWS::IAM::Role"):
        for each in listed(properties["AssumeRolePolicyDocument"]["Statement"]):
            yield Statement(name, each)


def role_statements(template: Document) -> Iterator[Statement]:
    """What each role may do, by policies of its own and by those of the template."""
    for name, properties in of_type(template, "AWS::IAM::ManagedPolicy"):
        for each in listed(properties["PolicyDocument"]["Statement"]):
            yield Statement(name, each)
    for name, properties in of_type(template, "AWS::IAM::Role"):
        for policy in properties.get("Policies", []):
            for each in listed(policy["PolicyDocument"]["Statement"]):
                yield Statement(name, each)


def target(value: Any) -> str:
    """The logical id that a Ref or a GetAtt names, or the text itself."""
    if isinstance(value, dict):
        if "Ref" in value:
            return str(value["Ref"])
        attribute = value.get("Fn::GetAtt")
        if isinstance(attribute, list):
            return str(attribute[0])
    return text(value)


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def strings(value: Any) -> Iterator[str]:
    """Every text inside a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
