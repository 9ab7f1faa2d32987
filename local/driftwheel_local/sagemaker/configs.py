"""Models and endpoint configs: immutable records with AWS's checks on what they refer to."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.listing import page
from driftwheel_local.sagemaker.objects import DataFault, split_uri
from driftwheel_local.sagemaker.refusals import invalid
from driftwheel_local.sagemaker.site import Site, read_records, write_json

CONFIG_DETAIL_TYPE = "SageMaker Endpoint Config State Change"
_MODEL_COPY = ("Image", "ModelDataUrl")


class Shelf:
    """Records of one kind by name, each a JSON file."""

    def __init__(self, site: Site, kind: str, noun: str, folder: str) -> None:
        self.site = site
        self.kind = kind
        self.noun = noun
        self._folder = folder
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Any]] = {}

    def put(self, name: str, record: dict[str, Any]) -> None:
        """Store a new record; refuse a used name."""
        with self._lock:
            if name in self._records:
                arn = self.site.arn(self.kind, name)
                raise invalid(f'Cannot create already existing {self.noun} "{arn}".')
            self._records[name] = record
            self.save(name)

    def find(self, name: str) -> dict[str, Any]:
        """Answer a record or raise AWS's ValidationException."""
        with self._lock:
            if name not in self._records:
                raise invalid(f'Could not find {self.noun} "{self.site.arn(self.kind, name)}".')
            return self._records[name]

    def remove(self, name: str) -> dict[str, Any]:
        """Forget a record and answer it."""
        with self._lock:
            record = self.find(name)
            del self._records[name]
            self._path(name).unlink()
            return record

    def save(self, name: str) -> None:
        """Write one record to disk."""
        write_json(self._path(name), self._records[name])

    def records(self) -> list[dict[str, Any]]:
        """Answer every record."""
        with self._lock:
            return list(self._records.values())

    def recover(self) -> None:
        """Read the records of an earlier life."""
        for path, record in read_records(self.site.folder(self._folder), "*.json"):
            self._records[path.stem] = record

    def _path(self, name: str) -> Any:
        return self.site.folder(self._folder) / f"{name}.json"


