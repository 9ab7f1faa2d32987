"""A container's output on its way to CloudWatch Logs, and the metrics a job prints into it."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.sagemaker.site import Site

_LOG = logging.getLogger(__name__)
# PutLogEvents takes 1 MiB and 10,000 events a call and 256 KiB an event; a character has up to four bytes.
_BATCH_CHARACTERS = 200_000
_BATCH_EVENTS = 5_000
_EVENT_CHARACTERS = 60_000


class LogPump:
    """Forwards new whole lines of one file to one log stream."""

    def __init__(self, site: Site, path: Path, group: str, stream: str) -> None:
        self._site = site
        self._path = path
        self._group = group
        self._stream = stream
        self._offset = 0
        self._made = False

    def pump(self, *, final: bool = False) -> list[str]:
        """Send what was written since the last call and answer its lines; `final` takes a half line too."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            content = stream.read()
        end = len(content) if final else content.rfind(b"\n") + 1
        if not end:
            return []
        self._offset += end
        lines = content[:end].decode("utf-8", "replace").splitlines()
        for batch in _batches([line for line in lines if line.strip()]):
            self._send(batch)
        return lines

    def _send(self, lines: list[str]) -> None:
        """Put one batch; a log that cannot be delivered ends no job, as in the cloud."""
        events = [{"timestamp": int(self._site.now() * 1000), "message": line} for line in lines]
        try:
            if not self._made:
                self._make()
            self._site.logs.put_log_events(
                logGroupName=self._group, logStreamName=self._stream, logEvents=events
            )
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("%d lines of %s stay in %s: %s", len(lines), self._stream, self._path, error)

    def _make(self) -> None:
        logs = self._site.logs
        names = {"logGroupName": self._group, "logStreamName": self._stream}
        for make, members in (
            (logs.create_log_group, ("logGroupName",)),
            (logs.create_log_stream, ("logGroupName", "logStreamName")),
        ):
            try:
                make(**{name: names[name] for name in members})
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise
        self._made = True


def _batches(lines: list[str]) -> Iterator[list[str]]:
    """Split lines into batches that PutLogEvents takes; an endless line is cut."""
    batch: list[str] = []
    size = 0
    for whole in lines:
        line = whole[:_EVENT_CHARACTERS]
        if batch and (size + len(line) > _BATCH_CHARACTERS or len(batch) >= _BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


class MetricReader:
    """The last value each `MetricDefinitions` regex found, as FinalMetricDataList reports it."""

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        self._expressions = {item["Name"]: re.compile(item["Regex"]) for item in definitions}
        self._final: dict[str, dict[str, Any]] = {}

    def read(self, lines: Sequence[str], instant: float) -> list[dict[str, Any]]:
        """Take the metrics out of `lines` (a regex's first group is the number) and answer the new points."""
        points: list[dict[str, Any]] = []
        for line in lines:
            for name, expression in self._expressions.items():
                match = expression.search(line)
                if match is None or not match.groups():
                    continue
                try:
                    value = float(match[1])
                except (TypeError, ValueError):
                    continue  # SageMaker ignores a match that is no number
                point = {"MetricName": name, "Value": value, "Timestamp": instant}
                self._final[name] = point
                points.append(point)
        return points

    def final(self) -> list[dict[str, Any]]:
        """Answer the last point of every metric seen."""
        return [self._final[name] for name in self._expressions if name in self._final]
