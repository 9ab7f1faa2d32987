"""What a SageMaker request of ours must always carry (SE-14): no template scanner sees one."""

from collections.abc import Iterator
from typing import Any

from driftwheel.vpc import Vpc

JOINS = frozenset({"CreateTrainingJob", "CreateProcessingJob", "CreateModel"})
"""What starts machines in a network; an endpoint's are in that of its model."""


def faults(operation: str, request: dict[str, Any], vpc: Vpc) -> Iterator[str]:
    """Name every protection the request lacks; ``vpc`` is that of the stack which sends it."""
    tagged = bool(request.get("Tags"))
    network = request.get("NetworkConfig", request).get("VpcConfig")
    inside = operation not in JOINS or network == vpc.config().get("VpcConfig")
    checks = {"tags": tagged, "the stack's VpcConfig": inside} | {
        "CreateTrainingJob": _training,
        "CreateProcessingJob": _processing,
        "CreateModel": _model,
        "CreateEndpointConfig": _config,
        "CreateEndpoint": lambda _: {},
    }[operation](request)
    yield from (f"{operation}: {what} is missing" for what, holds in checks.items() if not holds)


def _training(request: dict[str, Any]) -> dict[str, bool]:
    resources = request["ResourceConfig"]
    return {
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation") is True,
        "EnableInterContainerTrafficEncryption": resources["InstanceCount"] == 1
        or request.get("EnableInterContainerTrafficEncryption") is True,
        "ResourceConfig.VolumeKmsKeyId": bool(resources.get("VolumeKmsKeyId")),
        "OutputDataConfig.KmsKeyId": bool(request["OutputDataConfig"].get("KmsKeyId")),
        "StoppingCondition.MaxRuntimeInSeconds": request.get("StoppingCondition", {}).get(
            "MaxRuntimeInSeconds", 0
        )
        > 0,
    }


def _processing(request: dict[str, Any]) -> dict[str, bool]:
    cluster, network = request["ProcessingResources"]["ClusterConfig"], request.get("NetworkConfig", {})
    return {
        "NetworkConfig.EnableNetworkIsolation": network.get("EnableNetworkIsolation") is True,
        "NetworkConfig.EnableInterContainerTrafficEncryption": cluster["InstanceCount"] == 1
        or network.get("EnableInterContainerTrafficEncryption") is True,
        "ClusterConfig.VolumeKmsKeyId": bool(cluster.get("VolumeKmsKeyId")),
        "ProcessingOutputConfig.KmsKeyId": bool(request.get("ProcessingOutputConfig", {}).get("KmsKeyId")),
        "StoppingCondition.MaxRuntimeInSeconds": request.get("StoppingCondition", {}).get(
            "MaxRuntimeInSeconds", 0
        )
        > 0,
    }


def _model(request: dict[str, Any]) -> dict[str, bool]:
    return {"EnableNetworkIsolation": request.get("EnableNetworkIsolation") is True}


def _config(request: dict[str, Any]) -> dict[str, bool]:
    capture = request.get("DataCaptureConfig")
    return {
        "KmsKeyId": bool(request.get("KmsKeyId")),
        "DataCaptureConfig.KmsKeyId": capture is None or bool(capture.get("KmsKeyId")),
    }
