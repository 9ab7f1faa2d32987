"""OR-1 to OR-4, OR-12, OR-17, OR-19, OR-20: who may do what, and on whose behalf."""

import re
from collections.abc import Iterator

from .resources import (
    Document,
    Statement,
    listed,
    of_type,
    resource_statements,
    role_statements,
    strings,
    target,
    text,
    trust_statements,
)

SOURCE = {"aws:SourceArn", "aws:SourceAccount"}
NO_SOURCE_IN_TRUST = {"lambda.amazonaws.com"}
"""Lambda names no source when it assumes a function's role: a condition would break every function."""

WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "sagemaker:ListEndpoints",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListModels",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
"""Actions that know no resource: IAM accepts only "*" for them."""

OF_INTERFACES = {
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
}
"""What AWS wants on "*" of who joins a VPC: what is described has no resource, an interface none as yet."""

SERVICES_WITH_ACCOUNT = {
    "iam",
    "sagemaker",
    "states",
    "lambda",
    "sqs",
    "sns",
    "dynamodb",
    "events",
    "logs",
    "kms",
}
NOT_OURS = re.compile(r"^arn:\$\{AWS::Partition\}:ecr:\$\{AWS::Region\}:\*:repository/sagemaker-\*$")
"""AWS's own images live in accounts of AWS that differ by region and framework."""

OF_AWS = re.compile(r"^arn:\$\{AWS::Partition\}:iam::aws:policy/")
"""AWS's managed policies are of no account."""


def or_1(template: Document) -> Iterator[str]:
    """A service may act on a resource only for a named source."""
    for each in resource_statements(template):
        bound = SOURCE | {"kms:EncryptionContext:aws:logs:arn"}
        if each.allows and each.services and not each.condition_keys() & bound:
            yield f"{each.place}: {text(each.services)} without aws:SourceArn or aws:SourceAccount"
    for name, properties in of_type(template, "AWS::Lambda::Permission"):
        service = text(properties["Principal"]).endswith("amazonaws.com")
        if service and not {"SourceArn", "SourceAccount"} & properties.keys():
            yield f"{name}: {properties['Principal']} without SourceArn or SourceAccount"


def or_2(template: Document) -> Iterator[str]:
    """A role trusts a service only when it acts for this account."""
    for each in trust_statements(template):
        exempt = set(map(text, each.services)) <= NO_SOURCE_IN_TRUST and each.services
        if not exempt and not each.condition_keys() & SOURCE:
            yield f"{each.place}: trusts {text(each.body['Principal'])} whomever it acts for"


def or_3(template: Document) -> Iterator[str]:
    """A role hands on one named role, to one named service."""
    for each in role_statements(template):
        if not each.allows or not any(covers(action, "iam:PassRole") for action in each.actions):
            continue
        roles = {name for name, _ in of_type(template, "AWS::IAM::Role")}
        if foreign := [text(found) for found in each.resources if target(found) not in roles]:
            yield f"{each.place}: iam:PassRole on {foreign[0]} instead of a role of this template"
        if "iam:PassedToService" not in each.condition_keys():
            yield f"{each.place}: iam:PassRole without iam:PassedToService"


def or_4(template: Document) -> Iterator[str]:
    """A bucket refuses plain HTTP and old TLS, for everybody and everything in it."""
    for bucket, _ in of_type(template, "AWS::S3::Bucket"):
        whole = {text({"Fn::GetAtt": [bucket, "Arn"]}), text({"Fn::Sub": f"${{{bucket}.Arn}}/*"})}
        refused = [
            each.body["Condition"]
            for each in resource_statements(template)
            if not each.allows
            and each.body["Principal"] == "*"
            and "s3:*" in each.actions
            and whole <= set(map(text, each.resources))
        ]
        if {"Bool": {"aws:SecureTransport": "false"}} not in refused:
            yield f"{bucket}: its policy does not refuse plain HTTP"
        if {"NumericLessThan": {"s3:TlsVersion": "1.2"}} not in refused:
            yield f"{bucket}: its policy does not refuse TLS below 1.2"


def or_12(template: Document) -> Iterator[str]:
    """No role may do everything of a service, or something to everything."""
    for each in role_statements(template):
        if {"NotAction", "NotResource"} & each.body.keys():
            yield f"{each.place}: NotAction and NotResource allow what nobody listed"
        for action in each.actions:
            if "*" in action:
                yield f"{each.place}: {action} allows what nobody listed"
            if each.allows and "*" in each.resources and action not in WITHOUT_RESOURCE | OF_INTERFACES:
                yield f"{each.place}: {action} on every resource"
            if action == "cloudwatch:PutMetricData" and "cloudwatch:namespace" not in each.condition_keys():
                yield f"{each.place}: {action} into every namespace"
    for each in resource_statements(template):
        if each.allows and each.body["Principal"] in ("*", {"AWS": "*"}):
            yield f"{each.place}: everybody in the world is allowed {text(each.body['Action'])}"


def or_17(template: Document) -> Iterator[str]:
    """An ARN names partition and account, so that it holds in every partition and in no other account."""
    for name, resource in template["Resources"].items():
        for found in strings(resource):
            for arn in re.findall(r"arn:[^\s\"',]+", found):
                if OF_AWS.match(arn) or NOT_OURS.match(arn):
                    continue
                fields = arn.replace("${AWS::", "${").split(":")
                if fields[1] != "${Partition}":
                    yield f"{name}: {arn} without ${{AWS::Partition}}"
                elif fields[2] in SERVICES_WITH_ACCOUNT and fields[4] != "${AccountId}":
                    yield f"{name}: {arn} without ${{AWS::AccountId}}"


def or_19(template: Document) -> Iterator[str]:
    """Keys turn, and serve a service only through what it encrypts or for this account's own resources."""
    keys = [*SOURCE, "kms:ViaService"]
    for name, properties in of_type(template, "AWS::KMS::Key"):
        if properties.get("EnableKeyRotation") is not True:
            yield f"{name}: its material never changes (EnableKeyRotation)"
        for each in (Statement(name, body) for body in listed(properties["KeyPolicy"]["Statement"])):
            if not each.services:
                root = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
                if each.body["Principal"] != root:
                    yield f"{name}: trusts {text(each.body['Principal'])} instead of this account's IAM"
                continue
            bound = any(
                key in keys or key.startswith("kms:EncryptionContext:") for key in each.condition_keys()
            )
            if not bound:
                yield f"{name}: {text(each.services)} may use it for everybody"
            if "kms:*" in each.actions:
                yield f"{name}: {text(each.services)} may administer it"


def or_20(template: Document) -> Iterator[str]:
    """Each function has a role of its own."""
    owners: dict[str, str] = {}
    for name, properties in of_type(template, "AWS::Lambda::Function"):
        role = target(properties["Role"])
        if role in owners:
            yield f"{name}: shares {role} with {owners[role]}"
        owners[role] = name


def covers(pattern: str, action: str) -> bool:
    """Whether an action of a policy, with wildcards and in any case, means this one."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, action, re.IGNORECASE) is not None
