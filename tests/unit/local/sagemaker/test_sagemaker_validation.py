"""Requests held to the whole service model, answers held to its output shapes."""

import pytest
from botocore.exceptions import ClientError

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.refusals import Refusal

SERVICES = (
    "sagemaker",
    "sagemaker-runtime",
    "s3",
    "sqs",
    "lambda",
    "events",
    "stepfunctions",
    "scheduler",
    "logs",
)


def complaint(service, operation, request):
    with pytest.raises(Refusal) as caught:
        validation.validate(validation.operation(service, operation), request)
    assert caught.value.code == "ValidationException"
    return caught.value.message


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_a_service_model_can_be_checked(service):
    model = validation.service(service)
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names}

    for expression in patterns - {None}:
        validation.pattern(expression)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "Value null at 'endpointName' failed to satisfy constraint: Member must not be null"),
        (
            {"EndpointName": "bad_name"},
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ({"EndpointName": "a" * 64}, "Member must have length less than or equal to 63"),
        ({"EndpointName": 7}, "Member must be of type string"),
        ({"EndpointName": "a", "Colour": 1}, "at 'colour' failed to satisfy constraint: Member is not known"),
    ],
)
def test_a_wrong_member_is_named_in_the_words_of_aws(request_, words):
    message = complaint("sagemaker", "DescribeEndpoint", request_)

    assert message.startswith("1 validation error detected: ") or len(request_.get("EndpointName", "")) > 63
    assert words in message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"MemorySizeInMB": 99_999, "MaxConcurrency": 1},
            "Member must have value less than or equal to 6144",
        ),
        ({"MemorySizeInMB": 1024, "MaxConcurrency": 0}, "Member must have value greater than or equal to 1"),
    ],
)
def test_numbers_deep_inside_a_list_have_maxima_and_minima(config, words):
    variant = {"VariantName": "a", "ModelName": "m", "ServerlessConfig": config}
    request = {"EndpointConfigName": "c", "ProductionVariants": [variant]}

    message = complaint("sagemaker", "CreateEndpointConfig", request)

    assert "at 'productionVariants.1.member.serverlessConfig." in message
    assert words in message


def test_enums_list_lengths_and_map_values_are_held_to():
    enum = complaint(
        "sagemaker",
        "UpdateModelPackage",
        {
            "ModelPackageArn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/a/1",
            "ModelApprovalStatus": "Nope",
        },
    )
    empty = complaint(
        "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": []}
    )
    long = complaint("sagemaker", "CreateTrainingJob", {"HyperParameters": {"a": "x" * 2501}})

    assert "Member must satisfy enum value set: [Approved, Rejected, PendingManualApproval" in enum
    assert "Member must have length greater than or equal to 1" in empty
    assert "Map value must satisfy constraint: [Member must have length less than or equal to 2500]" in long


def test_several_faults_are_counted():
    message = complaint("sagemaker", "CreateEndpoint", {"EndpointName": "-"})

    assert message.startswith("2 validation errors detected: ")


def test_unicode_categories_of_java_patterns_work():
    tag = validation.pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)")

    assert tag.fullmatch("Größe 7")
    assert not tag.fullmatch("no;semicolon")


def test_it_holds_for_any_service():
    message = complaint("sqs", "CreateQueue", {"QueueName": 7})

    assert "at 'queueName'" in message


def test_the_server_refuses_what_the_clients_check_lets_pass(account):
    with pytest.raises(ClientError) as caught:
        account.sagemaker.describe_training_job(TrainingJobName="x" * 99)

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "less than or equal to 63" in caught.value.response["Error"]["Message"]


def test_operations_without_local_counterpart_fail_loudly_at_once(account):
    with pytest.raises(ClientError) as caught:
        account.sagemaker.list_pipelines()

    assert caught.value.response["Error"]["Code"] == "UnsupportedOperationException"
    assert "sagemaker:ListPipelines" in caught.value.response["Error"]["Message"]


def test_select_keeps_only_declared_members():
    shape = validation.operation("sagemaker", "DescribeEndpoint").output_shape
    record = {"EndpointName": "a", "_private": 1, "ProductionVariants": [{"VariantName": "v", "Host": 2}]}

    kept = validation.select(shape, record)

    assert kept == {"EndpointName": "a", "ProductionVariants": [{"VariantName": "v"}]}
    assert validation.violations(shape, kept) == []
    assert len(validation.violations(shape, record)) == 2
