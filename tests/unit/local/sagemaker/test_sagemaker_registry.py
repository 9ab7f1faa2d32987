"""The model registry: versions, approval and the events that approvals wait for."""

import pytest
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
METRICS = {
    "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://artifacts/m.json"}}
}


def refused(call, **options):
    with pytest.raises(ClientError) as caught:
        call(**options)
    return caught.value.response["Error"]


@pytest.fixture
def group(account):
    account.sagemaker.create_model_package_group(ModelPackageGroupName="flights")
    return "flights"


def version(account, **changes):
    request = {
        "ModelPackageGroupName": "flights",
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://artifacts/artefacts/one.tar.gz"}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelApprovalStatus": "PendingManualApproval",
        **changes,
    }
    return account.sagemaker.create_model_package(**request)["ModelPackageArn"]


def test_versions_count_up_and_keep_everything_they_were_given(account, group):
    first = version(account)
    second = version(
        account,
        ModelMetrics=METRICS,
        DriftCheckBaselines=METRICS,
        CustomerMetadataProperties={"run_id": "r-1"},
    )

    found = account.sagemaker.describe_model_package(ModelPackageName=second)

    assert first == "arn:aws:sagemaker:us-east-1:123456789012:model-package/flights/1"
    assert found["ModelPackageVersion"] == 2
    assert found["CustomerMetadataProperties"] == {"run_id": "r-1"}
    assert found["ModelMetrics"] == found["DriftCheckBaselines"] == METRICS
    assert found["ModelPackageStatus"] == "Completed"


def test_the_same_client_token_makes_one_version(account, group):
    arns = {version(account, ClientToken="run-1"), version(account, ClientToken="run-1")}

    assert len(arns) == 1
    assert version(account, ClientToken="run-2") not in arns


def test_an_approval_is_announced_with_the_fields_it_changed(account, group):
    arn = version(account)

    account.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="better"
    )
    account.sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"note": "x"})

    created, approved, noted = account.details("SageMaker Model Package State Change")
    assert "UpdatedModelPackageFields" not in created
    assert created["ModelApprovalStatus"] == "PendingManualApproval"
    assert approved["ModelApprovalStatus"] == "Approved"
    assert approved["UpdatedModelPackageFields"] == ["ApprovalDescription", "ModelApprovalStatus"]
    assert noted["UpdatedModelPackageFields"] == ["CustomerMetadataProperties"]
    assert created["CreationTime"].endswith("Z")
    assert account.events[-1]["resources"] == [arn]


def test_properties_can_be_removed(account, group):
    arn = version(account, CustomerMetadataProperties={"a": "1", "b": "2"})

    account.sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataPropertiesToRemove=["a"])

    found = account.sagemaker.describe_model_package(ModelPackageName=arn)
    assert found["CustomerMetadataProperties"] == {"b": "2"}


def test_versions_are_listed_by_approval(account, group):
    version(account)
    arn = version(account)
    account.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    listed = account.sagemaker.list_model_packages(
        ModelPackageGroupName="flights", ModelApprovalStatus="Approved"
    )

    assert [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]] == [arn]


def test_a_group_with_versions_cannot_be_deleted_and_numbers_never_come_back(account, group):
    arn = version(account)

    error = refused(account.sagemaker.delete_model_package_group, ModelPackageGroupName="flights")
    account.sagemaker.delete_model_package(ModelPackageName=arn)
    second = version(account)
    account.sagemaker.delete_model_package(ModelPackageName=second)
    account.sagemaker.delete_model_package_group(ModelPackageGroupName="flights")

    assert error["Code"] == "ConflictException"
    assert second.endswith("/2")
    missing = refused(account.sagemaker.describe_model_package_group, ModelPackageGroupName="flights")
    assert missing["Code"] == "ValidationException"


def test_a_used_group_name_and_missing_ones_are_refused(account, group):
    used = refused(account.sagemaker.create_model_package_group, ModelPackageGroupName="flights")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/flights/9"
    missing = refused(account.sagemaker.describe_model_package, ModelPackageName=arn)

    assert "already exists" in used["Message"]
    assert missing["Code"] == "ValidationException"


def test_tags_on_a_version_are_refused(account, group):
    with pytest.raises(ClientError) as caught:
        version(account, Tags=[{"Key": "a", "Value": "b"}])

    assert "CustomerMetadataProperties" in str(caught.value)


def test_a_model_is_created_from_a_package(account, group):
    account.model("one")
    arn = version(account)

    account.sagemaker.create_model(
        ModelName="from-package",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/sagemaker",
        PrimaryContainer={"ModelPackageName": arn},
    )

    container = account.sagemaker.describe_model(ModelName="from-package")["PrimaryContainer"]
    assert container["ModelPackageName"] == arn
    assert container["Image"] == IMAGE


def test_the_registry_survives_a_restart(account, group):
    arn = version(account, ClientToken="run-1")
    account.world.close()
    account.world = account.new_world()
    account.world.recover()

    assert account.sagemaker.describe_model_package(ModelPackageName=arn)["ModelPackageVersion"] == 1
    assert version(account, ClientToken="run-1") == arn
    assert version(account).endswith("/2")
