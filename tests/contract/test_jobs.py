"""Training and processing jobs: names, statuses, quotas, and what their events say."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel.steps.training_launch import lacked_machine

from .account import INSTANCE, Account, at_once
from .sagemaker import ENDED, Lab, statuses

MISSING = {"ResourceNotFound", "ValidationException"}
"""DescribeTrainingJob documents the first and has been seen to answer the second."""
STATUSES = ["Starting", "Pending", "Downloading", "DownloadingTrainingImage", "Training", "Uploading"]
"""SecondaryStatus in the order of its documentation (API_DescribeTrainingJob)."""


@pytest.fixture(scope="module")
def completed(account: Account, lab: Lab) -> list[dict[str, Any]]:
    """Every sight of one good job."""
    return lab.ended(lab.train())


def test_a_job_is_in_progress_until_it_is_completed(completed: list[dict[str, Any]]) -> None:
    assert statuses(completed, "TrainingJobStatus") == ["InProgress", "Completed"]
    assert completed[-1]["ModelArtifacts"]["S3ModelArtifacts"].endswith("/model.tar.gz")


def test_secondary_statuses_come_in_their_order(completed: list[dict[str, Any]]) -> None:
    said = [each["Status"] for each in completed[-1]["SecondaryStatusTransitions"]]

    assert said[-1] == "Completed"
    assert said[:-1] == sorted(said[:-1], key=STATUSES.index)
    starts = [each["StartTime"] for each in completed[-1]["SecondaryStatusTransitions"]]
    assert starts == sorted(starts)


def test_a_used_training_job_name_is_refused_for_ever(lab: Lab, completed: list[dict[str, Any]]) -> None:
    name = completed[-1]["TrainingJobName"]

    code, message = lab.account.refusal(
        lambda: lab.sagemaker.create_training_job(**lab.training_request(name))
    )

    assert code == "ResourceInUse"
    assert name in message


def test_a_finished_job_cannot_be_stopped(lab: Lab, completed: list[dict[str, Any]]) -> None:
    name = completed[-1]["TrainingJobName"]

    code, _ = lab.account.refusal(lambda: lab.sagemaker.stop_training_job(TrainingJobName=name))

    assert code == "ValidationException"


def test_a_failed_job_says_why(lab: Lab) -> None:
    job = lab.ended(lab.train("fail"))[-1]

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError")


CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry later."


@pytest.mark.local_only
@pytest.mark.case("SM-04")
@pytest.mark.parametrize("reason", [CAPACITY, "InternalServerError: We encountered an internal error."])
def test_a_job_may_fail_for_want_of_a_working_machine_and_says_so(lab: Lab, reason: str) -> None:
    """FailureReason as DIAGNijmegen/rse-grand-challenge 2631 met it. Local only: the stack is told to."""
    foretell(lab, reason)

    job = lab.ended(lab.train())[-1]

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == reason
    assert "TrainingStartTime" not in job
    assert lacked_machine(job)


SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
}


@pytest.mark.local_only
@pytest.mark.case("SM-05")
def test_a_spot_machine_may_be_taken_away_and_its_job_goes_on_with_the_checkpoint(
    account: Account, lab: Lab
) -> None:
    """Order: SageMaker guide, "Managed Spot Training Lifecycle". Local only: the stack is told to."""
    name = account.name("spot")
    kept = {"CheckpointConfig": {"S3Uri": f"s3://{lab.bucket}/{name}"}}
    foretell(lab, "Interrupted")
    lab.sagemaker.create_training_job(**lab.training_request(name, "interrupted", **SPOT, **kept))

    job = lab.ended(name)[-1]

    said = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    again = ["Starting", "Downloading", "Training"]
    assert said == [*again, "Interrupted", *again, "Uploading", "Completed"]


@pytest.mark.local_only
@pytest.mark.case("SM-05")
def test_spot_machines_that_never_come_stop_the_job(account: Account, lab: Lab) -> None:
    """The same page, "Spot instances were never launched". Local only: the stack is told to."""
    name = account.name("spot")
    foretell(lab, "MaxWaitTimeExceeded")
    lab.sagemaker.create_training_job(**lab.training_request(name, **SPOT))
    account.pass_time(30)
    account.pass_time(1200)

    job = lab.ended(name)[-1]

    said = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert said == ["Starting", "Stopping", "MaxWaitTimeExceeded"]
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Stopped", None)
    assert lacked_machine(job)


def foretell(lab: Lab, *outcomes: str) -> None:
    """Say how the next training jobs end."""
    assert lab.account.world is not None
    lab.account.world.sagemaker.limits.training_outcomes = list(outcomes)


def test_a_stopped_job_is_stopping_before_it_is_stopped(lab: Lab) -> None:
    name = lab.train("patient")
    seen = [lab.job(name)]

    lab.sagemaker.stop_training_job(TrainingJobName=name)
    seen += lab.ended(name)

    assert statuses(seen, "TrainingJobStatus") in (
        ["InProgress", "Stopping", "Stopped"],
        ["InProgress", "Stopped"],
    )
    assert not {"Failed", "Completed"} & {job["TrainingJobStatus"] for job in seen}


def test_a_job_that_never_was_cannot_be_described_or_stopped(account: Account, lab: Lab) -> None:
    name = account.name("absent")

    for call in (lab.sagemaker.describe_training_job, lab.sagemaker.stop_training_job):
        code, _ = account.refusal(lambda call=call: call(TrainingJobName=name))  # type: ignore[misc]
        assert code in MISSING


@pytest.mark.parametrize("name", ["under_score", "-dash-first", "x" * 64, "dot.ted"])
def test_a_job_name_outside_the_alphabet_is_refused(lab: Lab, name: str) -> None:
    code, message = lab.account.refusal(
        lambda: lab.sagemaker.create_training_job(**lab.training_request(name))
    )

    assert code == "ValidationException"
    assert "trainingJobName" in message


def test_of_creations_at_once_under_one_name_one_wins(account: Account, lab: Lab) -> None:
    """The others are told that the name is in use, HTTP 409 or 400 by the service's protocol."""
    request = lab.training_request(account.name("race"))

    codes = at_once(lambda: lab.sagemaker.create_training_job(**request))

    assert codes.count("") == 1
    assert set(codes) - {"", "ThrottlingException"} == {"ResourceInUse"}
    lab.ended(request["TrainingJobName"])


