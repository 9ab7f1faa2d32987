# ruff: noqa: N803
"""SageMaker in memory, as strict as AWS: used names are refused, jobs and endpoints take their time."""

import io
import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.security.asked import note_request
from tests.security.boundary import xform_back
from tests.security.iam import ACCOUNT, REGION

from .faults import Faults, refused

Request = dict[str, Any]
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
IN_ARN = {"Endpoint": "endpoint", "EndpointConfig": "endpoint-config", "Model": "model"}


class StrictSageMaker:
    """Jobs and endpoints change only when the test says that time has passed."""

    def __init__(self, faults: Faults, now: Callable[[], datetime], quota: int = 100) -> None:
        self.jobs: dict[str, Request] = {}
        self.processing_jobs: dict[str, Request] = {}
        self.models: dict[str, Request] = {}
        self.configs: dict[str, Request] = {}
        self.endpoints: dict[str, Request] = {}
        self.packages: dict[str, Request] = {}
        self.most_at_once = 0
        self.quota = quota
        self._faults, self._now, self._changes = faults, now, 0
        self._lock = threading.RLock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        method = getattr(type(self), f"_{operation}", None)
        if method is None:
            raise AssertionError(f"the product calls {operation}, which this bench does not know")

        def call(**request: Any) -> Any:
            note_request(xform_back(operation), request)

            def execute() -> Any:
                with self._lock:
                    return method(self, **request)

            return self._faults.call(operation, execute, "sagemaker", **request)

        return call

    def _create_training_job(self, **request: Any) -> Request:
        name = request["TrainingJobName"]
        if name in self.jobs:
            raise refused("ResourceInUse", "CreateTrainingJob", f"{name} is in use")
        running = sum(job["TrainingJobStatus"] == "InProgress" for job in self.jobs.values())
        if running >= self.quota:
            raise refused("ResourceLimitExceeded", "CreateTrainingJob")
        self.most_at_once = max(self.most_at_once, running + 1)
        arn = f"{ARN}training-job/{name}"
        uri = f"{request['OutputDataConfig']['S3OutputPath']}/{name}/output/model.tar.gz"
        self.jobs[name] = request | {
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "ModelArtifacts": {"S3ModelArtifacts": uri},
        }
        return {"TrainingJobArn": arn}

    def _describe_training_job(self, *, TrainingJobName: str) -> Request:
        if TrainingJobName not in self.jobs:
            raise refused("ValidationException", "DescribeTrainingJob", "Requested resource not found.")
        return dict(self.jobs[TrainingJobName])

    def _stop_training_job(self, *, TrainingJobName: str) -> Request:
        self.jobs[TrainingJobName]["TrainingJobStatus"] = "Stopped"
        return {}

    def _create_processing_job(self, **request: Any) -> Request:
        name = request["ProcessingJobName"]
        if name in self.processing_jobs:
            raise refused("ResourceInUse", "CreateProcessingJob", f"{name} is in use")
        arn = f"{ARN}processing-job/{name}"
        known = {"ProcessingJobArn": arn, "ProcessingJobStatus": "InProgress"}
        self.processing_jobs[name] = request | known | {"ProcessingStartTime": self._now()}
        return {"ProcessingJobArn": arn}

    def _describe_processing_job(self, *, ProcessingJobName: str) -> Request:
        if ProcessingJobName not in self.processing_jobs:
            raise refused("ValidationException", "DescribeProcessingJob", "Could not find requested job.")
        return dict(self.processing_jobs[ProcessingJobName])

    def _stop_processing_job(self, *, ProcessingJobName: str) -> Request:
        self.processing_jobs[ProcessingJobName]["ProcessingJobStatus"] = "Stopped"
        return {}

    def _create_model(self, **request: Any) -> Request:
        if request["ModelName"] in self.models:
            raise refused("ValidationException", "CreateModel", "Cannot create already existing model")
        self.models[request["ModelName"]] = request | {"CreationTime": self._now()}
        return {}

    def _describe_model(self, *, ModelName: str) -> Request:
        return dict(self._known(self.models, ModelName))

    def _create_endpoint_config(self, **request: Any) -> Request:
        if request["EndpointConfigName"] in self.configs:
            raise refused("ValidationException", "CreateEndpointConfig", "Cannot create already existing")
        self.configs[request["EndpointConfigName"]] = request | {"CreationTime": self._now()}
        return {}

    def _describe_endpoint_config(self, *, EndpointConfigName: str) -> Request:
        return dict(self._known(self.configs, EndpointConfigName))

    def _create_endpoint(self, **request: Any) -> Request:
        name = request["EndpointName"]
        if name in self.endpoints:
            raise refused("ValidationException", "CreateEndpoint", "Cannot create already existing endpoint")
        self.endpoints[name] = {
            "EndpointName": name,
            "EndpointStatus": "Creating",
            "EndpointConfigName": request["EndpointConfigName"],
            "wanted": request["EndpointConfigName"],
            "CreationTime": self._now(),
            "LastModifiedTime": self._moment(),
            "Tags": request["Tags"],
        }
        return {}

    def _update_endpoint(self, **request: Any) -> Request:
        found = self._known(self.endpoints, request["EndpointName"])
        if found["EndpointStatus"] != "InService":
            raise refused("ValidationException", "UpdateEndpoint", "Cannot update in-progress endpoint")
        found |= {"EndpointStatus": "Updating", "wanted": request["EndpointConfigName"]}
        found["LastModifiedTime"] = self._moment()
        return {}

    def _describe_endpoint(self, *, EndpointName: str) -> Request:
        found = dict(self._known(self.endpoints, EndpointName))
        wanted = found.pop("wanted")
        found.pop("Tags")
        variant = {"VariantName": "serving", "CurrentWeight": 1.0, "CurrentInstanceCount": 1}
        if found["EndpointStatus"] == "Updating":
            found["PendingDeploymentSummary"] = {"EndpointConfigName": wanted}
        return found | {"ProductionVariants": [variant]}

    def _delete_endpoint(self, *, EndpointName: str) -> Request:
        del self.endpoints[EndpointName]
        return {}

    def _delete_endpoint_config(self, *, EndpointConfigName: str) -> Request:
        """AWS lets one delete a config in use: its endpoint cannot be changed any more."""
        self._known(self.configs, EndpointConfigName)
        assert EndpointConfigName not in self._in_use(), f"{EndpointConfigName} is in use"
        del self.configs[EndpointConfigName]
        return {}

    def _delete_model(self, *, ModelName: str) -> Request:
        """AWS lets one delete a model that serves: it breaks later."""
        self._known(self.models, ModelName)
        for name in self._in_use():
            variants = self.configs[name]["ProductionVariants"]
            assert ModelName not in {variant["ModelName"] for variant in variants}, f"{ModelName} serves"
        del self.models[ModelName]
        return {}

    def _in_use(self) -> set[str]:
        found = self.endpoints.values()
        return {one[name] for one in found for name in ("EndpointConfigName", "wanted")}

    def _rooms(self) -> dict[str, dict[str, Request]]:
        return {"Endpoint": self.endpoints, "EndpointConfig": self.configs, "Model": self.models}

    def get_paginator(self, operation: str) -> Any:
        """Give all there is as one page."""
        return SimpleNamespace(paginate=lambda **asked: [getattr(self, operation)(**asked)])

    def _list_endpoints(self, **_: Any) -> Request:
        return self._listed("Endpoint")

    def _list_endpoint_configs(self, **_: Any) -> Request:
        return self._listed("EndpointConfig")

    def _list_models(self, **_: Any) -> Request:
        return self._listed("Model")

    def _listed(self, kind: str) -> Request:
        """List whatever was asked for: who asks must look at name and time itself."""
        found = []
        for name, one in self._rooms()[kind].items():
            times = {key: one[key] for key in ("CreationTime", "LastModifiedTime") if key in one}
            found.append({f"{kind}Name": name, f"{kind}Arn": f"{ARN}{IN_ARN[kind]}/{name}"} | times)
        return {f"{kind}s": found}

    def _list_tags(self, *, ResourceArn: str) -> Request:
        within, _, name = ResourceArn.removeprefix(ARN).partition("/")
        (kind,) = (kind for kind, word in IN_ARN.items() if word == within)
        return {"Tags": self._known(self._rooms()[kind], name)["Tags"]}

    def _describe_model_package(self, *, ModelPackageName: str) -> Request:
        return dict(self._known(self.packages, ModelPackageName))

    def _update_model_package(self, *, ModelPackageArn: str, **request: Any) -> Request:
        self._known(self.packages, ModelPackageArn).update(request)
        return {"ModelPackageArn": ModelPackageArn}

    @staticmethod
    def _known(rooms: dict[str, Request], name: str) -> Request:
        if name not in rooms:
            raise refused("ValidationException", "Describe", f'Could not find "{name}".')
        return rooms[name]

    def end_job(self, name: str, status: str = "Completed", reason: str = "") -> None:
        with self._lock:
            if self.jobs[name]["TrainingJobStatus"] == "InProgress":
                ended = {"TrainingJobStatus": status, "FailureReason": reason}
                self.jobs[name] |= ended | {"TrainingEndTime": self._now()}

    def end_processing_job(self, name: str) -> None:
        with self._lock:
            if self.processing_jobs[name]["ProcessingJobStatus"] == "InProgress":
                ended = {"ProcessingJobStatus": "Completed", "ProcessingEndTime": self._now()}
                self.processing_jobs[name] |= ended

    def settle_endpoint(self, name: str, *, rolled_back: bool = False) -> None:
        """End a creation or an update, well or by a rollback that gives no reason."""
        with self._lock:
            found = self.endpoints[name]
            if found["EndpointStatus"] == "Creating":
                found["EndpointStatus"] = "Failed" if rolled_back else "InService"
            elif found["EndpointStatus"] == "Updating":
                found["EndpointStatus"] = "InService"
                serves = "EndpointConfigName" if rolled_back else "wanted"
                found["EndpointConfigName"] = found["wanted"] = found[serves]
            found["LastModifiedTime"] = self._moment()

    def _moment(self) -> datetime:
        """Tell the time of a change, later than that of every change before, as a real clock does."""
        self._changes += 1
        return self._now() + timedelta(microseconds=self._changes)

    def serving(self, name: str) -> str:
        """Name the artifact that answers now."""
        with self._lock:
            config = self.configs[self.endpoints[name]["EndpointConfigName"]]
            model = self.models[config["ProductionVariants"][0]["ModelName"]]
        found: str = _artifact(model)
        return found

    def _invoke_endpoint(self, *, EndpointName: str, ContentType: str, Body: bytes) -> Request:
        del ContentType, Body
        answer = {"predictions": [{"score": score_of(self.serving(EndpointName))}]}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


def _artifact(model: Request) -> Any:
    container = model.get("PrimaryContainer") or model["Containers"][0]
    if "ModelDataUrl" in container:
        return container["ModelDataUrl"]
    return container["ModelDataSource"]["S3DataSource"]["S3Uri"]


def score_of(artifact: str) -> float:
    """What a model answers here: a number that tells models apart."""
    return sum(artifact.encode()) % 997 / 997
