"""Every SageMaker operation the product sends may be refused to who asks too often, and is served again."""

import re
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from .account import INSTANCE, Account
from .sagemaker import Lab

pytestmark = pytest.mark.local_only
"""On AWS the rate is the whole account's, and other callers would be throttled too."""

SOURCE = Path(__file__).parents[2] / "src"
NAMED = {
    "TrainingJob": ("Describe", "Stop"),
    "ProcessingJob": ("Describe", "Stop"),
    "Model": ("Describe", "Delete"),
    "EndpointConfig": ("Describe", "Delete"),
    "Endpoint": ("Describe", "Delete"),
    "ModelPackage": ("Describe",),
    "ModelPackageGroup": ("Describe", "Create"),
}
"""Operations that need no more than a name."""
BY_NAME = [f"{verb}{noun}" for noun, verbs in NAMED.items() for verb in verbs]
WHOLE = [
    *("CreateTrainingJob", "CreateProcessingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"),
    *("CreateModelPackage", "UpdateModelPackage", "UpdateEndpoint"),
    *("ListEndpoints", "ListEndpointConfigs", "ListModels", "ListTags"),
]


def request(lab: Lab, operation: str) -> dict[str, Any]:
    """One that is well-formed and changes next to nothing: what it names is not there, or far too much."""
    name = lab.account.name("throttled")
    if operation in BY_NAME:
        return {f"{re.split('(?<=[a-z])(?=[A-Z])', operation, maxsplit=1)[1]}Name": name}
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{name}/1"
    cluster = {"InstanceType": INSTANCE, "InstanceCount": 90, "VolumeSizeInGB": 5}
    variant = {"VariantName": "main", "ModelName": name, "InstanceType": INSTANCE, "InitialInstanceCount": 1}
    endpoint = {"EndpointName": name, "EndpointConfigName": name}
    processing = {
        "ProcessingJobName": name,
        "RoleArn": lab.account.role,
        "AppSpecification": {"ImageUri": lab.account.image},
        "ProcessingResources": {"ClusterConfig": cluster},
    }
    whole: dict[str, dict[str, Any]] = {
        "CreateTrainingJob": lab.training_request(name, ResourceConfig=cluster),
        "CreateProcessingJob": processing,
        "CreateModel": lab.model_request(name, f"s3://{lab.bucket}/{name}"),
        "CreateEndpointConfig": {"EndpointConfigName": name, "ProductionVariants": [variant]},
        "CreateEndpoint": endpoint,
        "UpdateEndpoint": endpoint,
        "CreateModelPackage": {"ModelPackageGroupName": name},
        "UpdateModelPackage": {"ModelPackageArn": arn},
        "ListTags": {"ResourceArn": arn},
    }
    return whole.get(operation, {})


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("operation", [*BY_NAME, *WHOLE])
def test_who_asks_too_often_is_throttled_and_served_again_a_second_later(
    account: Account, lab: Lab, operation: str
) -> None:
    assert account.world is not None
    limits, given = account.world.sagemaker.limits, request(lab, operation)

    def call() -> str:
        try:
            getattr(lab.sagemaker, xform_name(operation))(**given)
        except ClientError as error:
            return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        return "served"

    limits.calls_per_second[operation] = 2
    try:
        served = call()
        codes = [call(), call()]
        account.pass_time(1)
        again = call()
    finally:
        limits.calls_per_second.clear()

    assert codes[1] == "ThrottlingException: Rate exceeded"
    assert not {served, codes[0], again} & {codes[1]}
    assert again == codes[0]


def test_every_operation_the_product_sends_is_tried_here(lab: Lab) -> None:
    """By the names of boto3's methods, and by what is made of a kind of resource."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    operations: dict[str, str] = lab.sagemaker.meta.method_to_api_mapping
    called = set(re.findall(r"\.(\w+)\(", text)) | set(re.findall(r"\"(list_\w+)\"", text))
    for kind in re.findall(r"\bcreate_once\(\s*[\w.]+,\s*\"(\w+)\"", text):
        called |= {f"create_{kind}", f"describe_{kind}"}
    called |= {f"describe_{kind}" for kind in re.findall(r"\bexisting\(\s*[\w.]+,\s*\"(\w+)\"", text)}
    called |= {f"stop_{kind}_job" for kind in re.findall(r"\bstop_job\([\w.]+, \"(\w+)\"", text)}
    called |= {f"delete_{kind}" for kind in re.findall(r"\b_Listing\(\s*\"(\w+)\"", text)}

    sent = {operations[name] for name in called if name in operations} - {"Search"}  # re.search

    assert sent == {*BY_NAME, *WHOLE}
