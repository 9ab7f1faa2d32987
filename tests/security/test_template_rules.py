"""OR-1 to OR-20 hold for template.yaml, and each turns red when its line is taken out."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from driftwheel_local.template import cloudformation, read_template

from .rules import ROOT, RULES

SOURCE = read_template(ROOT / "template.yaml")
RESOURCES = SOURCE["Resources"]

Change = Callable[[dict[str, Any]], None]


def broken(rule: str, source: dict[str, Any]) -> list[str]:
    asked = {name: "x" for name, each in source["Parameters"].items() if "Default" not in each}
    return list(RULES[rule](cloudformation(source, ROOT, parameters=asked)))


def at(*path: str | int) -> Callable[[dict[str, Any]], tuple[Any, str | int]]:
    def find(source: dict[str, Any]) -> tuple[Any, str | int]:
        place: Any = source
        for step in path[:-1]:
            place = place[step]
        return place, path[-1]

    return find


def without(*path: str | int) -> Change:
    def change(source: dict[str, Any]) -> None:
        place, last = at(*path)(source)
        del place[last]

    return change


def put(value: Any, *path: str | int) -> Change:
    def change(source: dict[str, Any]) -> None:
        place, last = at(*path)(source)
        assert not isinstance(place, dict) or place.get(last) != value, "the mutant is the template"
        place[last] = value

    return change


def properties(name: str) -> tuple[str, str, str]:
    return "Resources", name, "Properties"


def statement(name: str, sid: str) -> tuple[str | int, ...]:
    """The path of a resource policy's statement."""
    field = "KeyPolicy" if name == "DataKey" else "PolicyDocument"
    found = [each.get("Sid") for each in RESOURCES[name]["Properties"][field]["Statement"]]
    return (*properties(name), field, "Statement", found.index(sid))


def granted(name: str, action: str) -> tuple[str | int, ...]:
    """The path of the statement of a role that allows an action."""
    policies = RESOURCES[name]["Properties"]["Policies"]
    for number, policy in enumerate(policies):
        for place, each in enumerate(policy["PolicyDocument"]["Statement"]):
            if action in each["Action"]:
                return (*properties(name), "Policies", number, "PolicyDocument", "Statement", place)
    raise LookupError(f"{name} does not allow {action}")


def share_a_role(source: dict[str, Any]) -> None:
    for name in ("ApprovalFunction", "TriggerFunction"):
        source["Resources"][name]["Properties"]["Role"] = OWN_ROLE


TRUST = ("AssumeRolePolicyDocument", "Statement", 0)
PASS_ROLE = granted("TrainingLaunchFunctionRole", "iam:PassRole")
ANYWHERE = "arn:aws:sqs:eu-west-1:111122223333:other"
LOGS_KEY = statement("DataKey", "LogsOfThisStackOnly")
EVENTS_KEY = statement("DataKey", "EventsMaySendToEncryptedQueues")
UNBOUND = {"Type": "AWS::Lambda::Permission", "Properties": {"Principal": "events.amazonaws.com"}}
SHOWN = {"Type": "String", "Description": "The API token of the alerting service."}
OWN_ROLE = {"Fn::GetAtt": ["SageMakerRole", "Arn"]}

