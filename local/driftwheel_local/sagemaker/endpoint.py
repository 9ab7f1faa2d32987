"""One endpoint: its record, its status events, and the picture DescribeEndpoint gives of it."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftwheel_local.sagemaker.hosting import Fleet, Variant
from driftwheel_local.sagemaker.jobs import Limits
from driftwheel_local.sagemaker.site import Site, write_json
from driftwheel_local.sagemaker.traffic import Traffic

DETAIL_TYPE = "SageMaker Endpoint State Change"
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def event_status(status: str) -> str:
    """Answer how events spell an API status: `InService` is `IN_SERVICE` there (aws.md 1.4)."""
    return _WORDS.sub("_", status).upper()


class Endpoint:
    """State of one endpoint; `fleet` is the one of its present config, `pending` the one being rolled out."""

    def __init__(self, site: Site, limits: Limits, record: dict[str, Any]) -> None:
        self.site = site
        self._limits = limits
        self.record = record
        self.traffic = Traffic()
        self.fleet: Fleet | None = None
        self.pending: Fleet | None = None
        self.lock = threading.RLock()

    @property
    def name(self) -> str:
        """Answer the endpoint's name, as it was created."""
        name: str = self.record["EndpointName"]
        return name

    @property
    def folder(self) -> Path:
        """Answer the endpoint's folder."""
        return self.site.folder("endpoints", self.name)

    def build_fleet(
        self, config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]], fleet_id: str
    ) -> Fleet:
        """Answer a fleet, not started, below the endpoint's folder."""
        return Fleet(self.site, self.name, self.folder / fleet_id, config, models)

    def set(self, status: str, **members: Any) -> None:
        """Enter a status, store it and announce it; a member set to None is removed."""
        with self.lock:
            self.record |= {"EndpointStatus": status, "LastModifiedTime": self.site.now(), **members}
            self.record = {name: value for name, value in self.record.items() if value is not None}
            self.save()
            detail = self._detail()
        spelt = {"event": event_status(status), "api": status}
        for spelling in self._limits.endpoint_spellings:
            told = {**detail, "EndpointStatus": spelt[spelling]}
            self.site.event(DETAIL_TYPE, self.record["EndpointArn"], told)

    def stage(self, stage: str, message: str) -> None:
        """Note the deployment stage (VariantStatus) of every pending variant."""
        with self.lock:
            status = {"Status": stage, "StatusMessage": message, "StartTime": self.site.now()}
            self.record["PendingVariantStatus"] = [status]

    def save(self) -> None:
        """Write the record to disk."""
        write_json(self.folder / "endpoint.json", self.record)

    def description(self) -> dict[str, Any]:
        """Answer DescribeEndpoint's content (and a little more, which the caller cuts off)."""
        with self.lock:
            answer = {**self.record, **self._fleet_members()}
            capture = (self.record.get("Config") or {}).get("DataCaptureConfig")
            if capture and self.fleet is not None:
                answer["DataCaptureConfig"] = {
                    "EnableCapture": capture.get("EnableCapture", False),
                    "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
                    "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                    "DestinationS3Uri": capture["DestinationS3Uri"],
                    "KmsKeyId": capture.get("KmsKeyId", ""),
                }
            return answer

    def _fleet_members(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self.fleet is not None:
            members["ProductionVariants"] = [self._summary(item) for item in self.fleet.variants.values()]
        if self.pending is not None:
            status = self.record.get("PendingVariantStatus", [])
            members["PendingDeploymentSummary"] = {
                "EndpointConfigName": self.pending.config["EndpointConfigName"],
                "StartTime": self.record["DeploymentStartTime"],
                "ProductionVariants": [
                    {**self._summary(item), "InstanceType": item.instance_type, "VariantStatus": status}
                    for item in self.pending.variants.values()
                ],
            }
        return members

    def _summary(self, variant: Variant) -> dict[str, Any]:
        image = variant.image if "PrimaryContainer" in variant.model else ""
        return {
            "VariantName": variant.name,
            "DeployedImages": [
                {
                    "SpecifiedImage": image,
                    "ResolvedImage": image,
                    "ResolutionTime": self.record["CreationTime"],
                }
            ],
            "CurrentWeight": float(variant.weight),
            "DesiredWeight": float(variant.weight),
            "CurrentInstanceCount": sum(host.is_alive() for host in list(variant.hosts)),
            "DesiredInstanceCount": variant.wanted,
        }

    def _detail(self) -> dict[str, Any]:
        """Answer an event's detail but for the status: times are epoch milliseconds as floats, tags a map."""
        variants = (self.record.get("Config") or {}).get("ProductionVariants", [])
        detail: dict[str, Any] = {
            "EndpointName": self.name,
            "EndpointArn": self.record["EndpointArn"],
            "EndpointConfigName": self.record["EndpointConfigName"],
            "ProductionVariants": [
                {
                    "VariantName": variant["VariantName"],
                    "DesiredWeight": float(variant["InitialVariantWeight"]),
                    "DesiredInstanceCount": float(variant.get("InitialInstanceCount", 1)),
                }
                for variant in variants
            ],
            "CreationTime": float(int(self.record["CreationTime"] * 1000)),
            "LastModifiedTime": float(int(self.record["LastModifiedTime"] * 1000)),
            "Tags": {tag["Key"]: tag["Value"] for tag in self.record.get("Tags", [])},
        }
        if "FailureReason" in self.record:
            detail["FailureReason"] = self.record["FailureReason"]
        return detail
