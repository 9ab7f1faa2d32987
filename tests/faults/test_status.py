# ruff: noqa: N803
"""OP-03: what ``driftwheel status`` says while each failure is active, held to ``status.md``."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from driftwheel.steps.deployment import alarm_requests
from driftwheel_cli.connection import Names, Options, Stack
from driftwheel_cli.main import cli
from tests.bench.faults import refused
from tests.bench.machine import MACHINE
from tests.bench.world import ARTIFACTS, LANDING, World

from .broken_files import NO_FAILURE
from .cases import BAD_INPUT, CASES
from .failures import ACTIVE, CALM, ENDPOINT, NOTHING, checked, served, watched

SAID = Path(__file__).with_name("status.md")
HEAD = """# What status says while a failure is active

Written by `pytest tests/faults/test_status.py --update-status`. Run ids and times have stand-ins, cases of
the campaign stand in brackets; `failures.py` says how each comes about, and which leave nothing to see.
"""
MET_HERE = {case for case in CASES if case[:2] in {"EV", "SF", "SM", "DE", "DR"}} | BAD_INPUT.keys()


class Queues:
    """SQS and CloudWatch, as far as status asks them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get_paginator(self, operation: str) -> "Queues":
        assert operation in {"list_queues", "describe_alarms"}
        return self

    def paginate(self, **request: str) -> list[dict[str, Any]]:
        if "AlarmNamePrefix" in request:
            alarms = alarm_requests(ENDPOINT, "topic")
            states = ("OK", "ALARM")
            rings = [states[alarm["AlarmName"] in self._world.ringing] for alarm in alarms]
            told = [a | {"StateValue": state} for a, state in zip(alarms, rings, strict=True)]
            return [{"MetricAlarms": told}]
        return [
            {
                "QueueUrls": [
                    "https://sqs/driftwheel-ArrivalQueue",
                    "https://sqs/driftwheel-ArrivalDeadLetterQueue",
                ]
            }
        ]

    def get_queue_attributes(self, *, QueueUrl: str, **_: Any) -> dict[str, Any]:
        arn = f"arn:aws:sqs:us-east-1:123456789012:{QueueUrl.rpartition('/')[2]}"
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(self._world.dead)), "QueueArn": arn}}


def stack_of(world: World) -> Stack:
    names = Names(
        stack="driftwheel",
        landing_bucket=LANDING,
        artifact_bucket=ARTIFACTS,
        table="ledger",
        arrival_queue_url="arrival",
        state_machine_arn=MACHINE,
        drift_check_function="driftwheel-drift-check",
    )
    clients = {
        "s3": world.s3,
        "sagemaker": world.sagemaker,
        "stepfunctions": world.machine,
        "sqs": Queues(world),
        "cloudwatch": Queues(world),
    }
    stack = Stack(None, names, clients=clients, now=lambda: world.now)
    vars(stack)["table"] = world.table
    return stack


def asked(world: World, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(Options, "open", lambda _options: stack_of(world))
    with world.calm():
        result = CliRunner().invoke(cli, ["status", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def plain(text: str) -> str:
    """Leave out what differs from day to day: run ids by their order, times, spaces at the end."""
    names: dict[str, str] = {}
    text = re.sub(r"\b[0-9a-f]{16}\b", lambda m: names.setdefault(m[0], f"<run {len(names) + 1}>"), text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "<time>", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def sections() -> dict[str, str]:
    text = SAID.read_text(encoding="utf-8") if SAID.exists() else ""
    return dict(re.findall(r"^## (.+?)\n\n```\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL))


def title(sentence: str) -> str:
    cases = ACTIVE[sentence][0]
    return sentence + (f" ({', '.join(cases)})" if cases else "")


@pytest.mark.case("OP-03")
@pytest.mark.parametrize("sentence", ACTIVE)
def test_status_says_what_is_wrong_and_what_to_do(
    sentence: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    world = ACTIVE[sentence][1]()
    arguments = ["parcels"] if world.ledger.models.get("parcels") else []

    said = plain(asked(world, monkeypatch, *arguments))
    told = json.loads(asked(world, monkeypatch, *arguments, "--json"))

    if request.config.getoption("--update-status"):
        known = sections() | {title(sentence): said}
        ordered = [f"## {t}\n\n```\n{known[t]}\n```\n" for t in map(title, ACTIVE) if t in known]
        SAID.write_text("\n".join([HEAD, *ordered]), encoding="utf-8")
    troubles = told.get("troubles", []) + told["stack_troubles"]
    assert troubles
    assert all(one["wrong"] and one["do"] for one in troubles)
    assert said.count("\n! ") == said.count("\n  do: ") == len(troubles)
    assert "\x1b" not in said
    assert sections().get(title(sentence)) == said, "pytest --update-status rewrites it"


@pytest.mark.case("OP-03")
def test_a_model_in_order_has_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    world = served()

    assert "! " not in asked(world, monkeypatch, "parcels")
    told = json.loads(asked(world, monkeypatch, "--json"))
    assert (told["models"][0]["troubles"], told["stack_troubles"]) == ([], [])


def quiet_hour() -> World:
    world = watched(served("drift: {window_hours: 1, minimum_rows: 500}\n"), CALM, windows=25)
    checked(world)
    finding = world.ledger.findings.get("parcels")
    assert finding is not None
    assert finding.severity == "insufficient_data"
    return world


@pytest.mark.case("OP-03")
@pytest.mark.parametrize(
    "world",
    [
        lambda: watched(served(), CALM),
        lambda: watched(served(), [], windows=20),
        lambda: watched(served("deployment: {mode: canary, size: 10, capture: 0}\n"), [], windows=26),
        quiet_hour,
    ],
    ids=["calm", "not asked on its first day", "not to be captured", "not asked for an hour"],
)
def test_a_model_that_is_watched_has_nothing_wrong(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "! " not in asked(world(), monkeypatch, "parcels")


@pytest.mark.case("OP-03")
def test_what_an_operator_may_not_read_is_named_and_all_else_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(_stack: Stack) -> list[tuple[str, str]]:
        raise refused("AccessDenied", "ListObjectsV2")

    monkeypatch.setattr("driftwheel_cli.stack_troubles._refused_models", denied)

    said = asked(ACTIVE["a file lies where no model watches"][1](), monkeypatch, "parcels")

    assert "not looked at: An error occurred (AccessDenied)" in said
    assert "no registered model watches data/strangers/x.csv" in said


@pytest.mark.case("OP-03")
def test_every_failure_a_person_may_meet_is_shown_or_leaves_nothing_to_see() -> None:
    shown = {case for cases, _ in ACTIVE.values() for case in cases}

    assert shown | NOTHING.keys() | NO_FAILURE.keys() == MET_HERE
    assert not shown & (NOTHING.keys() | NO_FAILURE.keys())
    assert sections().keys() == {title(sentence) for sentence in ACTIVE}
