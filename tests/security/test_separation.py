"""Who may not: the rights that stay apart, read from the template's policies."""

import re

import pytest

from driftwheel_local.permissions.policies import Need, decide

from .iam import ACCOUNT, REGION, roles
from .rules import ROOT

ARTIFACTS, LANDING = "arn:aws:s3:::driftwheel-artifacts", "arn:aws:s3:::driftwheel-landing"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ENDPOINT = f"{SAGEMAKER}:endpoint/driftwheel-flights"
CONFIG = f"{SAGEMAKER}:endpoint-config/driftwheel-flights-1"

HOT_PATH = {
    f"{name}FunctionRole"
    for name in (
        *("Trigger", "DataArrival", "PreprocessingLaunch", "Preprocessing", "TrainingLaunch"),
        *("EvaluationGate", "Approval", "Deployment", "JobCallback", "RecordOutcome"),
    )
}
"""Whatever a run passes; the drift check, the reconciler of endpoints and the sweep look by the clock."""


def may(role: str, action: str, resource: str, **context: str) -> bool:
    return decide(roles()[role], Need(action, resource, context)) == "allowed"


def who(action: str, resource: str, **context: str) -> set[str]:
    return {role for role in roles() if may(role, action, resource, **context)}


@pytest.mark.case("SE-13")
def test_no_function_writes_where_people_drop_data_or_models() -> None:
    for prefix in ("data", "labels", "models"):
        assert who("s3:PutObject", f"{LANDING}/{prefix}/x") == set()
        assert who("s3:DeleteObject", f"{LANDING}/{prefix}/x") == set()
    assert who("s3:DeleteObject", f"{ARTIFACTS}/runs/x") == set()


@pytest.mark.case("SE-13")
def test_only_deployment_creates_what_serves() -> None:
    for action in ("CreateEndpoint", "DeleteEndpoint"):
        assert who(f"sagemaker:{action}", ENDPOINT) == {"DeploymentFunctionRole"}
    assert who("sagemaker:CreateEndpointConfig", CONFIG) == {"DeploymentFunctionRole"}
    assert who("sagemaker:CreateModel", f"{SAGEMAKER}:model/driftwheel-m") == {"DeploymentFunctionRole"}


@pytest.mark.case("SE-13")
def test_the_sweep_too_deletes_what_serves_but_only_what_carries_the_stacks_tag() -> None:
    tag = "aws:resourcetag/driftwheel:stack"
    deleters = {"DeploymentFunctionRole", "SweepFunctionRole"}

    assert who("sagemaker:DeleteEndpoint", ENDPOINT, **{tag: "driftwheel"}) == deleters
    assert who("sagemaker:DeleteEndpoint", ENDPOINT, **{tag: "another"}) == {"DeploymentFunctionRole"}


@pytest.mark.case("SE-13")
def test_only_deployment_moves_an_endpoint() -> None:
    assert who("sagemaker:UpdateEndpoint", ENDPOINT) == {"DeploymentFunctionRole"}
    assert who("sagemaker:UpdateEndpoint", CONFIG) == {"DeploymentFunctionRole"}


@pytest.mark.case("SE-13")
def test_only_who_starts_machines_passes_the_one_role() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/driftwheel-sagemaker"
    passing = {"iam:passedtoservice": "sagemaker.amazonaws.com"}
    passers = {each for each in roles() if may(each, "iam:PassRole", role, **passing)}

    launchers = {"PreprocessingLaunchFunctionRole", "TrainingLaunchFunctionRole"}
    assert passers == launchers | {"DeploymentFunctionRole"}
    for each in passers:
        assert not may(each, "iam:PassRole", f"{role}-other", **passing)
        assert not may(each, "iam:PassRole", role, **{"iam:passedtoservice": "lambda.amazonaws.com"})
    assert who("iam:PassRole", role) == set()


@pytest.mark.case("SE-13")
def test_the_drift_check_passes_a_role_that_reads_rows_and_writes_its_answer_and_no_model() -> None:
    job, role = "DomainClassifierRole", f"arn:aws:iam::{ACCOUNT}:role/DomainClassifierRole"
    passing = {"iam:passedtoservice": "sagemaker.amazonaws.com"}

    assert {each for each in roles() if may(each, "iam:PassRole", role, **passing)} == {
        "DriftCheckFunctionRole"
    }
    assert may(job, "s3:PutObject", f"{ARTIFACTS}/domain/m/t/output.tar.gz")
    for key in (
        "runs/m/r/training_launch/model.tar.gz",
        "runs/m/r/preprocessing/train.parquet",
        "capture/m/x",
    ):
        assert not may(job, "s3:PutObject", f"{ARTIFACTS}/{key}")
    for place in (f"{ARTIFACTS}/holdout/x", f"{ARTIFACTS}/capture/x", f"{LANDING}/data/x"):
        assert not may(job, "s3:GetObject", place)
    assert not may("DriftCheckFunctionRole", "s3:PutObject", f"{ARTIFACTS}/runs/m/r/run.json")


@pytest.mark.case("SE-13")
def test_training_reads_no_raw_data_and_writes_no_registry_and_no_code() -> None:
    job = "SageMakerRole"

    assert not may(job, "s3:GetObject", f"{LANDING}/data/x")
    assert not may(job, "s3:GetObject", f"{ARTIFACTS}/quarantine/x")
    assert not may(job, "s3:PutObject", f"{ARTIFACTS}/code/x")
    assert not may(job, "s3:PutObject", f"{ARTIFACTS}/holdout/x")
    assert not may(job, "sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package/driftwheel-m/1")
    assert not may(job, "dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ledger")


@pytest.mark.case("SE-13")
def test_only_the_trigger_starts_runs_and_only_the_gate_registers_models() -> None:
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:driftwheel-model-loop"

    assert who("states:StartExecution", machine) == {"TriggerFunctionRole"}
    package = f"{SAGEMAKER}:model-package/driftwheel-m/1"
    assert who("sagemaker:CreateModelPackage", package) == {"EvaluationGateFunctionRole"}


@pytest.mark.case("SM-10")
def test_no_function_of_a_run_may_list_anything_but_keys_in_our_buckets() -> None:
    """``s3:ListBucket`` is there so that what is missing answers 404; only the trigger lists by it."""
    rights = {
        (role, action) for role in HOT_PATH for statement in roles()[role] for action in statement.actions
    }

    assert {role for role, _ in rights} == HOT_PATH
    listing = {action for _, action in rights if ":list" in action.lower() or action.endswith("*")}
    assert listing == {"s3:ListBucket"}


@pytest.mark.case("SM-10")
def test_the_code_of_a_run_lists_only_which_captured_hours_exist() -> None:
    source = ROOT / "src" / "driftwheel"
    calls = {
        (path.relative_to(source).as_posix(), name)
        for path in source.rglob("*.py")
        if path.name != "sweep.py"
        for name in re.findall(r"\b(list_\w+)[\"(]|objects\.(?=list\()", path.read_text(encoding="utf-8"))
        if name not in {"list_contains", "list_extract"}
    }

    assert calls == {
        ("aws/objects.py", "list_objects_v2"),
        ("steps/trigger.py", ""),  # captured hours, once a model has a champion and labels
        *((f"steps/{name}.py", "") for name in ("drift_verdict", "earlier", "reference")),  # the drift check
    }
