"""One captured request in the form SageMaker's DataCapture writes, and the key of a file of them.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

JSON_TYPES = ["application/json"]
CSV_TYPES = ["text/csv"]
"""Captured as text only when listed here, without parameters such as charset; anything else is BASE64."""

OCTETS = "application/octet-stream"
"""What SageMaker takes a body for that comes without a content type."""


@dataclass(frozen=True)
class Exchange:
    """One request that an endpoint answered: bodies as sent, their content types, and when it was asked."""

    request: bytes
    request_type: str
    response: bytes
    response_type: str
    inference_id: str
    at: datetime


def capture_line(exchange: Exchange, event_id: str = "") -> bytes:
    """Write one exchange as a line of JSONL, newline included; ``event_id`` is made up when not given."""
    metadata = {
        "eventId": event_id or str(uuid.uuid4()),
        "inferenceId": exchange.inference_id,
        "inferenceTime": exchange.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    data = {
        "endpointInput": _side("INPUT", exchange.request, exchange.request_type),
        "endpointOutput": _side("OUTPUT", exchange.response, exchange.response_type),
    }
    document = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def capture_key(prefix: str, endpoint: str, variant: str, first: datetime, name: str) -> str:
    """Give the key of a file whose first request was asked at ``first``; all its requests share the hour.

    >>> at = datetime(2026, 2, 14, 17, 25, 49, 7000, UTC)
    >>> capture_key("capture/rides", "dw-rides", "serving", at, "ab")
    'capture/rides/dw-rides/serving/2026/02/14/17/25-49-007-ab.jsonl'
    """
    first = first.astimezone(UTC)
    stamp = f"{first:%Y/%m/%d/%H/%M-%S}-{first.microsecond // 1000:03d}"
    return f"{prefix}/{endpoint}/{variant}/{stamp}-{name}.jsonl"


def _side(mode: str, body: bytes, content_type: str) -> dict[str, Any]:
    encoding, text = _encode(body, content_type)
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}


def _encode(body: bytes, content_type: str) -> tuple[str, str]:
    media_type = content_type.partition(";")[0].strip().lower()
    for encoding, types in (("CSV", CSV_TYPES), ("JSON", JSON_TYPES)):
        if media_type in types:
            try:
                return encoding, body.decode("utf-8")
            except UnicodeDecodeError:
                break
    return "BASE64", base64.b64encode(body).decode("ascii")
