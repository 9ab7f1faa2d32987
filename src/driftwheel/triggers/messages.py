"""What wakes the trigger: S3 and EventBridge events as AWS sends them, and our own short messages."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

IGNORED = re.compile(r"(^|/)(_SUCCESS|_temporary/.*|\.[^/]*|[^/]*\.(crc|tmp|part))$|/$")
"""Markers and half-written files that tools leave beside data; a key that ends with a slash is a folder."""


class Event(BaseModel):
    """A piece of an AWS event: AWS adds fields, so unknown ones are accepted."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Bucket(Event):
    """Which bucket."""

    name: str


class S3Object(Event):
    """Which object version. Keys are raw in EventBridge events; an unversioned bucket names no version."""

    key: str
    size: int = 0
    etag: str = ""
    version_id: str = Field("", alias="version-id")
    sequencer: str = ""


class ObjectCreatedDetail(Event):
    """The detail of ``Object Created``."""

    bucket: Bucket
    object: S3Object


class ObjectCreated(Event):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html."""

    detail_type: Literal["Object Created"] = Field(alias="detail-type")
    time: str
    detail: ObjectCreatedDetail


class DriftDetail(Event):
    """The detail of our ``Drift Detected``."""

    model: str


class DriftDetected(Event):
    """What drift_check sends; the finding itself is in the ledger."""

    detail_type: Literal["Drift Detected"] = Field(alias="detail-type")
    detail: DriftDetail


class Nudge(Event):
    """Ours: look again, at one model or at all."""

    kind: Literal["tick", "run_finished", "reconsider", "manual"]
    model: str | None = None


def parse(body: dict[str, Any]) -> ObjectCreated | DriftDetected | Nudge:
    """Recognise a message; raises ValidationError for anything else, which ends in the dead-letter queue."""
    if "kind" in body:
        return Nudge.model_validate(body)
    if body.get("detail-type") == "Drift Detected":
        return DriftDetected.model_validate(body)
    return ObjectCreated.model_validate(body)


def ignored(key: str) -> bool:
    """Tell whether a key is a marker or a half-written file.

    >>> [ignored(k) for k in ("data/a/", "data/a/_SUCCESS", "data/a/x.csv.tmp", "data/a/x.csv")]
    [True, True, True, False]
    """
    return IGNORED.search(key) is not None
