import json

import pytest
from pydantic import TypeAdapter, ValidationError

from driftwheel.deployment import MODES, Canary, Deployment, Linear
from driftwheel.deployment.endpoint import (
    create_endpoint_request,
    endpoint_config_request,
    model_request,
    update_endpoint_request,
)
from driftwheel.deployment.names import resource_name
from driftwheel.deployment.registry import Lineage, approval_request, group_request, package_request
from driftwheel.layout import VARIANT
from driftwheel.vpc import Vpc
from driftwheel_local.sagemaker.validation import operation, validate

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
ROLE = "arn:aws:iam::123456789012:role/driftwheel-serving"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
TAGS = {"driftwheel:model": "flights", "driftwheel:run-id": "ab12"}
LINEAGE = Lineage(
    model="flights",
    run_id="ab12" * 16,
    data_digest="a" * 64,
    recipe_digest="b" * 64,
    code_sha256="c" * 64,
    manifest_sha256="d" * 64,
    training_job_arn="arn:aws:sagemaker:us-east-1:123456789012:training-job/driftwheel-flights-ab12",
)


@pytest.fixture(params=MODES, ids=lambda mode: mode.model_fields["mode"].default)
def mode(request):
    return request.param


def package(**changes):
    return package_request(
        **{
            "group": "driftwheel-flights",
            "image": IMAGE,
            "model_data_url": "s3://artifacts/runs/flights/ab12/output/model.tar.gz",
            "metrics_uri": "s3://artifacts/runs/flights/ab12/evaluation.json",
            "baseline_uri": "s3://artifacts/runs/flights/ab12/baseline.json",
            "lineage": LINEAGE,
            "approval": "PendingManualApproval",
            "description": "auc 0.71",
            "instance": "ml.m5.large",
            **changes,
        }
    )


@pytest.mark.parametrize("bake_seconds", [0, 2400])
@pytest.mark.parametrize("termination_seconds", [0, 3600])
def test_every_modes_update_is_valid_and_rolls_back_by_alarms(mode, bake_seconds, termination_seconds):
    wanted = mode(bake_seconds=bake_seconds, termination_seconds=termination_seconds)

    request = update_endpoint_request(
        name="driftwheel-flights",
        config_name="driftwheel-flights-ab12",
        mode=wanted,
        alarms=["errors", "latency"],
    )

    validate(operation("sagemaker", "UpdateEndpoint"), request)
    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] == bake_seconds
    assert policy["MaximumExecutionTimeoutInSeconds"] > bake_seconds * wanted.steps
    assert request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"] == [
        {"AlarmName": "errors"},
        {"AlarmName": "latency"},
    ]


@pytest.mark.parametrize("alarms", [[], [f"alarm-{n}" for n in range(11)]])
def test_no_mode_updates_without_alarms_or_with_more_than_aws_takes(mode, alarms):
    with pytest.raises(ValueError, match="alarms"):
        mode().deployment_config(alarms)


def test_every_mode_is_chosen_by_its_name_and_canary_by_default(mode):
    name = mode.model_fields["mode"].default
    adapter = TypeAdapter(Deployment)

    assert type(adapter.validate_python({"mode": name})) is mode
    assert type(adapter.validate_python({"size": 20})) is Canary
    assert adapter.validate_python(adapter.dump_python(mode())) == mode()
    with pytest.raises(ValidationError):
        adapter.validate_python({"mode": "rolling"})


def test_a_mode_refuses_what_it_does_not_know_and_what_aws_would_refuse():
    adapter = TypeAdapter(Deployment)

    for given in ({"mode": "all_at_once", "size": 10}, {"size": 51}, {"mode": "linear", "size": 5}):
        with pytest.raises(ValidationError):
            adapter.validate_python(given)


def test_an_update_that_cannot_end_in_sagemakers_time_is_refused():
    with pytest.raises(ValidationError, match="bake shorter"):
        Linear(size=10, bake_seconds=3600)


