"""The template's alarms about live traffic, judged as the local runtime judges every alarm."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from tests.unit.test_house import RESOURCES, TEMPLATE

from driftwheel.steps.drift_metrics import emf
from driftwheel_local import patches
from driftwheel_local.alarms import Alarms, judge, rule_of
from driftwheel_local.clock import Clock
from driftwheel_local.emf import metric_data

DRIFT_ALARMS = ("DataFaultAlarm", "DriftAlarm", "LabelCoverageAlarm", "DriftCheckAlarm")


def declared(name: str) -> dict[str, Any]:
    """Give an alarm's properties with a stack's name and the parameters' defaults in them."""
    properties = RESOURCES[name]["Properties"] | {"AlarmName": name}
    del properties["AlarmActions"]
    properties["Dimensions"] = [{"Name": "stack", "Value": "driftwheel"}]
    threshold = properties["Threshold"]
    if isinstance(threshold, str):
        properties["Threshold"] = TEMPLATE["Parameters"][threshold]["Default"]
    return properties


@pytest.mark.parametrize(
    ("name", "newest_first", "state"),
    [
        ("DataFaultAlarm", [1.0], "ALARM"),
        ("DataFaultAlarm", [None], None),  # between two ticks nothing has changed
        ("DataFaultAlarm", [0.0], "OK"),
        ("DriftAlarm", [2.0], "ALARM"),
        ("DriftAlarm", [1.0], "OK"),
        ("DriftAlarm", [None], None),
        ("LabelCoverageAlarm", [0.0] * 24, "ALARM"),
        ("LabelCoverageAlarm", [0.2, *[0.0] * 23], "OK"),
        ("LabelCoverageAlarm", [None, *[0.0] * 23], "OK"),  # a new champion's traffic has no day behind it
        ("LabelCoverageAlarm", [None] * 24, "OK"),
        ("DriftCheckAlarm", [0.0, 0.0], "OK"),
        ("DriftCheckAlarm", [1.0, 1.0], "ALARM"),
        ("DriftCheckAlarm", [0.0, 1.0], "OK"),
        ("DriftCheckAlarm", [None, None], "ALARM"),  # nobody says anything any more
        ("DriftCheckAlarm", [None, 0.0], "OK"),
    ],
)
def test_an_alarm_rings_for_what_it_is_called_after(
    name: str, newest_first: list[float | None], state: str | None
) -> None:
    rule = rule_of(declared(name))

    assert len(newest_first) == rule.evaluation_periods
    assert judge(rule, newest_first) == state


@pytest.fixture
def clock(moto_endpoint: str) -> Iterator[Clock]:
    return Clock(datetime(2026, 1, 1, tzinfo=UTC))


def watching(clock: Clock) -> Alarms:
    """Put the template's alarms into a CloudWatch whose windows are a hundredth as long."""
    alarms = Alarms(clock, lambda _: None, patches.CloudWatchShelf(), time_scale=0.01)
    patches.patch_cloudwatch(alarms)
    for name in DRIFT_ALARMS:
        boto3.client("cloudwatch").put_metric_alarm(**declared(name))
    return alarms


def tick(clock: Clock, **metrics: float) -> None:
    """Say what drift_check says at a tick, through its own EMF line."""
    for namespace, data in metric_data(emf(metrics, {"stack": "driftwheel"}, clock.now())).items():
        boto3.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)


def test_a_fault_rings_from_the_tick_that_tells_it_to_the_tick_that_tells_its_end(clock: Clock) -> None:
    alarms = watching(clock)
    seen = []
    for fault in (0.0, 1.0, 1.0, 0.0):
        tick(clock, DataFault=fault, DriftSeverity=0.0, OverdueModels=0.0)
        clock.advance(0.1)
        seen.append(alarms.alarm_states(["DataFaultAlarm"])["DataFaultAlarm"])
        clock.advance(300)  # a hundred windows without a word
        assert alarms.alarm_states(["DataFaultAlarm"])["DataFaultAlarm"] == seen[-1]

    assert seen == ["OK", "ALARM", "ALARM", "OK"]


def test_silence_rings_after_two_real_hours_and_not_when_a_stack_has_just_started(clock: Clock) -> None:
    alarms = watching(clock)
    first = alarms.alarm_states(["DriftCheckAlarm"])["DriftCheckAlarm"]
    tick(clock, OverdueModels=0.0)
    seen = []
    for hours in (0.1, 0.9, 1.5):
        clock.advance(timedelta(hours=hours).total_seconds())
        seen.append(alarms.alarm_states(["DriftCheckAlarm"])["DriftCheckAlarm"])

    assert (first, seen) == ("INSUFFICIENT_DATA", ["OK", "OK", "ALARM"])
