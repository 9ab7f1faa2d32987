"""What patch_sagemaker relies on inside moto, and that it can be undone."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.request import Request
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from driftwheel_local import patches


class Witness:
    """Stands for the world and keeps what moto hands over."""

    def __init__(self):
        self.seen = []

    def answer(self, operation, body, *, account, region):
        self.seen.append((operation, json.loads(body), account, region))
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, b'{"Models": []}'

    def invoke(self, endpoint_name, headers, body):
        self.seen.append((endpoint_name, headers["Content-Type"], headers.get("Accept"), body))
        return 200, {"Content-Type": "text/plain", "x-Amzn-Invoked-Production-Variant": "main"}, body

    def unsupported_runtime(self, action):
        body = json.dumps({"Message": action}).encode()
        return 400, {"Content-Type": "application/json", "x-amzn-errortype": "Unsupported"}, body


@pytest.fixture
def witness(moto_endpoint):
    found = Witness()
    patches.patch_sagemaker(found)
    return found


def test_moto_still_has_the_names_we_replace_and_read():
    assert callable(SageMakerResponse.call_action)
    assert callable(SageMakerRuntimeResponse._dispatch)
    assert callable(SageMakerResponse._get_action)
    assert hasattr(Request, "get_data")


def test_every_sagemaker_request_reaches_the_world_with_its_place(witness, moto_endpoint):
    sagemaker = boto3.client("sagemaker", region_name="eu-west-1")

    assert sagemaker.list_models(MaxResults=5)["Models"] == []
    assert witness.seen == [("ListModels", {"MaxResults": 5}, "123456789012", "eu-west-1")]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "image/png"]
)
def test_an_invocation_reaches_the_world_byte_for_byte(witness, moto_endpoint, content_type):
    body = bytes(range(256))

    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="scores", Body=body, ContentType=content_type, Accept="text/plain"
    )

    assert witness.seen == [("scores", content_type, "text/plain", body)]
    assert answer["Body"].read() == body
    assert answer["InvokedProductionVariant"] == "main"


def test_other_runtime_operations_are_refused(witness, moto_endpoint):
    with pytest.raises(ClientError) as caught:
        boto3.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName="scores", InputLocation="s3://a/b"
        )

    assert caught.value.response["Error"]["Message"] == "async-invocations"


def test_undo_gives_moto_its_own_answers_back(witness, moto_endpoint):
    patches.undo()

    assert boto3.client("sagemaker").list_models()["Models"] == []
    assert witness.seen == []
