"""Data capture: SageMaker's JSONL records of what an endpoint was asked and answered (aws.md 2.5)."""

import base64
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.sagemaker.objects import join_uri, split_uri
from driftwheel_local.sagemaker.site import Site
from driftwheel_local.sagemaker.traffic import EvenSequence


class Capture:
    """Buffers records of every endpoint and writes them to S3 in batches."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._samples: dict[str, EvenSequence] = defaultdict(EvenSequence)

    def offer(
        self,
        endpoint: str,
        variant: str,
        config: Mapping[str, Any] | None,
        request: tuple[bytes, str],
        response: tuple[bytes, str],
        inference_id: str | None,
    ) -> None:
        """Take one successful invocation (body, content type each way) if the config samples it."""
        if not config or not config.get("EnableCapture"):
            return
        with self._lock:
            sample = self._samples[endpoint]
        if sample.next() * 100 >= config["InitialSamplingPercentage"]:
            return
        instant = datetime.fromtimestamp(self._site.now(), UTC)
        text = json.dumps(_record(config, request, response, inference_id, instant), separators=(",", ":"))
        hour = instant.strftime("%Y/%m/%d/%H")
        prefix = join_uri(config["DestinationS3Uri"], endpoint, variant, hour)
        with self._lock:
            self._lines[prefix].append(text)

    def flush(self) -> None:
        """Write every buffered record; what cannot be written stays buffered and the error is raised."""
        with self._flushing:
            with self._lock:
                batches, self._lines = dict(self._lines), defaultdict(list)
            for prefix in list(batches):
                bucket, key = split_uri(f"{prefix}/{uuid.uuid4()}.jsonl")
                body = "".join(f"{line}\n" for line in batches[prefix]).encode()
                try:
                    self._site.s3.put_object(Bucket=bucket, Key=key, Body=body)
                except (ClientError, BotoCoreError):
                    with self._lock:
                        for name, lines in batches.items():
                            self._lines[name] = lines + self._lines[name]
                    raise
                del batches[prefix]


def _record(
    config: Mapping[str, Any],
    request: tuple[bytes, str],
    response: tuple[bytes, str],
    inference_id: str | None,
    instant: datetime,
) -> dict[str, Any]:
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    data: dict[str, Any] = {}
    for name, mode, (body, content_type) in (
        ("endpointInput", "Input", request),
        ("endpointOutput", "Output", response),
    ):
        if modes & {mode, "InputAndOutput"}:
            encoding, text = _encode(config.get("CaptureContentTypeHeader", {}), body, content_type)
            data[name] = {
                "observedContentType": content_type,
                "mode": mode.upper(),
                "data": text,
                "encoding": encoding,
            }
    metadata = {"eventId": str(uuid.uuid4())}
    if inference_id is not None:
        metadata["inferenceId"] = inference_id
    metadata["inferenceTime"] = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _encode(header: Mapping[str, Any], body: bytes, content_type: str) -> tuple[str, str]:
    """Answer (encoding, text): BASE64 unless the type, without its parameters, is listed."""
    media_type = content_type.partition(";")[0].strip().lower()
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if media_type in {listed.lower() for listed in header.get(member, [])}:
            try:
                return encoding, body.decode("utf-8")
            except UnicodeDecodeError:
                break
    return "BASE64", base64.b64encode(body).decode("ascii")
