"""Requests that create a model, its endpoint config and the endpoint, and that exchange one for another."""

from collections.abc import Mapping, Sequence

from driftwheel.capture.record import CSV_TYPES, JSON_TYPES
from driftwheel.deployment.mode import Mode, Request
from driftwheel.layout import VARIANT
from driftwheel.vpc import Vpc


def model_request(
    *,
    name: str,
    image: str,
    model_data_url: str,
    manifest_sha256: str,
    role_arn: str,
    tags: Mapping[str, str],
    vpc: Vpc,
) -> Request:
    """Build CreateModel: the code that serves lies inside the artifact, so no network is needed.

    The container refuses an artifact whose manifest has another digest than ``manifest_sha256``.
    """
    return {
        "ModelName": name,
        "ExecutionRoleArn": role_arn,
        "PrimaryContainer": {
            "Image": image,
            "ModelDataUrl": model_data_url,
            "Environment": serving_environment(manifest_sha256),
        },
        "EnableNetworkIsolation": True,
        **vpc.config(),
        "Tags": tag_list(tags),
    }


def serving_environment(manifest_sha256: str) -> dict[str, str]:
    """Tell the container's script mode which file serves, and the server which artifact it may load."""
    return {
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json",
        "MANIFEST_SHA256": manifest_sha256,
    }


def endpoint_config_request(
    *,
    name: str,
    model_name: str,
    mode: Mode,
    capture_uri: str,
    kms_key_id: str,
    tags: Mapping[str, str],
) -> Request:
    """Build CreateEndpointConfig.

    The capture belongs to the config: a new config without it silently ends the capture, so it is always
    written, switched off when ``capture`` is 0; only a model whose callers write the capture has none.
    """
    request: Request = {
        "EndpointConfigName": name,
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": model_name,
                "InstanceType": mode.instance,
                "InitialInstanceCount": mode.instance_count,
                "InitialVariantWeight": 1.0,
            }
        ],
        "KmsKeyId": kms_key_id,
        "Tags": tag_list(tags),
    }
    if mode.captured_by == "endpoint":
        request["DataCaptureConfig"] = {
            "EnableCapture": mode.capture > 0,
            "InitialSamplingPercentage": mode.capture,
            "DestinationS3Uri": capture_uri,
            "KmsKeyId": kms_key_id,
            "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": JSON_TYPES, "CsvContentTypes": CSV_TYPES},
        }
    return request


def create_endpoint_request(*, name: str, config_name: str, tags: Mapping[str, str]) -> Request:
    """Build CreateEndpoint; the first deployment is always all at once, there is nothing to go back to."""
    return {"EndpointName": name, "EndpointConfigName": config_name, "Tags": tag_list(tags)}


def update_endpoint_request(*, name: str, config_name: str, mode: Mode, alarms: Sequence[str]) -> Request:
    """Build UpdateEndpoint: the config's own weights and counts, the mode's traffic, rollback by alarms."""
    return {
        "EndpointName": name,
        "EndpointConfigName": config_name,
        "RetainAllVariantProperties": False,
        "DeploymentConfig": mode.deployment_config(alarms),
    }


def tag_list(tags: Mapping[str, str]) -> list[Request]:
    """Write tags the way AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
