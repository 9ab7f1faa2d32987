"""What every part of the SageMaker world stands on: place, time, names, and the local AWS around it."""

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from driftwheel_local.clock import Clock

_SLICE_SECONDS = 0.05
LOCAL_CREDENTIAL = "local"  # what every client of the local runtime signs with; nothing checks it


@dataclass
class Site:
    """The injected surroundings; `time_scale` multiplies modelled delays, never a real process's limits."""

    root: Path
    clock: Clock
    publish: Callable[[dict[str, Any]], None]
    alarm_states: Callable[[list[str]], dict[str, str]]
    put_metric: Callable[..., None]
    time_scale: float
    endpoint_url: Callable[[], str]
    account: str = "123456789012"
    region: str = "us-east-1"
    closing: threading.Event = field(default_factory=threading.Event)

    def now(self) -> float:
        """Answer the AWS-visible instant as epoch seconds with milliseconds."""
        return round(self.clock.now().timestamp(), 3)

    def pause(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Let `seconds` of modelled time pass; answer whether `stop` or closing interrupted it."""
        end = self.clock.monotonic() + seconds * self.time_scale
        while not self.closing.is_set() and not (stop and stop.is_set()):
            rest = end - self.clock.monotonic()
            if rest <= 0:
                return False
            # The clock can watch one event only, so a stop is looked for between slices.
            self.clock.wait(min(rest, _SLICE_SECONDS) if stop else rest, self.closing)
        return True

    def arn(self, kind: str, name: str) -> str:
        """Answer the ARN of a resource; SageMaker lower-cases the name in it (aws.md 1.4)."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def folder(self, *parts: str) -> Path:
        """Answer an existing folder below ROOT/sagemaker."""
        path = self.root.joinpath("sagemaker", *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def event(self, detail_type: str, arn: str, detail: dict[str, Any]) -> None:
        """Publish one of SageMaker's own events; the router adds id, time, account and region."""
        self.publish(
            {"source": "aws.sagemaker", "detail-type": detail_type, "detail": detail, "resources": [arn]}
        )

    @cached_property
    def s3(self) -> Any:
        """Answer a client of the local S3, in the role's stead."""
        return self._client("s3")

    @cached_property
    def logs(self) -> Any:
        """Answer a client of the local CloudWatch Logs."""
        return self._client("logs")

    def _client(self, service: str) -> Any:
        make: Any = boto3.client  # one overload per service: the name is only known here
        return make(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url(),
            aws_access_key_id=LOCAL_CREDENTIAL,
            aws_secret_access_key=LOCAL_CREDENTIAL,
            config=Config(retries={"total_max_attempts": 3}, max_pool_connections=16),
        )


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically, so that a crash leaves the old or the new content, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read_records(folder: Path, pattern: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every record stored below `folder`, oldest name first; a broken file is an error naming it."""
    for path in sorted(folder.glob(pattern)):
        try:
            yield path, json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a readable record ({error}); restore or delete it") from error
