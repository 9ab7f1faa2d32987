"""The CreateProcessingJob request of a Spark job; pure, so a test can hold it against the service model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from driftwheel.algorithms.images import image_uri
from driftwheel.jobs.code import SPARK_MAIN, SPARK_PACKAGE
from driftwheel.spec import Preprocessing
from driftwheel.vpc import Vpc

BASE = "/opt/ml/processing"

Request = dict[str, Any]


@dataclass(frozen=True)
class ProcessingJob:
    """Whose job it is and what it reads and writes; ``inputs`` maps a folder's name to its S3 prefix."""

    name: str
    model: str
    run_id: str
    spec_digest: str
    stack: str
    inputs: Mapping[str, str]
    output_uri: str


@dataclass(frozen=True)
class ProcessingPlace:
    """Where the job runs: fixed by the deployed stack, not by the model's owner."""

    region: str
    role_arn: str
    kms_key_id: str
    vpc: Vpc


def processing_request(machine: Preprocessing, job: ProcessingJob, place: ProcessingPlace) -> Request:
    """Build the request.

    The container starts Spark by ``smspark-submit``, its own way in; script and package come as an input,
    since under network isolation it could fetch neither. Every input is copied to the instance's disk whole.
    https://github.com/aws/sagemaker-spark-container/blob/master/src/smspark/cli.py
    """
    code = f"{BASE}/input/code"
    ours = {"model": job.model, "run-id": job.run_id, "spec-digest": job.spec_digest, "stack": job.stack}
    return {
        "ProcessingJobName": job.name,
        "RoleArn": place.role_arn,
        "AppSpecification": {
            "ImageUri": image_uri("spark", place.region),
            "ContainerEntrypoint": [
                "smspark-submit",
                "--py-files",
                f"{code}/{SPARK_PACKAGE}",
                f"{code}/{SPARK_MAIN}",
            ],
            "ContainerArguments": [BASE],
        },
        "Environment": {"DRIFTWHEEL_RUN": job.run_id, "DRIFTWHEEL_SPEC": job.spec_digest},
        "ProcessingInputs": _inputs(job.inputs),
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "output",
                    "S3Output": {
                        "S3Uri": job.output_uri,
                        "LocalPath": f"{BASE}/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
            "KmsKeyId": place.kms_key_id,
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": machine.instance_count,
                "InstanceType": machine.instance,
                "VolumeSizeInGB": machine.volume_gb,
                "VolumeKmsKeyId": place.kms_key_id,
            }
        },
        "NetworkConfig": {
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": machine.instance_count > 1,
            **place.vpc.config(),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": machine.max_runtime_seconds},
        "Tags": [{"Key": f"driftwheel:{key}", "Value": value} for key, value in ours.items()],
    }


def _inputs(prefixes: Mapping[str, str]) -> Sequence[Request]:
    return [
        {
            "InputName": name,
            "S3Input": {
                "S3Uri": uri,
                "LocalPath": f"{BASE}/input/{name}",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
            },
        }
        for name, uri in prefixes.items()
    ]
