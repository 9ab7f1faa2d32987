"""The roles SageMaker takes suffice for what requests name; no call of ours would show it."""

from typing import Any

import pytest

from driftwheel.algorithms.images import image_uri
from driftwheel_local.permissions.policies import Need

from . import asked
from .iam import ACCOUNT, REGION
from .job_role import captured, lacking, needs, passed

ARTIFACTS = "s3://driftwheel-artifacts"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/driftwheel-sagemaker"


def training(read: str = f"{ARTIFACTS}/runs/m/r/preprocessing/train.parquet", **more: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": read}}
    return {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": image_uri("xgboost", REGION)},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": source}],
        "OutputDataConfig": {"S3OutputPath": f"{ARTIFACTS}/runs/m/r/training_launch"},
        **more,
    }


def refused(request: dict[str, Any], role: str = "SageMakerRole") -> set[str]:
    return {need.action for need in lacking(role, list(needs("CreateTrainingJob", request)))}


@pytest.mark.case("SE-11")
def test_a_training_job_of_ours_lacks_nothing() -> None:
    assert passed(training()) == "SageMakerRole"
    assert refused(training()) == set()
    assert passed({}) is None


@pytest.mark.case("SE-11")
def test_a_running_stacks_names_are_those_of_the_template() -> None:
    running = f"arn:aws:iam::{ACCOUNT}:role/driftwheel-SageMakerRole-ABCDEFGHIJKL"

    assert passed({"ExecutionRoleArn": running}) == "SageMakerRole"
    assert refused(training(read="s3://driftwheel-artifactbucket-ql4vuszcczpt/runs/m/r/x")) == set()
    assert "s3:GetObject" in refused(training(read="s3://driftwheel-landingbucket-ql4vuszcczpt/data/x"))


@pytest.mark.case("SE-11")
@pytest.mark.parametrize(
    ("request_", "action"),
    [
        (training(read="s3://driftwheel-landing/data/m/x.csv"), "s3:GetObject"),
        (training(read=f"{ARTIFACTS}/quarantine/m/x"), "s3:GetObject"),
        (training(OutputDataConfig={"S3OutputPath": f"{ARTIFACTS}/code"}), "s3:PutObject"),
        (training(CheckpointConfig={"S3Uri": f"{ARTIFACTS}/holdout"}), "s3:PutObject"),
        (
            training(
                AlgorithmSpecification={
                    "TrainingImage": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/mine:1"
                }
            ),
            "ecr:BatchGetImage",
        ),
    ],
)
def test_a_request_the_role_cannot_carry_out_is_found(request_: dict[str, Any], action: str) -> None:
    assert action in refused(request_)


@pytest.mark.case("SE-11")
def test_a_role_the_template_does_not_have_may_do_nothing() -> None:
    assert refused(training(), "NoSuchRole") == {
        need.action for need in needs("CreateTrainingJob", training())
    }


@pytest.mark.case("SE-11")
def test_capture_is_written_below_capture_alone() -> None:
    def config(place: str) -> dict[str, Any]:
        return {"DataCaptureConfig": {"DestinationS3Uri": f"{ARTIFACTS}/{place}"}}

    assert lacking("SageMakerRole", list(captured(config("capture/m")))) == []
    assert lacking("SageMakerRole", list(captured(config("drift/m")))) == [
        Need("s3:PutObject", "arn:aws:s3:::driftwheel-artifacts/drift/m/x")
    ]
    assert list(captured({})) == []


@pytest.mark.case("SE-11")
def test_a_session_in_which_a_job_would_be_refused_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "denied", [])
    monkeypatch.setattr(asked, "sent_faults", [])
    request = training(read=f"{ARTIFACTS}/quarantine/m/x", ResourceConfig={"InstanceCount": 1})

    asked.note_request("CreateTrainingJob", request)

    [denied] = asked.denied
    assert denied.startswith("SageMakerRole: s3:GetObject")
