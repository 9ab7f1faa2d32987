"""Where a function's lines go: a file a person can read, CloudWatch Logs, and metrics for its EMF lines."""

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel_local.clock import Clock
from driftwheel_local.emf import MARK, EmfError, metric_data
from driftwheel_local.stack_clients import StackClients
from driftwheel_local.threads import start_daemon

_LOG = logging.getLogger(__name__)
_GATHER_SECONDS = 0.05
"""Lines of so long go out in one request: a call writes about five."""
_EVENTS_PER_REQUEST = 1_000
_DATA_PER_REQUEST = 500
"""PutMetricData takes up to 1,000; half keeps its request small."""


@dataclass(frozen=True)
class _Line:
    group: str
    stream: str
    at_ms: int
    text: str


class FunctionLogs:
    """Write lines to files at once and ship them to CloudWatch on one thread, in order."""

    def __init__(self, folder: Path, clients: StackClients, clock: Clock) -> None:
        self._folder = folder
        self._clients = clients
        self._clock = clock
        self._files = threading.Lock()
        self._lines: queue.Queue[_Line | None] = queue.Queue()
        self._known_streams: set[tuple[str, str]] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self._shipper = start_daemon("function-logs", self._ship)

    def write(self, function_name: str, group: str, stream: str, lines: Iterable[str]) -> None:
        """Log `lines` as one function's output of this moment."""
        now = self._clock.now()
        stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        written = []
        for line in lines:
            # awslambdaric separates the lines of one traceback by CR so that they stay one event.
            text = line.replace("\r", "\n")
            written.append(f"{stamp} {text}\n")
            self._lines.put(_Line(group, stream, int(now.timestamp() * 1000), text))
        with self._files, (self._folder / f"{function_name}.log").open("a") as file:
            file.writelines(written)

    def flush(self) -> None:
        """Wait until everything written so far is in CloudWatch."""
        self._lines.join()

    def close(self) -> None:
        """Ship what is left and stop."""
        self._lines.put(None)
        self._shipper.join(timeout=10)

    def _ship(self) -> None:
        while True:
            batch = [self._lines.get()]
            time.sleep(_GATHER_SECONDS if batch[0] is not None else 0)
            while len(batch) < _EVENTS_PER_REQUEST and batch[-1] is not None:
                try:
                    batch.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            try:
                self._send([line for line in batch if line is not None])
            except (BotoCoreError, ClientError) as error:
                # Losing a log line must not stop a function; the file has it all the same.
                _LOG.warning("CloudWatch refused lines of %s: %s", batch[0] and batch[0].group, error)
            finally:
                for _ in batch:
                    self._lines.task_done()
            if batch[-1] is None:
                return

    def _send(self, lines: list[_Line]) -> None:
        streams: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        metrics: dict[str, list[dict[str, Any]]] = defaultdict(list)
        # A function lives in the machine's time; the stack's clock may be ahead of it.
        ahead = timedelta(seconds=self._clock.now().timestamp() - time.time())
        for line in lines:
            events = streams[line.group, line.stream]
            if line.text:  # an empty line of a traceback: CloudWatch takes no empty message
                events.append({"timestamp": line.at_ms, "message": line.text})
            if MARK not in line.text:
                continue
            try:
                for namespace, data in metric_data(line.text).items():
                    metrics[namespace] += [
                        datum | {"Timestamp": datum["Timestamp"] + ahead} for datum in data
                    ]
            except EmfError as error:
                events.append({"timestamp": line.at_ms, "message": f"EMF line makes no metric: {error}"})
        for namespace, data in metrics.items():
            for start in range(0, len(data), _DATA_PER_REQUEST):
                self._clients.get("cloudwatch").put_metric_data(
                    Namespace=namespace, MetricData=data[start : start + _DATA_PER_REQUEST]
                )
        for (group, stream), events in streams.items():
            self._ensure_stream(group, stream)
            self._clients.get("logs").put_log_events(
                logGroupName=group, logStreamName=stream, logEvents=events
            )

    def _ensure_stream(self, group: str, stream: str) -> None:
        if (group, stream) in self._known_streams:
            return
        logs = self._clients.get("logs")
        for create, names in (
            (logs.create_log_group, {"logGroupName": group}),
            (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
        ):
            try:
                create(**names)
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
        self._known_streams.add((group, stream))
