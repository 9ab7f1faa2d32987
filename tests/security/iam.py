"""The template's roles with fixed names, and the needs of the suite's requests in the same names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from driftwheel.vpc import Vpc
from driftwheel_local.intrinsics import resolve
from driftwheel_local.permissions.policies import Need, Statement, statements_of
from driftwheel_local.template import Template, load_template

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NAMES = {
    "LandingBucket": "driftwheel-landing",
    "ArtifactBucket": "driftwheel-artifacts",
    "Table": "ledger",
    "ArrivalQueue": "arrival",
    "AlertTopic": "alerts",
    "SageMakerRole": "driftwheel-sagemaker",
}
"""What the tests of the functions call the stack's resources; any other has its logical id for a name."""

VPC = Vpc(("subnet-0a1b2c3d", "subnet-4e5f6a7b"), ("sg-0a1b2c3d",))
"""What tests put functions, jobs and models into."""


def vpc_parameters(vpc: Vpc) -> dict[str, str]:
    """Say to the template which VPC it is."""
    return {"VpcSubnetIds": ",".join(vpc.subnets), "VpcSecurityGroupIds": ",".join(vpc.security_groups)}


@dataclass(frozen=True)
class FixedNames:
    """Ref and GetAtt as the template's resources would answer, under fixed names."""

    template: Template

    def ref(self, logical_id: str) -> str:
        kind = self.template.resources[logical_id]["Type"]
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self._name(logical_id)}"
        is_arn = kind in {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine", "AWS::IAM::ManagedPolicy"}
        return self._arn(logical_id) if is_arn else self._name(logical_id)

    def get_att(self, logical_id: str, attribute: str) -> Any:
        assert attribute in {"Arn", "QueueName"}, f"{logical_id}.{attribute}"
        return self._arn(logical_id) if attribute == "Arn" else self._name(logical_id)

    def _name(self, logical_id: str) -> str:
        properties = self.template.resources[logical_id].get("Properties", {})
        for member in ("FunctionName", "StateMachineName"):
            if member in properties:
                return str(resolve(properties[member], self.template.scope, self, logical_id))
        return NAMES.get(logical_id, logical_id)

    def _arn(self, logical_id: str) -> str:
        name, kind = self._name(logical_id), self.template.resources[logical_id]["Type"]
        if kind == "AWS::KMS::Key":
            return KEY
        if kind == "AWS::S3::Bucket":
            return f"arn:aws:s3:::{name}"
        if kind in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}:
            return f"arn:aws:iam::{ACCOUNT}:{'role' if kind == 'AWS::IAM::Role' else 'policy'}/{name}"
        service, resource = {
            "AWS::DynamoDB::Table": ("dynamodb", "table/"),
            "AWS::SQS::Queue": ("sqs", ""),
            "AWS::SNS::Topic": ("sns", ""),
            "AWS::Lambda::Function": ("lambda", "function:"),
            "AWS::StepFunctions::StateMachine": ("states", "stateMachine:"),
            "AWS::Logs::LogGroup": ("logs", "log-group:"),
        }[kind]
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}{name}"


@cache
def template(*, in_vpc: bool = False) -> Template:
    return load_template(ROOT / "template.yaml", parameters=vpc_parameters(VPC) if in_vpc else None)


@cache
def roles(*, in_vpc: bool = False) -> Mapping[str, tuple[Statement, ...]]:
    """Every role of the transformed template with the statements of the template's own policies."""
    found = {}
    for logical_id, body in _roles(in_vpc=in_vpc).items():
        attached = [_document(arn, in_vpc=in_vpc) for arn in body["ManagedPolicyArns"] if not _of_aws(arn)]
        inline = [policy["PolicyDocument"] for policy in body.get("Policies", [])]
        found[logical_id] = tuple(
            statement for document in (*inline, *attached) for statement in statements_of(document)
        )
    return found


@cache
def managed_policies(*, in_vpc: bool = False) -> Mapping[str, tuple[str, ...]]:
    """AWS's own policies that are attached, by role."""
    return {
        logical_id: tuple(arn.rpartition("/")[2] for arn in body["ManagedPolicyArns"] if _of_aws(arn))
        for logical_id, body in _roles(in_vpc=in_vpc).items()
    }


def _roles(*, in_vpc: bool) -> dict[str, dict[str, Any]]:
    loaded = template(in_vpc=in_vpc)
    return {
        logical_id: {"ManagedPolicyArns": []}
        | resolve(resource["Properties"], loaded.scope, FixedNames(loaded), logical_id)
        for logical_id, resource in loaded.resources.items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def _of_aws(arn: str) -> bool:
    return arn.startswith("arn:aws:iam::aws:policy/")


def _document(arn: str, *, in_vpc: bool) -> Mapping[str, Any]:
    """Read a policy of the template by its ARN."""
    loaded, logical_id = template(in_vpc=in_vpc), arn.rpartition("/")[2]
    body = loaded.resources[logical_id]["Properties"]
    found: Mapping[str, Any] = resolve(body, loaded.scope, FixedNames(loaded), logical_id)["PolicyDocument"]
    return found


_PHYSICAL = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        *((rf"driftwheel-{logical_id}-[a-z2-7]{{12}}", name) for logical_id, name in NAMES.items()),
        (r"driftwheel-(\w+)-[A-Z2-7]{12}(?![A-Z0-9a-z-])", r"\1"),
        (r":key/[0-9a-f-]{36}", f":{KEY.rpartition(':')[2]}"),
    )
)
_SAMENESS = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (
            r"^(arn:aws:s3:::[^/]+/[^/]+/).+(/preprocessing/train\.parquet)$",
            r"\1key\2",
        ),  # one role reads no other
        (r"^(arn:aws:s3:::[^/]+/runs/).+(/training_launch/).+", r"\1key\2key"),  # nor another these
        (r"^(arn:aws:s3:::[^/]+/[^/]+/)(?!key/).+", r"\1key"),
        (r"(:sagemaker:.*:[a-z-]+/driftwheel-).+", r"\1name"),
        (r"(:alarm:driftwheel-).+", r"\1name"),
        (r"(:execution:driftwheel-model-loop:).+", r"\1run"),
    )
)


def fixed(text: str) -> str:
    """Rewrite a running stack's physical names into the fixed ones."""
    for pattern, name in _PHYSICAL:
        text = pattern.sub(name, text)
    return text


def role_of(physical: str) -> str:
    """Answer the logical id of a role of a running stack."""
    found = re.fullmatch(r"driftwheel-(\w+)-[A-Z2-7]{12}", physical)
    return found.group(1) if found else physical


def general(need: Need) -> Need:
    """Forget which model, run and object it was: policies do not know either."""
    resource = fixed(need.resource)
    for pattern, text in _SAMENESS:
        resource = pattern.sub(text, resource)
    context = {name: re.sub(r"^([^/]+/).+", r"\1key", value) for name, value in need.context.items()}
    return Need(need.action, resource, dict(sorted(context.items())))


def written(needs: Iterable[Need]) -> list[str]:
    """Write needs as sorted lines of text: action, resource, condition keys."""
    return sorted(
        {
            "  ".join(
                [need.action, need.resource, *(f"{name}={value}" for name, value in need.context.items())]
            )
            for need in needs
        }
    )


def read(line: str) -> Need:
    """Read a line of `written`."""
    action, resource, *context = line.split("  ")
    return Need(action, resource, dict(each.split("=", 1) for each in context))
