"""The model registry: groups, versions, approval, and an event for each change."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.listing import page
from driftwheel_local.sagemaker.refusals import Refusal, invalid
from driftwheel_local.sagemaker.site import Site, read_records, write_json

DETAIL_TYPE = "SageMaker Model Package State Change"
_EVENT_MEMBERS = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "ApprovalDescription",
    "MetadataProperties",
    "ModelMetrics",
    "DriftCheckBaselines",
    "CustomerMetadataProperties",
    "ModelLifeCycle",
)
_TIMES = ("CreationTime", "LastModifiedTime")
_UPDATABLE = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class Registry:
    """Model package groups with their versions; one file per group."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._lock = threading.RLock()
        self._groups: dict[str, dict[str, Any]] = {}

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations."""
        return {
            "CreateModelPackageGroup": self.create_group,
            "DescribeModelPackageGroup": self.describe_group,
            "ListModelPackageGroups": self.list_groups,
            "DeleteModelPackageGroup": self.delete_group,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "ListModelPackages": self.listing,
            "UpdateModelPackage": self.update,
            "DeleteModelPackage": self.delete,
        }

    def create_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create a group with an unused name."""
        name = request["ModelPackageGroupName"]
        arn = self.site.arn("model-package-group", name)
        with self._lock:
            if name in self._groups:
                raise invalid(f"Model Package Group already exists: {arn}")
            self._groups[name] = {
                **request,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupStatus": "Completed",
                "CreationTime": self.site.now(),
                "CreatedBy": {},
                "LastVersion": 0,
                "Tokens": {},
                "Versions": {},
            }
            self._save(name)
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one group."""
        with self._lock:
            return _selected("DescribeModelPackageGroup", self._group(request["ModelPackageGroupName"]))

    def list_groups(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one page of groups."""
        with self._lock:
            groups = list(self._groups.values())
        return page("ListModelPackageGroups", groups, request, name="ModelPackageGroupName")

    def delete_group(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Delete an empty group."""
        with self._lock:
            group = self._group(request["ModelPackageGroupName"])
            if group["Versions"]:
                raise Refusal(
                    "ConflictException",
                    f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted: it still has "
                    "model packages",
                )
            del self._groups[group["ModelPackageGroupName"]]
            self._path(group["ModelPackageGroupName"]).unlink()
        return {}

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add a version to a group; the same ClientToken answers the same version."""
        if "ModelPackageGroupName" not in request or "ModelPackageName" in request:
            raise invalid("The local registry keeps versions of a ModelPackageGroupName only")
        if "Tags" in request:
            raise invalid("Tags cannot be given to a model package version; use CustomerMetadataProperties")
        if "InferenceSpecification" not in request and "SourceUri" not in request:
            raise invalid("InferenceSpecification or SourceUri must be specified")
        with self._lock:
            group = self._group(request["ModelPackageGroupName"])
            name = group["ModelPackageGroupName"]
            token = request.get("ClientToken")
            if token in group["Tokens"]:
                arn: str = group["Tokens"][token]
                return {"ModelPackageArn": arn}
            group["LastVersion"] += 1
            version = group["LastVersion"]
            arn = f"{self.site.arn('model-package', name)}/{version}"
            now = self.site.now()
            record = {
                "CertifyForMarketplace": False,
                "ModelApprovalStatus": "PendingManualApproval",
                **{key: value for key, value in request.items() if key != "ClientToken"},
                "ModelPackageVersion": version,
                "ModelPackageArn": arn,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            group["Versions"][str(version)] = record
            if token:
                group["Tokens"][token] = arn
            self._save(name)
            detail = _detail(record, None)
        self.site.event(DETAIL_TYPE, arn, detail)
        return {"ModelPackageArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one version by ARN."""
        with self._lock:
            return _selected("DescribeModelPackage", self.find(request["ModelPackageName"]))

    def listing(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one page of versions, of one group when it is named."""
        with self._lock:
            if "ModelPackageGroupName" in request:
                groups = [self._group(request["ModelPackageGroupName"])]
            else:
                groups = list(self._groups.values())
            versions = [record for group in groups for record in group["Versions"].values()]
        approval = request.get("ModelApprovalStatus")
        kept = [record for record in versions if approval in (None, record["ModelApprovalStatus"])]
        return page("ListModelPackages", kept, request, name="ModelPackageArn")

    def update(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a version and announce which."""
        with self._lock:
            record = self.find(request["ModelPackageArn"])
            before = dict(record)
            record |= {name: request[name] for name in _UPDATABLE if name in request}
            properties = {
                **record.get("CustomerMetadataProperties", {}),
                **request.get("CustomerMetadataProperties", {}),
            }
            for name in request.get("CustomerMetadataPropertiesToRemove", []):
                properties.pop(name, None)
            if properties or "CustomerMetadataProperties" in record:
                record["CustomerMetadataProperties"] = properties
            if "AdditionalInferenceSpecificationsToAdd" in request:
                record["AdditionalInferenceSpecifications"] = [
                    *record.get("AdditionalInferenceSpecifications", []),
                    *request["AdditionalInferenceSpecificationsToAdd"],
                ]
            changed = sorted(name for name in record if record[name] != before.get(name))
            record["LastModifiedTime"] = self.site.now()
            self._save(record["ModelPackageGroupName"])
            detail = _detail(record, changed)
        if changed:
            self.site.event(DETAIL_TYPE, record["ModelPackageArn"], detail)
        return {"ModelPackageArn": record["ModelPackageArn"]}

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Delete a version; its number is never used again."""
        with self._lock:
            record = self.find(request["ModelPackageName"])
            group = self._groups[record["ModelPackageGroupName"]]
            del group["Versions"][str(record["ModelPackageVersion"])]
            self._save(record["ModelPackageGroupName"])
        return {}

    def find(self, arn: str) -> dict[str, Any]:
        """Answer a version's record or raise AWS's ValidationException."""
        with self._lock:
            for group in self._groups.values():
                for record in group["Versions"].values():
                    if record["ModelPackageArn"].lower() == arn.lower():
                        return cast("dict[str, Any]", record)
        raise invalid(f"ModelPackage {arn} does not exist.")

    def tagged(self) -> dict[str, dict[str, Any]]:
        """Answer every group's record by ARN, for the tagging operations (versions carry no tags)."""
        with self._lock:
            return {group["ModelPackageGroupArn"]: group for group in self._groups.values()}

    def save_tags(self, arn: str) -> None:
        """Write the group of one ARN after its tags changed."""
        with self._lock:
            for name, group in self._groups.items():
                if group["ModelPackageGroupArn"] == arn:
                    self._save(name)

    def recover(self) -> None:
        """Read the groups of an earlier life."""
        for path, record in read_records(self.site.folder("registry"), "*.json"):
            self._groups[path.stem] = record

    def _group(self, name_or_arn: str) -> dict[str, Any]:
        name = name_or_arn.rsplit("/", 1)[-1]
        for known, group in self._groups.items():
            if known == name or group["ModelPackageGroupArn"] == name_or_arn:
                return group
        raise invalid(f"Model Package Group {self.site.arn('model-package-group', name)} does not exist.")

    def _save(self, name: str) -> None:
        write_json(self._path(name), self._groups[name])

    def _path(self, name: str) -> Any:
        return self.site.folder("registry") / f"{name}.json"


def _selected(operation: str, record: Mapping[str, Any]) -> dict[str, Any]:
    shape = validation.operation("sagemaker", operation).output_shape
    answer: dict[str, Any] = validation.select(shape, record)
    return answer


def _detail(record: Mapping[str, Any], changed: list[str] | None) -> dict[str, Any]:
    """Answer an event's detail: ISO times, and the changed fields when it is an update (aws.md 1.5)."""
    detail = {name: record[name] for name in _EVENT_MEMBERS if name in record}
    for name in _TIMES:
        detail[name] = datetime.fromtimestamp(record[name], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if changed is not None:
        detail["UpdatedModelPackageFields"] = changed
    return detail