def test_a_job_may_be_unknown_right_after_its_creation_and_is_known_soon(
    account: Account, lab: Lab, slow_to_show: None
) -> None:
    """Eventual consistency: what AWS may do. The local stack is told to."""
    name = lab.train()

    seen = account.until(lambda: is_known(lab, name), bool)

    assert seen[-1]
    if not account.on_aws:
        assert seen[0] is False
    code, _ = account.refusal(
        lambda: lab.sagemaker.create_training_job(**lab.training_request(name))
    )  # the name is taken all the while
    assert code == "ResourceInUse"
    lab.ended(name)


def test_a_processing_job_may_be_unknown_right_after_its_creation_and_is_known_soon(
    account: Account, lab: Lab, slow_to_show: None
) -> None:
    request = processing_request(account)
    lab.sagemaker.create_processing_job(**request)

    seen = account.until(
        lambda: described(lab, request["ProcessingJobName"]),
        lambda job: job.get("ProcessingJobStatus") in ENDED,
    )

    if not account.on_aws:
        assert seen[0] == {}


def described(lab: Lab, name: str) -> dict[str, Any]:
    """Describe a processing job; empty when it is not known."""
    try:
        return dict(lab.sagemaker.describe_processing_job(ProcessingJobName=name))
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return {}


def processing_request(account: Account) -> dict[str, Any]:
    cluster = {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 5}
    return {
        "ProcessingJobName": account.name("processing"),
        "RoleArn": account.role,
        "AppSpecification": {"ImageUri": account.image, "ContainerEntrypoint": ["python3", "-c", "pass"]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def is_known(lab: Lab, name: str) -> bool:
    try:
        return bool(lab.job(name))
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return False


def test_instances_beyond_the_quota_are_refused(account: Account, lab: Lab) -> None:
    name = account.name("huge")
    huge = {"InstanceType": INSTANCE, "InstanceCount": 500, "VolumeSizeInGB": 5}

    code, message = account.refusal(
        lambda: lab.sagemaker.create_training_job(**lab.training_request(name, ResourceConfig=huge))
    )

    assert code == "ResourceLimitExceeded"
    assert f"{INSTANCE} for training job usage" in message
    assert account.refusal(lambda: lab.job(name))[0] in MISSING


def test_a_used_processing_job_name_is_refused(account: Account, lab: Lab) -> None:
    request = processing_request(account)
    name = request["ProcessingJobName"]
    lab.sagemaker.create_processing_job(**request)

    code, _ = account.refusal(lambda: lab.sagemaker.create_processing_job(**request))

    assert code == "ResourceInUse"
    seen = account.until(
        lambda: lab.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda job: job["ProcessingJobStatus"] in ENDED,
    )
    assert statuses(seen, "ProcessingJobStatus") == ["InProgress", "Completed"]


def test_every_status_of_a_job_is_told_in_the_apis_spelling(account: Account, lab: Lab) -> None:
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"]}
    inbox = account.inbox(pattern)
    name = lab.train()
    lab.ended(name)

    told = [event["detail"] for event in account.read(inbox, 4) if name in event["resources"][0]]

    assert {detail["TrainingJobStatus"] for detail in told} == {"InProgress", "Completed"}
    assert all("ModelArtifacts" not in detail for detail in told)
