"""Requests for the model registry: a group per model, a version per trained model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from driftwheel.capture.record import CSV_TYPES, JSON_TYPES
from driftwheel.deployment.endpoint import serving_environment, tag_list
from driftwheel.deployment.mode import Request

Approval = Literal["Approved", "Rejected", "PendingManualApproval"]

LONGEST_VALUE = 256
LONGEST_DESCRIPTION = 1024

REFUSED = re.compile(r"[^\w.:/=+\-@ ]+")
"""What a property may not hold: the registry takes letters, digits, spaces and ``_ . : / = + - @``."""


@dataclass(frozen=True)
class Lineage:
    """Where a model version comes from; a version cannot be tagged, so it is CustomerMetadataProperties."""

    model: str
    run_id: str
    data_digest: str
    recipe_digest: str
    code_sha256: str
    manifest_sha256: str
    training_job_arn: str

    def properties(self) -> dict[str, str]:
        """Name → value, as the registry shows them."""
        return {f"driftwheel:{name.replace('_', '-')}": value for name, value in vars(self).items()}


def group_request(*, name: str, model: str, tags: Mapping[str, str]) -> Request:
    """Build CreateModelPackageGroup."""
    return {
        "ModelPackageGroupName": name,
        "ModelPackageGroupDescription": f"Versions of the model {model}, one per training run",
        "Tags": tag_list(tags),
    }


def package_request(
    *,
    group: str,
    image: str,
    model_data_url: str,
    metrics_uri: str,
    baseline_uri: str,
    lineage: Lineage,
    approval: Approval,
    description: str,
    instance: str,
    further: Mapping[str, str] | None = None,
) -> Request:
    """Build CreateModelPackage.

    ``metrics_uri`` and ``baseline_uri`` name JSON objects. The client token is the run's, so a retry makes no
    second version. ``further`` are more properties, such as the decision's numbers.
    """
    properties = {**(further or {}), **lineage.properties()}
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": _one_line(description),
        "ModelApprovalStatus": approval,
        "ClientToken": lineage.run_id[:36],
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": image,
                    "ModelDataUrl": model_data_url,
                    "Environment": serving_environment(lineage.manifest_sha256),
                }
            ],
            "SupportedContentTypes": [*JSON_TYPES, *CSV_TYPES],
            "SupportedResponseMIMETypes": [*JSON_TYPES, *CSV_TYPES],
            "SupportedRealtimeInferenceInstanceTypes": [instance],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": _json_source(metrics_uri)}},
        "DriftCheckBaselines": {"ModelDataQuality": {"Statistics": _json_source(baseline_uri)}},
        "MetadataProperties": {"GeneratedBy": lineage.training_job_arn},
        "CustomerMetadataProperties": {
            name: REFUSED.sub(" ", value)[:LONGEST_VALUE] or "-" for name, value in properties.items()
        },
    }


def approval_request(*, package_arn: str, approval: Approval, reason: str) -> Request:
    """Build UpdateModelPackage: the version's status follows the gate or a person."""
    return {
        "ModelPackageArn": package_arn,
        "ModelApprovalStatus": approval,
        "ApprovalDescription": _one_line(reason),
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_DESCRIPTION]


def _json_source(uri: str) -> Request:
    return {"ContentType": "application/json", "S3Uri": uri}
