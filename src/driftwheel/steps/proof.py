"""Proof: an endpoint serves the model it should when it answers that model's golden records alike."""

from typing import Any

from botocore.exceptions import ClientError

from driftwheel.aws.objects import Objects
from driftwheel.deployment.probe import Answered, Probe, compare_answer
from driftwheel.errors import DeploymentFailed
from driftwheel.layout import S3Uri


def prove(endpoint: str, probe_uri: S3Uri, runtime: Any, objects: Objects) -> None:
    """Send the probe kept with a model to its endpoint; raises DeploymentFailed on a refusal or other answer.

    ``runtime`` is a SageMaker Runtime client.
    """
    probe = Probe.from_json(objects.read(probe_uri))
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=probe.body()
        )["Body"].read()
    except ClientError as error:
        message = error.response["Error"]["Message"]
        raise DeploymentFailed(f"endpoint {endpoint} refused the probe: {message}") from error
    compared = compare_answer(probe, answer)
    if not isinstance(compared, Answered):
        raise DeploymentFailed(f"endpoint {endpoint} answered the probe wrongly: {compared.reason}")
