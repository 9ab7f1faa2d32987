"""Resources that grant rights: IAM. The gate at the endpoint reads them back at every request of a role."""

from typing import Any

from driftwheel_local.resources.declared import Created, Declared, tag_list

_EXISTS = {"EntityAlreadyExists"}


def _document(policy: Any) -> dict[str, Any]:
    """Answer a policy with a version: SAM's policy templates leave it out, AWS allows that, moto does not."""
    return {"Version": "2012-10-17", **policy}


def role(declared: Declared) -> Created:
    """Create an AWS::IAM::Role with its inline and attached policies."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("RoleName"), 64)
    trust = p.require("AssumeRolePolicyDocument")
    request = p.pick("Path", "Description", "MaxSessionDuration", "PermissionsBoundary")
    tags = tag_list(p.take("Tags"))
    fresh = api.call_or(
        _EXISTS, "iam", "create_role", RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags, **request
    )
    if fresh is None:
        api.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=trust)
    for policy in p.nested_list("Policies"):
        api.call(
            "iam",
            "put_role_policy",
            RoleName=name,
            PolicyName=policy.require("PolicyName"),
            PolicyDocument=_document(policy.require("PolicyDocument")),
        )
    for arn in p.take("ManagedPolicyArns", []):
        api.call("iam", "attach_role_policy", RoleName=name, PolicyArn=arn)
    existing = api.call("iam", "get_role", RoleName=name)["Role"]
    return Created(name, {"Arn": existing["Arn"], "RoleId": existing["RoleId"]})


def inline_policy(declared: Declared) -> Created:
    """Create an AWS::IAM::Policy on its roles."""
    p = declared.properties
    name, document = p.require("PolicyName"), _document(p.require("PolicyDocument"))
    for role_name in p.require("Roles"):
        declared.api.call(
            "iam", "put_role_policy", RoleName=role_name, PolicyName=name, PolicyDocument=document
        )
    return Created(name)


def managed_policy(declared: Declared) -> Created:
    """Create an AWS::IAM::ManagedPolicy and attach it to its roles."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("ManagedPolicyName"), 128)
    path = p.take("Path", "/")
    request = {"PolicyDocument": _document(p.require("PolicyDocument")), "Description": p.take("Description")}
    api.call_or(_EXISTS, "iam", "create_policy", PolicyName=name, Path=path, **request)
    arn = f"arn:aws:iam::{declared.account}:policy{path}{name}"
    for role_name in p.take("Roles", []):
        api.call("iam", "attach_role_policy", RoleName=role_name, PolicyArn=arn)
    return Created(arn, {"PolicyArn": arn})
