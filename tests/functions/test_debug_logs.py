"""SE-10: a function at DEBUG, by Lambda's setting or Powertools', logs no request and no answer."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from driftwheel.aws import SDK

from .conftest import ROOT, Context, World

SECRET = "AKIAIOSFODNN7CANARY"  # the oracle's form of a key, of no account
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


def row_data_travels(world: World) -> None:
    """Send a row to each service that takes some, and read it back."""
    world.table.put({"pk": "FINDING", "sk": SECRET, "row": {"card": SECRET}})
    assert world.table.get("FINDING", SECRET)
    world.put(world.artifacts, "rows.json", SECRET.encode())
    boto3.client("sqs").send_message(QueueUrl=world.queue, MessageBody=SECRET)
    assert boto3.client("sqs").receive_message(QueueUrl=world.queue)["Messages"]


def of_the_sdk(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.partition(".")[0] in SDK]


@pytest.mark.case("SE-10")
@pytest.mark.parametrize("step", FUNCTIONS)
def test_a_function_at_debug_keeps_the_sdks_debug_log_off(
    world: World,
    event: Callable[[str], dict[str, Any]],
    step: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The level of the root is what Lambda's runtime sets from AWS_LAMBDA_LOG_LEVEL."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("PREPROCESSING_MEMORY_MB", "500")
    caplog.set_level(logging.DEBUG)
    assert "from driftwheel.aws." in (ROOT / "functions" / step / "app.py").read_text(encoding="utf-8")

    handler = world.load(step).handler
    with contextlib.suppress(Exception):
        handler(event(step) if (ROOT / "events" / f"{step}.json").exists() else {}, Context())
    row_data_travels(world)

    assert of_the_sdk(caplog) == []
    assert SECRET not in "".join((caplog.text, *capfd.readouterr()))


@pytest.fixture
def _unguarded() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in SDK}
    for name in SDK:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.case("SE-10")
@pytest.mark.usefixtures("_unguarded")
def test_without_that_the_sdks_debug_log_would_hold_what_is_sent(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    row_data_travels(world)

    assert any(SECRET in line for line in of_the_sdk(caplog))
