"""What ``driftwheel status`` reads from AWS's own services about a stack: queues, alarms, an endpoint."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from driftwheel_cli.connection import Options

from .conftest import World

ALARM = {
    "Namespace": "Driftwheel",
    "MetricName": "DataFault",
    "Period": 300,
    "EvaluationPeriods": 1,
    "Threshold": 0,
    "Statistic": "Maximum",
    "ComparisonOperator": "GreaterThanThreshold",
}
UNFED, RINGS, QUIET = (
    "driftwheel-DataFaultAlarm-1QK7",
    "driftwheel-DriftAlarm-1QK7",
    "driftwheel-RunsFailedAlarm",
)


def alarm(world: World, name: str, state: str) -> None:
    cloudwatch = world.stack.client("cloudwatch")
    cloudwatch.put_metric_alarm(AlarmName=name, AlarmDescription=f"{name} says so.", **ALARM)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="said so")


def troubles(world: World, *, hours: int = 0) -> list[tuple[str, str]]:
    """Ask so much later."""
    asked = replace(world.stack, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Options, "open", lambda _: asked)
        return [(one["wrong"], one["do"]) for one in world.json("status")["stack_troubles"]]


@pytest.mark.case("OP-03")
def test_an_alarm_that_has_had_no_data_for_a_day_is_told_with_what_to_do(world: World) -> None:
    for name, state in ((UNFED, "INSUFFICIENT_DATA"), (QUIET, "OK")):
        alarm(world, name, state)
    alarm(world, "driftwheel-eu-DataFaultAlarm-1QK7", "INSUFFICIENT_DATA")  # another stack's

    assert troubles(world, hours=23) == [], "a new one waits for its first number"
    ((wrong, do),) = troubles(world, hours=25)

    since = datetime.now(UTC).strftime("%Y-%m-%d")
    assert wrong.startswith(f"alarms without data: {UNFED} since {since} ")
    assert wrong.endswith(" UTC: these cannot ring")
    assert do.startswith("driftwheel logs drift_check says whether drift is checked")


@pytest.mark.case("OP-03")
def test_alarms_that_ring_and_dead_letters_are_read_from_cloudwatch_and_sqs(world: World) -> None:
    sqs = world.stack.client("sqs")
    for queue in ("driftwheel-ArrivalDeadLetterQueue-1QK7", "driftwheel-eu-ArrivalDeadLetterQueue-1QK7"):
        sqs.send_message(QueueUrl=sqs.create_queue(QueueName=queue)["QueueUrl"], MessageBody="poison")
    for name, state in ((RINGS, "ALARM"), (QUIET, "OK"), ("driftwheel-eu-DriftAlarm-1QK7", "ALARM")):
        alarm(world, name, state)

    (dead, way), (rings, do) = troubles(world)

    assert dead == "dead-letter queues: 1 in driftwheel-ArrivalDeadLetterQueue-1QK7"
    assert "arn:aws:sqs:us-east-1:123456789012:driftwheel-ArrivalDeadLetterQueue-1QK7" in way
    assert rings == f"alarms: {RINGS}: {RINGS} says so"
    assert do.startswith("driftwheel logs says more")
