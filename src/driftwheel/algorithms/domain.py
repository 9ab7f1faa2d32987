"""The CreateTrainingJob request of the domain classifier: pure, so a test can hold it against the service."""

import json
from dataclasses import dataclass

from driftwheel.algorithms.images import image_uri
from driftwheel.algorithms.request import Request, channel
from driftwheel.algorithms.xgboost import CODE_FILE
from driftwheel.vpc import Vpc

INSTANCE = "ml.m5.large"
"""Two times 20,000 rows of 31 columns take some seconds on one of its two CPUs."""

LONGEST_SECONDS = 1_800


@dataclass(frozen=True)
class DomainJob:
    """One window's job: its name, its inputs' S3 URIs, where it writes, and whose it is."""

    name: str
    model: str
    stack: str
    train: str
    window: str
    code: str
    output_uri: str
    region: str
    role_arn: str
    kms_key_id: str
    vpc: Vpc


def domain_request(job: DomainJob) -> Request:
    """Build the request: AWS's XGBoost image in script mode, isolated from every network, sealed, bounded."""
    channels = {"train": job.train, "window": job.window, "code": job.code}
    return {
        "TrainingJobName": job.name,
        "RoleArn": job.role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": image_uri("xgboost", job.region),
            "TrainingInputMode": "File",
            "EnableSageMakerMetricsTimeSeries": False,
        },
        "HyperParameters": {
            "model": json.dumps(job.model),
            "sagemaker_program": "domain.py",
            "sagemaker_submit_directory": CODE_FILE,
        },
        "InputDataConfig": [channel(name, uri) for name, uri in channels.items()],
        "OutputDataConfig": {"S3OutputPath": job.output_uri, "KmsKeyId": job.kms_key_id},
        "ResourceConfig": {
            "InstanceType": INSTANCE,
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
            "VolumeKmsKeyId": job.kms_key_id,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": LONGEST_SECONDS},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": False,
        **job.vpc.config(),
        "Tags": [
            {"Key": "driftwheel:model", "Value": job.model},
            {"Key": "driftwheel:stack", "Value": job.stack},
        ],
    }
