import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from driftwheel_local import patches
from driftwheel_local.alarms import AlarmRule, Alarms, judge
from driftwheel_local.clock import Clock

RULE = AlarmRule(
    name="errors",
    namespace="AWS/Lambda",
    metric="Errors",
    dimensions={},
    statistic="Sum",
    unit=None,
    period=60,
    evaluation_periods=3,
    datapoints_to_alarm=2,
    threshold=5,
    comparison="GreaterThanThreshold",
    missing="missing",
)


@dataclass
class World:
    alarms: Alarms
    cloudwatch: Any
    clock: Clock
    events: list[dict[str, Any]]

    def alarm(self, **properties: Any) -> None:
        given: dict[str, Any] = {
            "AlarmName": "errors",
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Dimensions": [{"Name": "FunctionName", "Value": "trigger"}],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        wanted = {key: value for key, value in (given | properties).items() if value is not None}
        self.cloudwatch.put_metric_alarm(**wanted)

    def error(self, count: float = 1) -> None:
        self.alarms.put_metric("AWS/Lambda", "Errors", count, "Count", {"FunctionName": "trigger"})

    def state(self) -> str:
        return self.cloudwatch.describe_alarms()["MetricAlarms"][0]["StateValue"]


@pytest.fixture
def world(moto_endpoint: str) -> World:
    clock, events = Clock(datetime(2026, 1, 1, tzinfo=UTC)), []
    alarms = Alarms(clock, events.append, patches.CloudWatchShelf())
    patches.patch_cloudwatch(alarms)
    return World(alarms, boto3.client("cloudwatch"), clock, events)


@pytest.mark.parametrize(
    ("missing", "window", "state"),
    [
        ("missing", [9.0, 9.0, 1.0], "ALARM"),
        ("missing", [9.0, 1.0, 1.0], "OK"),
        ("missing", [None, None, None], "INSUFFICIENT_DATA"),
        ("missing", [None, None, 9.0], "ALARM"),
        ("missing", [None, 1.0, 9.0], "OK"),
        ("notBreaching", [None, None, 9.0], "OK"),
        ("notBreaching", [None, None, None], "OK"),
        ("breaching", [None, None, 1.0], "ALARM"),
        ("breaching", [None, 1.0, 1.0], "OK"),
        ("ignore", [None, None, 9.0], None),
        ("ignore", [None, 9.0, 9.0], "ALARM"),
    ],
)
def test_missing_data_is_treated_as_declared(missing: str, window: list[float | None], state: str | None):
    assert judge(replace(RULE, missing=missing), window) == state


@pytest.mark.parametrize(
    ("comparison", "value", "state"),
    [
        ("GreaterThanThreshold", 5, "OK"),
        ("GreaterThanOrEqualToThreshold", 5, "ALARM"),
        ("LessThanThreshold", 5, "OK"),
        ("LessThanOrEqualToThreshold", 5, "ALARM"),
    ],
)
def test_the_threshold_itself_breaches_only_where_the_operator_says_so(
    comparison: str, value: float, state: str
):
    rule = replace(RULE, comparison=comparison, evaluation_periods=1, datapoints_to_alarm=1)

    assert judge(rule, [value]) == state


def test_an_alarm_goes_from_insufficient_data_to_ok_to_alarm_and_back(world: World):
    world.alarm()
    states = [world.state()]
    for step in (lambda: None, world.error, lambda: world.clock.advance(61)):
        step()
        world.alarms.evaluate()
        states.append(world.state())

    assert states == ["INSUFFICIENT_DATA", "OK", "ALARM", "OK"]
    assert [event["detail"]["state"]["value"] for event in world.events] == ["OK", "ALARM", "OK"]


def test_a_state_change_event_has_the_shape_of_cloudwatch(world: World):
    world.alarm(AlarmDescription="trigger fails")
    world.alarms.evaluate()
    world.error(3)
    world.alarms.evaluate()

    event = world.events[-1]
    assert event["source"] == "aws.cloudwatch"
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"] == ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"]
    detail = event["detail"]
    assert (detail["alarmName"], detail["previousState"]["value"]) == ("errors", "OK")
    assert detail["configuration"]["description"] == "trigger fails"
    stat = detail["configuration"]["metrics"][0]["metricStat"]
    assert stat["metric"]["dimensions"] == {"FunctionName": "trigger"}
    assert "1 datapoints [3.0] were greater than the threshold (0.0)" in detail["state"]["reason"]
    assert json.loads(detail["state"]["reasonData"])["recentDatapoints"] == [3.0]