def test_a_canary_and_a_linear_update_say_how_much_traffic_moves():
    assert Canary(size=25).traffic()["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 25}
    assert Linear(size=30).traffic()["LinearStepSize"] == {"Type": "CAPACITY_PERCENT", "Value": 30}
    assert Linear(size=30).steps == 4


@pytest.mark.case("SE-14")
def test_the_model_has_no_network_and_serves_with_its_own_code():
    request = model_request(
        name="driftwheel-flights-ab12",
        image=IMAGE,
        model_data_url="s3://artifacts/model.tar.gz",
        manifest_sha256="d" * 64,
        role_arn=ROLE,
        tags=TAGS,
        vpc=Vpc(("subnet-1",), ("sg-1",)),
    )

    validate(operation("sagemaker", "CreateModel"), request)
    assert request["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert request["EnableNetworkIsolation"] is True
    environment = request["PrimaryContainer"]["Environment"]
    assert environment["SAGEMAKER_PROGRAM"] == "serve.py"
    assert environment["MANIFEST_SHA256"] == "d" * 64
    assert package()["CustomerMetadataProperties"]["driftwheel:manifest-sha256"] == "d" * 64
    (container,) = package()["InferenceSpecification"]["Containers"]
    assert container["Environment"] == environment


@pytest.mark.parametrize("capture", [0, 100])
def test_every_endpoint_config_says_what_is_captured_and_is_encrypted(mode, capture):
    request = endpoint_config_request(
        name="driftwheel-flights-ab12",
        model_name="driftwheel-flights-ab12",
        mode=mode(capture=capture, instance_count=2),
        capture_uri="s3://artifacts/capture/flights",
        kms_key_id=KEY,
        tags=TAGS,
    )

    validate(operation("sagemaker", "CreateEndpointConfig"), request)
    captured = request["DataCaptureConfig"]
    assert captured["EnableCapture"] is (capture > 0)
    assert captured["CaptureOptions"] == [{"CaptureMode": "InputAndOutput"}]
    assert captured["CaptureContentTypeHeader"]["JsonContentTypes"] == ["application/json"]
    assert request["KmsKeyId"] == captured["KmsKeyId"] == KEY
    (variant,) = request["ProductionVariants"]
    assert (variant["VariantName"], variant["InitialInstanceCount"]) == (VARIANT, 2)


def test_a_model_whose_callers_capture_asks_sagemaker_for_no_capture(mode):
    request = endpoint_config_request(
        name="driftwheel-flights-ab12",
        model_name="driftwheel-flights-ab12",
        mode=mode(captured_by="writer"),
        capture_uri="s3://artifacts/capture/flights",
        kms_key_id=KEY,
        tags=TAGS,
    )

    validate(operation("sagemaker", "CreateEndpointConfig"), request)
    assert "DataCaptureConfig" not in request
    with pytest.raises(ValidationError):
        mode(captured_by="somebody")


def test_the_first_endpoint_is_created_without_a_deployment_config():
    request = create_endpoint_request(
        name="driftwheel-flights", config_name="driftwheel-flights-ab12", tags=TAGS
    )

    validate(operation("sagemaker", "CreateEndpoint"), request)
    assert "DeploymentConfig" not in request


def test_a_version_carries_its_lineage_and_a_retry_makes_no_second_one():
    request = package()

    validate(operation("sagemaker", "CreateModelPackage"), request)
    validate(
        operation("sagemaker", "CreateModelPackageGroup"),
        group_request(name="driftwheel-flights", model="flights", tags=TAGS),
    )
    assert request["ClientToken"] == package(approval="Approved")["ClientToken"]
    assert "Tags" not in request
    assert request["CustomerMetadataProperties"]["driftwheel:run-id"] == LINEAGE.run_id
    assert json.dumps(request) == json.dumps(package())


def test_long_words_are_cut_to_what_the_registry_takes():
    request = package(description="x" * 5_000, further={"driftwheel:reason": "y" * 5_000})

    validate(operation("sagemaker", "CreateModelPackage"), request)
    validate(
        operation("sagemaker", "UpdateModelPackage"),
        approval_request(
            package_arn="arn:aws:sagemaker:us-east-1:123456789012:model-package/driftwheel-flights/1",
            approval="Rejected",
            reason="z" * 5_000,
        ),
    )


@pytest.mark.parametrize("reason", ["a, b; c (d) [e] > ü", "line\nbreak", "ends with space ", ""])
def test_properties_keep_only_characters_the_registry_takes(reason):
    request = package(further={"driftwheel:reason": reason})

    validate(operation("sagemaker", "CreateModelPackage"), request)
    assert request["CustomerMetadataProperties"]["driftwheel:reason"]


@pytest.mark.case("SM-12")
def test_names_are_stable_short_and_never_invented():
    assert resource_name("driftwheel", "flights", "ab12") == "driftwheel-flights-ab12"
    long = [resource_name("driftwheel", "m" * 70, run) for run in ("a", "b", "a")]
    assert long[0] == long[2] != long[1]
    assert all(len(name) == 63 for name in long)


@pytest.mark.case("SM-12")
@pytest.mark.parametrize("part", ["under_score", "dot.ted", "-leading", "trailing-", "", "späße"])
def test_a_name_sagemaker_would_refuse_is_refused(part):
    with pytest.raises(ValueError, match="not a SageMaker name"):
        resource_name(part)
