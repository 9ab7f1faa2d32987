"""Metrics that a function prints: CloudWatch's embedded metric format (EMF), turned into metric data.

Specification: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
CloudWatch_Embedded_Metric_Format_Specification.html. The limits below stand there.
"""

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MARK = '"_aws"'
"""A log line without it is never parsed."""


class EmfError(ValueError):
    """When a line calls itself EMF and breaks the specification: CloudWatch would make no metric of it."""


class _Lenient(BaseModel):
    # AWS ignores members it does not know.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Metric(_Lenient):
    name: Annotated[str, Field(alias="Name", min_length=1, max_length=1024)]
    unit: Annotated[str, Field(alias="Unit")] = "None"
    resolution: Annotated[int, Field(alias="StorageResolution")] = 60


class _Directive(_Lenient):
    namespace: Annotated[str, Field(alias="Namespace", min_length=1, max_length=255)]
    dimensions: Annotated[
        list[Annotated[list[str], Field(max_length=30)]], Field(alias="Dimensions", min_length=1)
    ]
    metrics: Annotated[list[_Metric], Field(alias="Metrics", max_length=100)]


class _Metadata(_Lenient):
    timestamp: Annotated[int, Field(alias="Timestamp", ge=0)]
    directives: Annotated[list[_Directive], Field(alias="CloudWatchMetrics")]


def metric_data(line: str) -> dict[str, list[dict[str, Any]]]:
    """Answer PutMetricData's MetricData per namespace for one log line; nothing when it is no EMF.

    Raises EmfError naming the member at fault.
    """
    if MARK not in line:
        return {}
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(document, dict) or "_aws" not in document:
        return {}
    try:
        metadata = _Metadata.model_validate(document["_aws"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise EmfError(f"_aws.{place}: {first['msg']}") from error
    data: dict[str, list[dict[str, Any]]] = defaultdict(list)
    at = datetime.fromtimestamp(metadata.timestamp / 1000, UTC)
    for directive in metadata.directives:
        for names in directive.dimensions:
            dimensions = [{"Name": name, "Value": _dimension(document, name)} for name in names]
            for metric in directive.metrics:
                datum = {"MetricName": metric.name, "Dimensions": dimensions, "Timestamp": at}
                datum |= {"Unit": metric.unit, "StorageResolution": metric.resolution}
                data[directive.namespace].append(datum | _values(document, metric.name))
    return dict(data)


def _dimension(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise EmfError(f"dimension {name}: {value!r} is no text at the top of the document")
    return value


def _values(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    values: list[Any] = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 100:
        raise EmfError(f"metric {name}: {len(values)} values; 1 to 100 are allowed")
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
        raise EmfError(f"metric {name}: {value!r} is no number at the top of the document")
    return {"Value": float(values[0])} if len(values) == 1 else {"Values": [float(one) for one in values]}