def test_percentiles_sets_and_dimensions_are_told_apart(world: World):
    world.alarm(Statistic=None, ExtendedStatistic="p90", Threshold=90, Period=300)
    dimensions = [{"Name": "FunctionName", "Value": "trigger"}]
    data = [{"MetricName": "Errors", "Dimensions": dimensions, "Values": list(range(100)), "Unit": "None"}]
    world.cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=data)
    other = [
        {"MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": "other"}], "Value": 1e9}
    ]
    world.cloudwatch.put_metric_data(Namespace="AWS/Lambda", MetricData=other)

    first = world.alarms.alarm_states(["errors", "unknown"])
    world.cloudwatch.put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[{"MetricName": "Errors", "Dimensions": dimensions, "Values": [200.0], "Counts": [50]}],
    )

    assert first == {"errors": "OK"}
    assert world.alarms.alarm_states(["errors"]) == {"errors": "ALARM"}


def test_two_of_three_datapoints_alarm(world: World):
    world.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    seen = []
    for failing in (True, False, True, False, False):
        world.clock.advance(60)
        if failing:
            world.error()
        seen.append(world.alarms.alarm_states(["errors"])["errors"])

    assert seen == ["OK", "OK", "ALARM", "OK", "OK"]


def test_queues_have_a_depth_and_an_age(world: World):
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    queue = {
        "Namespace": "AWS/SQS",
        "Dimensions": [{"Name": "QueueName", "Value": "dead"}],
        "Statistic": "Maximum",
    }
    world.alarm(AlarmName="depth", MetricName="ApproximateNumberOfMessagesVisible", **queue)
    world.alarm(AlarmName="age", MetricName="ApproximateAgeOfOldestMessage", **queue | {"Threshold": 900})
    empty = world.alarms.alarm_states(["depth", "age"])
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    # The clock of this test starts in January; messages carry the machine's time.
    world.clock.advance((datetime.now(UTC) - world.clock.now()).total_seconds())
    young = world.alarms.alarm_states(["depth", "age"])
    world.clock.advance(1000)

    assert empty == {"depth": "OK", "age": "OK"}
    assert young == {"depth": "ALARM", "age": "OK"}
    assert world.alarms.alarm_states(["age"]) == {"age": "ALARM"}


def test_alarm_actions_reach_the_topic_of_the_new_state(world: World):
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:inbox")
    world.alarm(AlarmActions=[topic])
    world.alarms.evaluate()
    world.error()
    world.alarms.evaluate()

    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert len(messages) == 1
    message = json.loads(json.loads(messages[0]["Body"])["Message"])
    assert (message["AlarmName"], message["NewStateValue"], message["OldStateValue"]) == (
        "errors",
        "ALARM",
        "OK",
    )


def test_set_alarm_state_by_hand_announces_the_change_too(world: World):
    world.alarm()
    world.cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="drill")

    assert world.events[0]["detail"]["state"]["reason"] == "drill"


def test_putting_an_alarm_again_keeps_its_state(world: World):
    world.alarm()
    world.error()
    world.alarms.evaluate()
    world.alarm(Threshold=1)

    assert world.state() == "ALARM"


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"Metrics": [{"Id": "m", "Expression": "SUM(METRICS())"}]}, "Metrics"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "ComparisonOperator"),
        ({"Statistic": None, "ExtendedStatistic": "tm90"}, "ExtendedStatistic"),
        ({"TreatMissingData": "maybe"}, "TreatMissingData"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm"),
        ({"AlarmActions": ["arn:aws:automate:us-east-1:ec2:stop"]}, "AlarmActions"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "EvaluateLowSampleCountPercentile"),
    ],
)  # fmt: skip
def test_what_is_not_evaluated_is_refused_by_its_property(
    world: World, properties: dict[str, Any], named: str
):
    with pytest.raises(ClientError, match=named):
        world.alarm(**properties)


def test_the_background_evaluation_follows_an_advanced_clock_and_stops(world: World):
    world.alarm(Period=3600)
    world.alarms.start()
    try:
        world.error()
        world.clock.advance(1)
        deadline = datetime.now(UTC) + timedelta(seconds=5)
        while world.state() != "ALARM" and datetime.now(UTC) < deadline:
            time.sleep(0.01)
    finally:
        world.alarms.close()

    assert world.state() == "ALARM"


def test_a_scaled_period_forgets_sooner(world: World):
    quick = Alarms(world.clock, world.events.append, patches.CloudWatchShelf(), time_scale=0.01)
    patches.patch_cloudwatch(quick)
    world.alarm(Period=300)
    quick.put_metric("AWS/Lambda", "Errors", 1, "Count", {"FunctionName": "trigger"})
    first = quick.alarm_states(["errors"])
    world.clock.advance(3.1)

    assert (first["errors"], quick.alarm_states(["errors"])["errors"]) == ("ALARM", "OK")