class Models:
    """CreateModel and its kin."""

    def __init__(self, site: Site, package: Callable[[str], Mapping[str, Any]]) -> None:
        self.site = site
        self.shelf = Shelf(site, "model", "model", "models")
        self._package = package

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations."""
        return {
            "CreateModel": self.create,
            "DescribeModel": self.describe,
            "ListModels": lambda request: page("ListModels", self.shelf.records(), request, name="ModelName"),
            "DeleteModel": self.delete,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store a model; its containers are resolved and its artefacts must exist."""
        if ("PrimaryContainer" in request) == ("Containers" in request):
            raise invalid("Exactly one of PrimaryContainer and Containers must be specified")
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn must be specified")
        record = dict(request)
        if "PrimaryContainer" in request:
            record["PrimaryContainer"] = self._container(request["PrimaryContainer"])
        else:
            record["Containers"] = [self._container(item) for item in request["Containers"]]
        arn = self.site.arn("model", request["ModelName"])
        record = {"EnableNetworkIsolation": False, **record}
        record |= {"ModelArn": arn, "CreationTime": self.site.now()}
        self.shelf.put(request["ModelName"], record)
        return {"ModelArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one model."""
        return _described("DescribeModel", self.shelf.find(request["ModelName"]))

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Delete a model; AWS lets it go even while an endpoint uses it."""
        self.shelf.remove(request["ModelName"])
        return {}

    def _container(self, container: Mapping[str, Any]) -> dict[str, Any]:
        resolved = {"Mode": "SingleModel", "Environment": {}, **container}
        if "ModelPackageName" in container:
            if "Image" in container or "ModelDataUrl" in container:
                raise invalid("ModelPackageName cannot be combined with Image or ModelDataUrl")
            package = self._package(container["ModelPackageName"])
            source = package["InferenceSpecification"]["Containers"][0]
            resolved |= {name: source[name] for name in _MODEL_COPY if name in source}
            resolved["Environment"] = {**source.get("Environment", {}), **resolved["Environment"]}
        elif "Image" not in container:
            raise invalid("A container must have an Image or a ModelPackageName")
        url = resolved.get("ModelDataUrl")
        if url is not None:
            self._must_exist(url)
        return resolved

    def _must_exist(self, url: str) -> None:
        try:
            bucket, key = split_uri(url)
            self.site.s3.head_object(Bucket=bucket, Key=key)
        except (ClientError, DataFault) as error:
            raise invalid(f"Could not find model data at {url}.") from error


class EndpointConfigs:
    """CreateEndpointConfig and its kin."""

    def __init__(self, site: Site, models: Models) -> None:
        self.site = site
        self.shelf = Shelf(site, "endpoint-config", "endpoint configuration", "endpoint-configs")
        self._models = models

    def key_of(self, name: str) -> str | None:
        """Answer the KMS key of a config's volumes; None without one, or without the config."""
        found = [each for each in self.shelf.records() if each["EndpointConfigName"] == name]
        return found[0].get("KmsKeyId") if found else None

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations."""
        return {
            "CreateEndpointConfig": self.create,
            "DescribeEndpointConfig": lambda request: _described(
                "DescribeEndpointConfig", self.shelf.find(request["EndpointConfigName"])
            ),
            "ListEndpointConfigs": lambda request: page(
                "ListEndpointConfigs", self.shelf.records(), request, name="EndpointConfigName"
            ),
            "DeleteEndpointConfig": self.delete,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store an endpoint config whose variants and models are sound."""
        for member in ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants"):
            if member in request:
                raise invalid(f"{member} does not run in the local runtime; it needs AWS")
        variants = request["ProductionVariants"]
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) != len(names):
            raise invalid("Production variant names must be unique within an endpoint configuration")
        checked = [self._variant(variant) for variant in variants]
        serverless = any("ServerlessConfig" in variant for variant in variants)
        capture = request.get("DataCaptureConfig", {})
        if serverless and (capture.get("EnableCapture") or len(variants) > 1):
            raise invalid("A serverless endpoint has one variant and no data capture")
        arn = self.site.arn("endpoint-config", request["EndpointConfigName"])
        record = {"EnableNetworkIsolation": False, **request, "ProductionVariants": checked}
        record |= {"EndpointConfigArn": arn, "CreationTime": self.site.now()}
        self.shelf.put(request["EndpointConfigName"], record)
        members = ("EndpointConfigName", "EndpointConfigArn", "ProductionVariants", "DataCaptureConfig")
        detail = {name: record[name] for name in members if name in record}
        detail["CreationTime"] = int(record["CreationTime"] * 1000)
        detail["Tags"] = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
        self.site.event(CONFIG_DETAIL_TYPE, arn, detail)
        return {"EndpointConfigArn": arn}

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Delete a config; AWS lets it go even while an endpoint uses it, and a rollback then fails."""
        self.shelf.remove(request["EndpointConfigName"])
        return {}

    def _variant(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        name = variant["VariantName"]
        if "ModelName" not in variant:
            raise invalid(f"Variant {name}: inference components do not run here; give a ModelName")
        self._models.shelf.find(variant["ModelName"])
        serverless = "ServerlessConfig" in variant
        if serverless == ("InstanceType" in variant):
            raise invalid(f"Variant {name} must have either ServerlessConfig or InstanceType")
        if not serverless and "InitialInstanceCount" not in variant:
            raise invalid(f"Variant {name} must have InitialInstanceCount")
        return {"InitialVariantWeight": 1.0, **variant}


def _described(operation: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shape = validation.operation("sagemaker", operation).output_shape
    answer: dict[str, Any] = validation.select(shape, record)
    return answer
