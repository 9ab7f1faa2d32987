"""``logs``: what functions and training jobs wrote to CloudWatch Logs."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import sleep
from typing import Any

import click
from botocore.exceptions import ClientError

from driftwheel.deployment.names import resource_name
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_json, print_line

FUNCTIONS = (
    "trigger",
    "data_arrival",
    "preprocessing_launch",
    "preprocessing",
    "training_launch",
    "evaluation_gate",
    "approval",
    "deployment",
    "job_callback",
    "record_outcome",
    "drift_check",
    "sweep",
)

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"

POLL_SECONDS = 2.0

NOISE = frozenset({"timestamp", "level", "message", "location", "service", "cold_start", "function_name"})
NOISE_OF_LAMBDA = frozenset(
    {"function_memory_size", "function_arn", "function_request_id", "xray_trace_id", "correlation_id"}
)
PLATFORM = re.compile(r"(START|END|REPORT|INIT_START) ")

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Since(click.ParamType[float]):
    """A span of time that ends now: 30s, 10m, 2h, 1d."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it as seconds."""
        if isinstance(value, float):
            return value
        matched = re.fullmatch(r"(\d+)([smhd])", str(value).strip())
        if matched is None:
            self.fail(f"{value!r} is no span of time; write 30s, 10m, 2h or 1d", param, ctx)
        return float(matched[1]) * UNITS[matched[2]]


@dataclass(frozen=True)
class Source:
    """A log group, the streams of it, and which lines."""

    group: str
    label: str
    streams: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Line:
    """One line: when (epoch milliseconds), who wrote it, what."""

    at: int
    label: str
    text: str
    id: str


@click.command()
@click.argument("what", metavar="[FUNCTION|RUN]", required=False)
@click.option(
    "--since", type=Since(), default="10m", show_default=True, help="How far back: 30s, 10m, 2h, 1d."
)
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def logs(options: Options, what: str | None, since: float, follow: bool, as_json: bool) -> None:
    """Show what functions and jobs logged.

    Of one function (such as trigger), of every function, or of a run: what each function said about it,
    and its training job's output.

    Example: driftwheel logs evaluation_gate --since 1h
    """
    if follow and as_json:
        raise click.UsageError("--json ends; leave --follow out")
    stack = options.open()
    sources = _sources(stack, what)
    start = int((time.time() - since) * 1000)
    seen: set[str] = set()
    found = _read(stack, sources, start, seen)
    if as_json:
        print_json([{"at": moment(line.at), "from": line.label, "text": line.text} for line in found])
        return
    for line in found:
        _show(line)
    if not found and not follow:
        print_line(f"nothing was logged in the last {since:.0f} s; look further back with --since 1h")
    newest = start
    while follow:
        sleep(POLL_SECONDS)
        newest = max((line.at for line in found), default=newest)
        # CloudWatch takes lines late and out of order: look a minute back and leave out what was shown.
        found = _read(stack, sources, max(start, newest - 60_000), seen)
        for line in found:
            _show(line)


def moment(epoch_ms: int) -> str:
    """Write a moment as ISO 8601 UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


def readable(text: str) -> str:
    """Write a Powertools line for a person: level, message, and what it carries.

    >>> readable('{"level": "INFO", "message": "decided", "model": "flights", "service": "trigger"}')
    'INFO decided model=flights'
    """
    try:
        document = json.loads(text)
    except ValueError:
        return text.rstrip()
    if not isinstance(document, dict) or "message" not in document:
        return text.rstrip()
    more = {k: v for k, v in document.items() if k not in NOISE | NOISE_OF_LAMBDA}
    carried = " ".join(f"{name}={value}" for name, value in more.items())
    return f"{document.get('level', '')} {document['message']} {carried}".strip()


def _show(line: Line) -> None:
    if "_aws" in line.text[:40] or PLATFORM.match(line.text):
        return  # metrics and the platform's own lines
    at = datetime.fromtimestamp(line.at / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    print_line(f"{at} {line.label:<16} {readable(line.text)}")


def _sources(stack: Stack, what: str | None) -> list[Source]:
    functions = [Source(f"/aws/lambda/{stack.names.stack}-{f.replace('_', '-')}", f) for f in FUNCTIONS]
    if what is None:
        return functions
    step = what.replace("-", "_")
    if step in FUNCTIONS:
        return [source for source in functions if source.label == step]
    try:
        run = stack.run(what)
    except CommandFailed as error:
        raise CommandFailed(f"'{what}' is neither a run nor a function ({', '.join(FUNCTIONS)})") from error
    job = resource_name(stack.names.stack, run.model, run.run_id)
    about = [Source(source.group, source.label, pattern=f'"{run.run_id}"') for source in functions]
    return [*about, Source(TRAINING_GROUP, "training job", streams=job)]


def _read(stack: Stack, sources: list[Source], start_ms: int, seen: set[str]) -> list[Line]:
    """Read what is new, oldest first, and remember it."""
    lines = [line for source in sources for line in _lines(stack, source, start_ms) if line.id not in seen]
    seen.update(line.id for line in lines)
    return sorted(lines, key=lambda line: line.at)


def _lines(stack: Stack, source: Source, start_ms: int) -> Iterator[Line]:
    request: dict[str, Any] = {"logGroupName": source.group, "startTime": start_ms}
    if source.streams:
        request["logStreamNamePrefix"] = source.streams
    if source.pattern:
        request["filterPattern"] = source.pattern
    try:
        for page in stack.client("logs").get_paginator("filter_log_events").paginate(**request):
            for event in page["events"]:
                if not event["logStreamName"].startswith(source.streams):
                    continue  # not every CloudWatch knows logStreamNamePrefix: moto passes over it
                yield Line(event["timestamp"], source.label, event["message"], event["eventId"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise  # a job's log group exists from the first job on


COMMANDS = (logs,)
