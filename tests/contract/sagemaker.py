"""SageMaker requests of the smallest kind: a trainer that writes one file, a server that adds a number."""

import json
from functools import cached_property
from typing import Any

from .account import CONTAINERS, INSTANCE, Account, tarball

ENDED = ("Completed", "Failed", "Stopped")
AT_REST = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")


class Lab:
    """What the SageMaker cases make in an account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sagemaker = account.client("sagemaker")

    @cached_property
    def bucket(self) -> str:
        return self.account.bucket()

    def put(self, key: str, body: bytes | str) -> str:
        self.account.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def training_request(self, name: str, mode: str = "good", **changes: Any) -> dict[str, Any]:
        code = self.put(
            "code/sourcedir.tar.gz", tarball({"trainer.py": (CONTAINERS / "trainer.py").read_text()})
        )
        data = self.put("data/a.csv", "1,2\n").rpartition("/")[0] + "/"
        return {
            "TrainingJobName": name,
            "RoleArn": self.account.role,
            "AlgorithmSpecification": {"TrainingImage": self.account.image, "TrainingInputMode": "File"},
            "HyperParameters": {
                "sagemaker_program": '"trainer.py"',
                "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
                "mode": mode,
                "rounds": "1",
            },
            "InputDataConfig": [channel("train", data), channel("code", code)],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
            "ResourceConfig": {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "EnableNetworkIsolation": True,
        } | changes

    def train(self, mode: str = "good") -> str:
        name = self.account.name("job")
        self.sagemaker.create_training_job(**self.training_request(name, mode))
        return name

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return found

    def ended(self, name: str) -> list[dict[str, Any]]:
        return self.account.until(lambda: self.job(name), lambda job: job["TrainingJobStatus"] in ENDED)

    def model(self, *, broken: bool = False, offset: int = 0) -> str:
        name = self.account.name("model")
        artifact = {
            "model.json": json.dumps({"offset": offset, "broken": broken}),
            "code/server.py": (CONTAINERS / "server.py").read_text(),
        }
        self.sagemaker.create_model(**self.model_request(name, self.put(f"{name}.tar.gz", tarball(artifact))))
        self.account.afterwards(self.sagemaker.delete_model, ModelName=name)
        return name

    def model_request(self, name: str, url: str) -> dict[str, Any]:
        environment = {
            "SAGEMAKER_PROGRAM": "server.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        }
        return {
            "ModelName": name,
            "ExecutionRoleArn": self.account.role,
            "EnableNetworkIsolation": True,
            "PrimaryContainer": {
                "Image": self.account.image,
                "ModelDataUrl": url,
                "Environment": environment,
            },
        }

    def config(self, model: str, count: int = 1) -> str:
        name = self.account.name("config")
        variant = {
            "VariantName": "main",
            "ModelName": model,
            "InstanceType": INSTANCE,
            "InitialInstanceCount": count,
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        self.account.afterwards(self.sagemaker.delete_endpoint_config, EndpointConfigName=name)
        return name

    def endpoint(self, config: str) -> str:
        name = self.account.name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.account.afterwards(self.take_down, name)
        return name

    def take_down(self, name: str) -> None:
        """Delete an endpoint when it is at rest, whatever the test left."""
        self.at_rest(name)
        self.sagemaker.delete_endpoint(EndpointName=name)

    def described(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
        return found

    def at_rest(self, name: str) -> list[dict[str, Any]]:
        return self.account.until(
            lambda: self.described(name), lambda found: found["EndpointStatus"] in AT_REST
        )

    def ask(self, name: str, value: int) -> int:
        answer = self.account.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, Body=json.dumps({"value": value}), ContentType="application/json"
        )
        return int(json.load(answer["Body"])["sum"])


def channel(name: str, uri: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


def statuses(sights: list[dict[str, Any]], member: str) -> list[str]:
    """The different values in the order they were seen."""
    found: list[str] = []
    for sight in sights:
        if not found or found[-1] != sight[member]:
            found.append(sight[member])
    return found