MUTANTS: dict[str, list[tuple[str, Change]]] = {
    "OR-1": [
        (f"{name} without a source", without(*statement(name, sid), "Condition"))
        for name, sid in (
            ("ArrivalQueuePolicy", "OurRulesMaySend"),
            ("CallbackQueuePolicy", "OurRulesMaySend"),
            ("DeadLetterQueuePolicy", "OurRulesMaySend"),
            ("AlertTopicPolicy", "OurAlarmsMayPublish"),
            ("LogBucketPolicy", "AccessLogsOfOurBuckets"),
            ("DataKey", "EventsMaySendToEncryptedQueues"),
        )
    ]
    + [("a permission without a source", put(UNBOUND, "Resources", "Permission"))],
    "OR-2": [
        (f"{role} trusts every account's {role}", without(*properties(role), *TRUST, "Condition"))
        for role in ("SchedulerRole", "SageMakerRole", "DomainClassifierRole", "ModelLoopRole")
    ],
    "OR-3": [
        ("any role", put("*", *PASS_ROLE, "Resource")),
        ("any service", without(*PASS_ROLE, "Condition")),
        (
            "any role by a wildcard of actions",
            put({"Effect": "Allow", "Action": "iam:P*", "Resource": "*"}, *PASS_ROLE),
        ),
    ],
    "OR-4": [
        (f"{bucket} without {sid}", without(*statement(f"{bucket}Policy", sid)))
        for bucket in ("LandingBucket", "ArtifactBucket", "LogBucket")
        for sid in ("TlsOnly", "ModernTlsOnly")
    ],
    "OR-5": [
        ("ACLs", without(*properties("ArtifactBucket"), "OwnershipControls")),
        (
            "public",
            put(False, *properties("LandingBucket"), "PublicAccessBlockConfiguration", "BlockPublicPolicy"),
        ),
    ],
    "OR-6": [
        (f"{name} without {field}", without(*properties(name), *where, field))
        for name, where in (("ObjectCreatedRule", ("Targets", 0)), ("TickSchedule", ("Target",)))
        for field in ("RetryPolicy", "DeadLetterConfig")
    ],
    "OR-7": [
        ("no dead letters", without(*properties("ArrivalQueue"), "RedrivePolicy")),
        ("four days", without(*properties("CallbackQueue"), "MessageRetentionPeriod")),
        ("shown too early", put(300, *properties("ArrivalQueue"), "VisibilityTimeout")),
        ("a slower function", put(120, *properties("TriggerFunction"), "Timeout")),
    ],
    "OR-8": [
        (field, without(*properties("TriggerFunction"), "Events", "Arrival", "Properties", field))
        for field in ("FunctionResponseTypes", "ScalingConfig")
    ],
    "OR-9": [
        ("EXPRESS", put("EXPRESS", *properties("ModelLoop"), "Type")),
        ("not logged", without(*properties("ModelLoop"), "Logging")),
        ("data in the log", put(True, *properties("ModelLoop"), "Logging", "IncludeExecutionData")),
        ("not traced", without(*properties("ModelLoop"), "Tracing")),
        ("a log in the clear", without(*properties("ModelLoopLogGroup"), "KmsKeyId")),
    ],
    "OR-10": [
        (f"{name} without {policy}", without("Resources", name, policy))
        for name in ("LandingBucket", "ArtifactBucket", "LogBucket", "Table", "DataKey")
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
    ],
    "OR-11": [
        (
            "every key",
            without(*properties("ObjectCreatedRule"), "EventPattern", "detail", "object"),
        ),
        (
            "our own outputs",
            put(
                {"prefix": "runs/"},
                *properties("ObjectCreatedRule"),
                "EventPattern",
                "detail",
                "object",
                "key",
                0,
            ),
        ),
        (
            "every bucket",
            without(*properties("ObjectCreatedRule"), "EventPattern", "detail", "bucket"),
        ),
        ("every stack", put({"stack": ["x"]}, *properties("DriftDetectedRule"), "EventPattern", "detail")),
        ("every execution", without(*properties("ExecutionEndedRule"), "EventPattern", "detail")),
    ],
    "OR-12": [
        (
            "everything of a service",
            put("sagemaker:*", *granted("JobCallbackFunctionRole", "sagemaker:InvokeEndpoint"), "Action"),
        ),
        ("on everything", put("*", *granted("ApprovalFunctionRole", "sns:Publish"), "Resource")),
        ("every namespace", without(*granted("SageMakerRole", "cloudwatch:PutMetricData"), "Condition")),
        (
            "a machine in the VPC",
            put(
                "ec2:RunInstances",
                *properties("JobNetworkPolicy"),
                "PolicyDocument",
                "Statement",
                0,
                "Action",
                0,
            ),
        ),
        ("everybody", put("Allow", *statement("ArrivalQueuePolicy", "TlsOnly"), "Effect")),
    ],
    "OR-13": [
        (f"{name} rule {number}", without(*properties(name), "LifecycleConfiguration", "Rules", number))
        for name, number in (
            ("LandingBucket", 0),
            ("ArtifactBucket", 0),
            ("ArtifactBucket", 1),
            ("ArtifactBucket", 2),
            ("ArtifactBucket", 3),
        )
    ],
    "OR-14": [
        (name, without("Resources", name))
        for name in RESOURCES
        if RESOURCES[name]["Type"] == "AWS::CloudWatch::Alarm"
    ]
    + [("tells nobody", without(*properties("RunsFailedAlarm"), "AlarmActions"))],
    "OR-15": [
        ("logs for ever", without(*properties("TriggerLogGroup"), "RetentionInDays")),
        ("a log group of Lambda's own", without(*properties("TriggerFunction"), "LoggingConfig")),
    ],
    "OR-16": [
        ("a shown token", put(SHOWN, "Parameters", "AlertToken")),
        ("a default", put({**SHOWN, "NoEcho": True, "Default": "x"}, "Parameters", "AlertToken")),
    ],
    "OR-17": [
        (
            "a fixed partition of AWS's policies",
            put(
                "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
                *properties("TriggerFunctionRole"),
                "ManagedPolicyArns",
                1,
            ),
        ),
        ("a fixed partition", put(ANYWHERE, *granted("TriggerFunctionRole", "sqs:SendMessage"), "Resource")),
        (
            "any account",
            put(
                {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:*:other"},
                *granted("TriggerFunctionRole", "sqs:SendMessage"),
                "Resource",
            ),
        ),
    ],
    "OR-18": [("slower than its state", put(900, *properties("DataArrivalFunction"), "Timeout"))],
    "OR-19": [
        ("never turned", without(*properties("DataKey"), "EnableKeyRotation")),
        ("logs of everybody", without(*LOGS_KEY, "Condition")),
        ("events of everybody", without(*EVENTS_KEY, "Condition")),
        (
            "another account",
            put({"AWS": "*"}, *statement("DataKey", "AccountAdministersThroughIam"), "Principal"),
        ),
    ],
    "OR-20": [("a shared role", share_a_role)],
}


@pytest.mark.case("SE-12")
@pytest.mark.case("SE-13")
@pytest.mark.case("SE-15")
@pytest.mark.parametrize("rule", RULES)
def test_the_template_keeps_the_rule(rule: str) -> None:
    assert broken(rule, SOURCE) == []


@pytest.mark.case("SE-12")
@pytest.mark.case("SE-13")
@pytest.mark.case("SE-15")
@pytest.mark.parametrize(
    ("rule", "change"),
    [
        pytest.param(rule, change, id=f"{rule} {name}")
        for rule, mutants in MUTANTS.items()
        for name, change in mutants
    ],
)
def test_a_template_without_the_line_breaks_the_rule(rule: str, change: Change) -> None:
    source = copy.deepcopy(SOURCE)
    change(source)

    assert broken(rule, source)


def test_every_rule_has_a_mutant() -> None:
    assert MUTANTS.keys() == RULES.keys() == {f"OR-{number}" for number in range(1, 21)}
    assert all(MUTANTS.values())


PLANTED = {
    "PassRole on everything, without a condition": [
        put("*", *PASS_ROLE, "Resource"),
        without(*PASS_ROLE, "Condition"),
    ],
    "one public access flag off": [
        put(False, *properties("LogBucket"), "PublicAccessBlockConfiguration", "IgnorePublicAcls")
    ],
    "key rotation off": [put(False, *properties("DataKey"), "EnableKeyRotation")],
    "the TLS policy removed": [without("Resources", "ArtifactBucketPolicy")],
    "a queue policy without aws:SourceArn": [
        without(*statement("CallbackQueuePolicy", "OurRulesMaySend"), "Condition")
    ],
    "a role trust without aws:SourceAccount": [without(*properties("SchedulerRole"), *TRUST, "Condition")],
}
"""The six defects whose last two no scanner saw."""


@pytest.mark.case("SE-12")
@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_turns_a_rule_red(defect: str) -> None:
    source = copy.deepcopy(SOURCE)
    for change in PLANTED[defect]:
        change(source)

    assert any(broken(rule, source) for rule in RULES)
