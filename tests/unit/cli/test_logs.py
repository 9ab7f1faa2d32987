"""What functions and jobs logged."""

import json
import time
from typing import Any

import pytest

from driftwheel_cli import logs

from .conftest import RUN, World

DECIDED = json.dumps(
    {"level": "INFO", "message": "decided", "model": "flights", "run_id": RUN, "service": "trigger"}
)


def write(world: World, group: str, stream: str, *lines: str, ago: float = 1) -> None:
    client = world.stack.client("logs")
    known = [g["logGroupName"] for g in client.describe_log_groups()["logGroups"]]
    if group not in known:
        client.create_log_group(logGroupName=group)
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    if stream not in [s["logStreamName"] for s in streams]:
        client.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int((time.time() - ago) * 1000)
    events: Any = [{"timestamp": at, "message": line} for line in lines]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_one_functions_lines_are_shown_readably_and_without_the_platforms_own(world: World) -> None:
    write(world, "/aws/lambda/driftwheel-trigger", "s", "START RequestId: 1", DECIDED, '{"_aws": {}}')
    write(world, "/aws/lambda/driftwheel-approval", "s", "another function")

    shown = world.call("logs", "trigger").stdout

    assert f"INFO decided model=flights run_id={RUN}" in shown
    assert "START" not in shown
    assert "_aws" not in shown
    assert "another function" not in shown


def test_without_a_name_every_function_is_shown_in_order(world: World) -> None:
    write(world, "/aws/lambda/driftwheel-trigger", "s", "second", ago=1)
    write(world, "/aws/lambda/driftwheel-approval", "s", "first", ago=5)

    told = world.json("logs")

    assert [(line["from"], line["text"]) for line in told] == [("approval", "first"), ("trigger", "second")]


def test_only_the_span_asked_for_is_shown(world: World) -> None:
    write(world, "/aws/lambda/driftwheel-trigger", "s", "long ago", ago=3_000)

    assert "nothing was logged" in world.call("logs", "trigger").stdout
    assert "long ago" in world.call("logs", "trigger", "--since", "1h").stdout


def test_a_runs_lines_come_from_functions_and_its_training_job(world: World) -> None:
    world.register()
    world.start_run()
    write(world, "/aws/lambda/driftwheel-trigger", "s", DECIDED, '{"message": "of another run"}')
    write(world, "/aws/sagemaker/TrainingJobs", f"driftwheel-flights-{RUN}/algo-1", "[10] validation-auc:0.7")
    write(world, "/aws/sagemaker/TrainingJobs", "driftwheel-flights-other/algo-1", "not ours")

    shown = world.call("logs", RUN).stdout

    assert "decided" in shown
    assert "validation-auc:0.7" in shown
    assert "another run" not in shown
    assert "not ours" not in shown


def test_following_shows_each_line_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world, "/aws/lambda/driftwheel-trigger", "s", "before")
    looks = []

    def later(_: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt
        write(world, "/aws/lambda/driftwheel-trigger", "s", f"line {len(looks)}")

    monkeypatch.setattr(logs, "sleep", later)

    shown = world.call("logs", "trigger", "--follow").stdout

    for line in ("before", "line 1", "line 2"):
        assert shown.count(line) == 1


def test_a_name_that_is_neither_function_nor_run_is_answered_with_the_functions(world: World) -> None:
    result = world.call("logs", "nobody")

    assert result.exit_code == 1
    assert "evaluation_gate" in result.stderr


@pytest.mark.parametrize("arguments", [("--since", "ten"), ("--follow", "--json")])
def test_wrong_usage_is_exit_code_2(world: World, arguments: tuple[str, ...]) -> None:
    assert world.call("logs", *arguments).exit_code == 2
