"""What wakes the trigger: S3 and EventBridge events as AWS sends them, and our own short messages."""

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote_plus

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

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


def decoded(key: str) -> str:
    """Read a key as S3's own notifications write it; raises ValueError where it is no UTF-8.

    >>> decoded("data/a+b%2Bc%252Bd.csv"), decoded("data/Z%C3%BCrich.csv")
    ('data/a b+c%2Bd.csv', 'data/Zürich.csv')
    """
    return unquote_plus(key, errors="strict")


class NotifiedObject(Event):
    """An object version in S3's own words: the key is URL-encoded, an unversioned bucket's version null."""

    key: Annotated[str, AfterValidator(decoded)]
    size: int = 0
    etag: str = Field("", alias="eTag")
    version_id: Annotated[str, BeforeValidator(lambda given: given or "")] = Field("", alias="versionId")
    sequencer: str = ""


class NotifiedDetail(Event):
    """What a record says of S3."""

    bucket: Bucket
    object: NotifiedObject


class Record(Event):
    """One object that came; a removal is refused, as ``Object Deleted`` is."""

    source: Literal["aws:s3"] = Field(alias="eventSource")
    name: str = Field(alias="eventName", pattern=r"^ObjectCreated:")
    time: str = Field(alias="eventTime")
    s3: NotifiedDetail

    def created(self) -> ObjectCreated:
        """Say the same as EventBridge would: both routes name one object version alike."""
        found = S3Object(**self.s3.object.model_dump())
        detail = ObjectCreatedDetail(bucket=self.s3.bucket, object=found)
        return ObjectCreated(detail_type="Object Created", time=self.time, detail=detail)


class Notification(Event):
    """S3's own event notification, as a queue gets it from the bucket; one may carry several records.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html. A record that
    is refused refuses its message, before any of it is entered.
    """

    records: tuple[Record, ...] = Field(alias="Records", min_length=1)


class NotificationTest(Event):
    """What S3 sends once to a queue that is to get its notifications: it says nothing."""

    event: Literal["s3:TestEvent"] = Field(alias="Event")


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


Message = ObjectCreated | Notification | NotificationTest | DriftDetected | Nudge


def batch(event: dict[str, Any]) -> dict[str, Any]:
    """Take the queue's batch as it is, and S3's own event, handed over without a queue, as one message.

    `sam local generate-event s3 put` prints such an event.
    """
    if any(record.get("eventSource") == "aws:s3" for record in event["Records"]):
        return {"Records": [{"messageId": "s3", "body": json.dumps(event), "eventSource": "aws:sqs"}]}
    return event


def parse(body: dict[str, Any]) -> Message:
    """Recognise a message; raises ValidationError for anything else, which ends in the dead-letter queue."""
    if "kind" in body:
        return Nudge.model_validate(body)
    if "Records" in body:
        return Notification.model_validate(body)
    if "Event" in body:
        return NotificationTest.model_validate(body)
    if body.get("detail-type") == "Drift Detected":
        return DriftDetected.model_validate(body)
    return ObjectCreated.model_validate(body)


def ignored(key: str) -> bool:
    """Tell whether a key is a marker or a half-written file.

    >>> [ignored(k) for k in ("data/a/", "data/a/_SUCCESS", "data/a/x.csv.tmp", "data/a/x.csv")]
    [True, True, True, False]
    """
    return IGNORED.search(key) is not None
