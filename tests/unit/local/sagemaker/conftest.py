"""A SageMaker account for tests: a world behind a moto server, and what its users would have there."""

import functools
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.sagemaker import SageMakerWorld

DATA = Path(__file__).with_name("containers")
BUCKET = "artifacts"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
TIME_SCALE = 0.001


@functools.cache
def client(service: str, endpoint_url: str) -> Any:
    """Answer a client; making one costs more than most tests."""
    return boto3.client(service, endpoint_url=endpoint_url)


def channel(name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
    """Answer one entry of InputDataConfig."""
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}


def tarball(files: dict[str, str]) -> bytes:
    """Answer a tar.gz of text files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def untar(content: bytes) -> dict[str, str]:
    """Answer the text files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: stream.read().decode() for name, stream in found.items() if stream is not None}


def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 90.0) -> Any:
    """Look until it is good; fail with the last sight after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.02)


class Account:
    """Clients, the world behind them and everything it published."""

    def __init__(self, root: Path, endpoint_url: str, time_scale: float = TIME_SCALE) -> None:
        self.root = root
        self.endpoint_url = endpoint_url
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.alarms: dict[str, str] = {}
        self.metrics: list[tuple[str, str, float, dict[str, str]]] = []
        self.time_scale = time_scale
        self.world = self.new_world()
        self.sagemaker = client("sagemaker", endpoint_url)
        self.runtime = client("sagemaker-runtime", endpoint_url)
        self.s3 = client("s3", endpoint_url)
        self.logs = client("logs", endpoint_url)

    def new_world(self) -> SageMakerWorld:
        """Put a world behind the server; called again it stands for a restarted stack."""
        world = SageMakerWorld(
            self.root,
            self.clock,
            self.events.append,
            lambda names: {name: self.alarms[name] for name in names if name in self.alarms},
            self._put_metric,
            self.time_scale,
            lambda: self.endpoint_url,
        )
        world.limits.stop_grace_seconds = 0.5
        patches.patch_sagemaker(world)
        return world

    def _put_metric(
        self, namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]
    ) -> None:
        self.metrics.append((f"{namespace} {name} {unit}", name, value, dimensions))

    def put(self, key: str, body: bytes | str) -> str:
        """Write an object and answer its URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def get(self, uri: str) -> bytes:
        """Read an object."""
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))[
            "Body"
        ].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        """List keys."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def details(self, kind: str) -> list[dict[str, Any]]:
        """Answer the details of the events whose detail-type starts with `kind`."""
        return [event["detail"] for event in list(self.events) if event["detail-type"].startswith(kind)]

    def train(self, name: str = "job", mode: str = "good", **changes: Any) -> str:
        """Start a training job of the small trainer; its code arrives as a channel."""
        code = self.put("code/sourcedir.tar.gz", tarball({"trainer.py": (DATA / "trainer.py").read_text()}))
        train = self.put("data/train/a.csv", "1,2\n")
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "auc", "Regex": r"validation-auc:(\S+)"}],
            },
            "HyperParameters": {
                "sagemaker_program": '"trainer.py"',
                "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
                "mode": mode,
                "rounds": "3",
            },
            "InputDataConfig": [channel("train", train.rpartition("/")[0] + "/"), channel("code", code)],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "EnableNetworkIsolation": True,
        }
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = request
            for parent in parents:
                place = place[parent]
            place[last] = value
        arn: str = self.sagemaker.create_training_job(**request)["TrainingJobArn"]
        return arn

    def trained(self, name: str = "job") -> dict[str, Any]:
        """Answer a training job's description once it ended."""
        return until(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    def report(self, name: str = "job") -> dict[str, Any]:
        """Answer what the small trainer wrote into output.tar.gz."""
        content: dict[str, Any] = json.loads(
            untar(self.get(f"s3://{BUCKET}/models/{name}/output/output.tar.gz"))["report.json"]
        )
        return content

    def model(
        self,
        name: str,
        offset: int = 0,
        *,
        broken: bool = False,
        trouble: Mapping[str, object] | None = None,
        **environment: str,
    ) -> None:
        """Create a model of the small server; ``trouble`` is what it does with every request."""
        artefact = {
            "model.json": json.dumps({"offset": offset, "broken": broken, **(trouble or {})}),
            "code/server.py": (DATA / "server.py").read_text(),
        }
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            EnableNetworkIsolation=True,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataUrl": self.put(f"artefacts/{name}.tar.gz", tarball(artefact)),
                "Environment": {
                    "SAGEMAKER_PROGRAM": "server.py",
                    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                    **environment,
                },
            },
        )

    def config(self, name: str, *models: str, capture: int | None = None, **changes: Any) -> None:
        """Create an endpoint config with one variant per model, equal weights."""
        request: dict[str, Any] = {
            "EndpointConfigName": name,
            "ProductionVariants": [
                {
                    "VariantName": "main" if index == 0 else f"other{index}",
                    "ModelName": model,
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                    "InitialVariantWeight": 1.0,
                    **changes,
                }
                for index, model in enumerate(models)
            ],
        }
        if capture is not None:
            request["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": capture,
                "DestinationS3Uri": f"s3://{BUCKET}/captured",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {
                    "JsonContentTypes": ["application/json"],
                    "CsvContentTypes": ["text/csv"],
                },
            }
        self.sagemaker.create_endpoint_config(**request)

    def endpoint(self, name: str = "scores", config: str = "one", offset: int = 1, **options: Any) -> None:
        """Create model, config and endpoint, and wait until it serves."""
        self.model(config, offset)
        self.config(config, config, **options)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        assert self.settled(name)["EndpointStatus"] == "InService"

    def settled(self, name: str = "scores") -> dict[str, Any]:
        """Answer an endpoint's description once nothing is under way."""
        return until(
            lambda: self.sagemaker.describe_endpoint(EndpointName=name),
            lambda found: found["EndpointStatus"] in ("InService", "Failed", "UpdateRollbackFailed"),
        )

    def predict(self, data: Any, name: str = "scores", **options: Any) -> Any:
        """Invoke with JSON and read JSON."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=name, Body=json.dumps(data), ContentType="application/json", **options
        )
        return json.loads(answer["Body"].read())

    channel = staticmethod(channel)
    tarball = staticmethod(tarball)
    untar = staticmethod(untar)
    until = staticmethod(until)


@pytest.fixture
def account(moto_endpoint: str, tmp_path: Path) -> Iterator[Account]:
    """An empty account."""
    found = Account(tmp_path, moto_endpoint)
    found.s3.create_bucket(Bucket=BUCKET)
    yield found
    found.world.close()
