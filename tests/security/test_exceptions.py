"""The closed list of what scanners say and the template accepts; `make scan` proves that each is needed."""

import importlib.util
import sys

import pytest

from driftwheel_local.template import read_template

from .rules import ROOT

SOURCE = read_template(ROOT / "template.yaml")

STEPS = [
    "DataArrival",
    "PreprocessingLaunch",
    "Preprocessing",
    "TrainingLaunch",
    "EvaluationGate",
    "Approval",
    "RecordOutcome",
]
BY_STEP_FUNCTIONS = {f"{step}Function" for step in STEPS}
BY_QUEUE = {"TriggerFunction", "JobCallbackFunction"}
FUNCTIONS = BY_STEP_FUNCTIONS | BY_QUEUE | {"DeploymentFunction", "DriftCheckFunction", "SweepFunction"}

INSIDE = ("CKV_AWS_117", "lambda_inside_vpc", "HIPAA.Security-LambdaInsideVPC")

ACCEPTED = {
    "NoVpc": FUNCTIONS,
    "Bounded": FUNCTIONS,
    "PinnedRuntime": FUNCTIONS,
    "PoliciesOfAws": {f"{function}Role" for function in FUNCTIONS},
    "CalledByStepFunctions": BY_STEP_FUNCTIONS,
    "CalledByQueue": BY_QUEUE,
    "Prefixes": {f"{function}Role" for function in FUNCTIONS - {"ApprovalFunction"}}
    | {"SageMakerRole", "DomainClassifierRole", "CallerPolicy"},
    "NoResourceRights": {"SageMakerRole", "DomainClassifierRole", "ModelLoopRole", "SweepFunctionRole"},
    "Interfaces": {"FunctionNetworkPolicy", "JobNetworkPolicy"},
    "ResourcesOfStates": {"JobCallbackFunctionRole"},
    "HoldsDeadLetters": {"ArrivalDeadLetterQueue", "CallbackDeadLetterQueue", "EventDeadLetterQueue"},
    "HoldsAccessLogs": {"LogBucket"},
}


@pytest.fixture
def accepted(monkeypatch):
    """scan/accepted.py, which is a script's neighbour and no package."""
    spec = importlib.util.spec_from_file_location("accepted", ROOT / "scan" / "accepted.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "accepted", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.case("SE-16")
def test_the_template_accepts_exactly_the_closed_list(accepted):
    found: dict[str, set[str]] = {}
    for each in accepted.acceptances(SOURCE):
        found.setdefault(each.name, set()).add(each.resource)

    assert found == ACCEPTED
    assert SOURCE["Metadata"]["Exceptions"].keys() == ACCEPTED.keys()
    assert len(accepted.acceptances(SOURCE)) == 82


def test_every_exception_has_rules_and_a_reason():
    for name, exception in SOURCE["Metadata"]["Exceptions"].items():
        assert exception.keys() == {"Rules", "Reason"}, name
        assert len(exception["Reason"]) > 40, name


def test_a_finding_is_left_unless_its_own_resource_accepts_it(accepted):
    def finding(rule, resource):
        return accepted.Finding("scanner", rule, resource)

    left, needless = accepted.judge(
        SOURCE,
        [
            finding("CKV_AWS_18", "LogBucket"),
            finding("CKV_AWS_18", "LandingBucket"),
            finding("CKV_AWS_53", "LogBucket"),
            finding("AwsSolutions-IAM5[Resource::<ArtifactBucket.Arn>/runs/*]", "TriggerFunctionRole"),
            finding("AwsSolutions-IAM5[Resource::*]", "TriggerFunctionRole"),
            finding("AwsSolutions-IAM5[Action::s3:*]", "TriggerFunctionRole"),
        ],
    )

    assert [(each.rule, each.resource) for each in left] == [
        ("CKV_AWS_18", "LandingBucket"),
        ("CKV_AWS_53", "LogBucket"),
        ("AwsSolutions-IAM5[Resource::*]", "TriggerFunctionRole"),
        ("AwsSolutions-IAM5[Action::s3:*]", "TriggerFunctionRole"),
    ]
    assert len(needless) == 82 - 2


def test_no_function_of_a_stack_in_a_vpc_may_be_outside_of_it(accepted):
    outside = [accepted.Finding("scanner", rule, "TriggerFunction") for rule in INSIDE]

    assert accepted.judge(SOURCE, outside)[0] == []
    assert accepted.judge(SOURCE, outside, ("NoVpc",))[0] == outside


def test_no_line_of_the_code_turns_a_template_scanner_off():
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")

    assert not [
        word for word in ("checkov:skip", "cfn_nag", "rules_to_suppress", "cfn-lint:") if word in text
    ]
