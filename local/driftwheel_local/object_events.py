"""S3's events as EventBridge gets them: one for each object version created or deleted.

Shape: "Amazon S3 event message structure for EventBridge" (S3 user guide); keys are raw, never URL-encoded.
"""

import secrets
import string
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from driftwheel_local.clock import Clock

DIGITS = 18
_REQUEST_ID_ALPHABET = string.ascii_uppercase + string.digits


class Publisher(Protocol):
    """Where the events go: the event router."""

    account: str

    def publish(self, event: dict[str, Any], bus: str = "default") -> None:
        """Put an AWS service's own event on a bus."""


class Sequencer:
    """Hexadecimal numbers that only grow, also across restarts, as S3's do for one key.

    Of different length they compare when the shorter is padded with zeros on the right:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html. `digits` are
    the lengths, taken in turns: AWS's are of 18 digits wherever we saw one, and not promised to be.
    """

    def __init__(self, clock: Clock) -> None:
        self.digits: Sequence[int] = (DIGITS,)
        self._clock = clock
        self._last = 0
        self._turn = 0
        self._lock = threading.Lock()

    def next(self) -> str:
        """Answer the next number: seconds in eight digits after `00`, then microseconds in eight."""
        moment = self._clock.now()
        number = (int(moment.timestamp()) << 32) + moment.microsecond
        with self._lock:
            digits = self.digits[self._turn % len(self.digits)]
            self._turn += 1
            left_out = 16 ** max(0, DIGITS - digits)
            # up to a number that ends in as many zeros as are left out
            self._last = -(-max(self._last + 1, number) // left_out) * left_out
            return f"00{self._last:016X}"[:digits].ljust(digits, "0")


class ObjectEvents:
    """Tells EventBridge of created and deleted objects."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self.sequencer = Sequencer(clock)

    def created(
        self, bucket: str, key: str, *, size: int, etag: str, version_id: str | None, reason: str
    ) -> None:
        """Publish 'Object Created'.

        `reason` is PutObject, POST Object, CopyObject or CompleteMultipartUpload.
        """
        found = {"key": key, "size": size, "etag": etag.strip('"')}
        self._publish("Object Created", bucket, found, version_id, {"reason": reason})

    def deleted(
        self, bucket: str, key: str, *, etag: str | None, version_id: str | None, marker: bool
    ) -> None:
        """Publish 'Object Deleted'; with `marker` a delete marker was put before the versions."""
        found = {"key": key} | ({} if etag is None else {"etag": etag.strip('"')})
        kind = "Delete Marker Created" if marker else "Permanently Deleted"
        rest = {"reason": "DeleteObject", "deletion-type": kind}
        self._publish("Object Deleted", bucket, found, version_id, rest)

    def _publish(
        self,
        detail_type: str,
        bucket: str,
        found: dict[str, Any],
        version_id: str | None,
        rest: dict[str, str],
    ) -> None:
        versioned = {} if version_id in {None, "null"} else {"version-id": version_id}
        detail = {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {**found, **versioned, "sequencer": self.sequencer.next()},
            "request-id": "".join(secrets.choice(_REQUEST_ID_ALPHABET) for _ in range(16)),
            "requester": self._publisher.account,
            "source-ip-address": "127.0.0.1",
            **rest,
        }
        self._publisher.publish(
            {
                "source": "aws.s3",
                "detail-type": detail_type,
                "resources": [f"arn:aws:s3:::{bucket}"],
                "detail": detail,
            }
        )
