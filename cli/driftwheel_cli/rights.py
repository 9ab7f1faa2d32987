"""What rights a deployment needs, asked of IAM the way CloudFormation will: of the stack's own names.

A role that may touch this stack and no other is right. Asked without resources, IAM answers for every
resource there is, and would call such a role wrong.
"""

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Client = Callable[[str], Any]

ANY = "*"

DEPLOYS: dict[str, str] = {
    "cloudformation:CreateChangeSet": "cloudformation:{where}:stack/{stack}/0",
    "cloudformation:ExecuteChangeSet": "cloudformation:{where}:stack/{stack}/0",
    "iam:CreateRole": "iam::{account}:role/{stack}-TriggerFunctionRole-0",
    "iam:PutRolePolicy": "iam::{account}:role/{stack}-TriggerFunctionRole-0",
    "lambda:CreateFunction": "lambda:{where}:function:{stack}-trigger",
    "lambda:PublishLayerVersion": "lambda:{where}:layer:{stack}-package",
    "s3:CreateBucket": "s3:::{bucket}-landingbucket-0",
    "kms:CreateKey": ANY,
    "states:CreateStateMachine": "states:{where}:stateMachine:{stack}-model-loop",
    "scheduler:CreateSchedule": "scheduler:{where}:schedule/default/{stack}-tick",
    "events:PutRule": "events:{where}:rule/{stack}-object-created",
    "dynamodb:CreateTable": "dynamodb:{where}:table/{stack}-Table-0",
    "sqs:CreateQueue": "sqs:{where}:{stack}-ArrivalQueue-0",
    "sns:CreateTopic": "sns:{where}:{stack}-AlertTopic-0",
    "logs:CreateLogGroup": "logs:{where}:log-group:/aws/lambda/{stack}-trigger:*",
    "cloudwatch:PutMetricAlarm": "cloudwatch:{where}:alarm:{stack}-DeadLetterAlarm-0",
    "ssm:PutParameter": "ssm:{where}:parameter/driftwheel/{stack}",
}
"""What ``sam deploy`` asks for with this template: actions of each service, and one resource of each.

``0`` stands where CloudFormation draws letters.
"""

PASSES = {
    "lambda.amazonaws.com": "iam::{account}:role/{stack}-TriggerFunctionRole-0",
    "states.amazonaws.com": "iam::{account}:role/{stack}-ModelLoopRole-0",
    "scheduler.amazonaws.com": "iam::{account}:role/{stack}-SchedulerRole-0",
}
"""Service → a role that a deployment hands to it. Jobs' roles are handed over by functions, later."""

SYNC = (
    *("events:PutTargets", "events:PutRule", "events:DescribeRule", "iam:PassRole"),
    *("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob", "sagemaker:CreateEndpoint"),
    *("sagemaker:UpdateEndpoint", "sagemaker:StopTrainingJob", "sagemaker:StopProcessingJob"),
)
"""What a ``.sync`` integration with SageMaker would need: a machine that waits by token has none of it."""


def refused(client: Client, arn: str, region: str, stack: str) -> tuple[list[str], list[str]]:
    """Ask IAM what a role may not do to deploy a stack: what is denied, and what it cannot tell."""
    partition, account = arn.split(":")[1], arn.split(":")[4]
    words = {"where": f"{region}:{account}", "account": account, "stack": stack, "bucket": stack.lower()}

    def resource(pattern: str) -> str:
        return pattern if pattern == ANY else f"arn:{partition}:{pattern.format(**words)}"

    denied: list[str] = []
    open_: list[str] = []
    questions = [(action, resource(pattern), "") for action, pattern in DEPLOYS.items()]
    questions += [("iam:PassRole", resource(pattern), service) for service, pattern in PASSES.items()]
    for action, target, service in questions:
        answer = _simulated(client, arn, action, target, service)
        if answer["EvalDecision"] != "allowed":
            said = f"{action} to {service}" if service else action
            # A condition on what only a real request carries: neither yes nor no.
            (open_ if answer.get("MissingContextValues") else denied).append(said)
    return denied, open_


def _simulated(client: Client, arn: str, action: str, target: str, service: str) -> Mapping[str, Any]:
    request: dict[str, Any] = {"PolicySourceArn": arn, "ActionNames": [action], "ResourceArns": [target]}
    if service:
        request["ContextEntries"] = [
            {
                "ContextKeyName": "iam:PassedToService",
                "ContextKeyValues": [service],
                "ContextKeyType": "string",
            }
        ]
    (result,) = client("iam").simulate_principal_policy(**request)["EvaluationResults"]
    found: Mapping[str, Any] = result
    return found


def rights_for_sync(client: Client, role_arn: str) -> list[str]:
    """Name what of ``SYNC`` the policies of a role allow, inline and attached, whatever the resource."""
    iam, role = client("iam"), role_arn.rpartition("/")[2]
    allowed = {pattern for policy in _policies(iam, role) for pattern in _allowed(policy)}
    return [action for action in SYNC if any(_covers(pattern, action) for pattern in allowed)]


def _policies(iam: Any, role: str) -> Iterator[Mapping[str, Any]]:
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for attached in page["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            yield iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def _allowed(policy: Mapping[str, Any]) -> Iterator[str]:
    for statement in _list(policy["Statement"]):
        if statement["Effect"] == "Allow":
            # What is allowed by exception cannot be listed: everything, then.
            yield from _list(statement.get("Action", ANY))


def _covers(pattern: str, action: str) -> bool:
    return fnmatch.fnmatchcase(action.lower(), pattern.lower())


def _list(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list) else [found]
