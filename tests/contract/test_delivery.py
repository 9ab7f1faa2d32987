"""Delivery: events that come twice, late or not at all; schedules; alarms that know nothing."""

import json
from itertools import pairwise

import pytest

from driftwheel_local.disorder import Disorder

from .account import Account
from .proxy import FaultProxy, Harm, Plan


@pytest.fixture(scope="module")
def inbox(account: Account) -> str:
    return account.inbox({"source": [account.prefix]})


def entry(account: Account, n: int) -> dict[str, str]:
    return {"Source": account.prefix, "DetailType": "Said", "Detail": json.dumps({"n": n})}


def test_an_aws_source_cannot_be_claimed(account: Account) -> None:
    """API_PutEvents: "aws." sources are AWS's own."""
    answer = account.client("events").put_events(Entries=[entry(account, 1) | {"Source": "aws.s3"}])

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


def test_every_event_has_an_id_of_its_own(account: Account, inbox: str) -> None:
    account.client("events").put_events(Entries=[entry(account, n) for n in (1, 1)])

    told = account.read(inbox, 2)

    assert [event["detail"]["n"] for event in told] == [1, 1]
    assert len({event["id"] for event in told}) == 2


@pytest.mark.local_only
def test_an_event_whose_answer_was_lost_is_told_twice(account: Account, inbox: str) -> None:
    """PutEvents has no idempotency key: the SDK's retry is another event. Local only: by the proxy."""
    assert account.world is not None
    with FaultProxy(account.world.endpoint.url, Plan([Harm("events.PutEvents", 1, "drop")])) as proxy:
        account.client("events", url=proxy.url, attempts=3).put_events(Entries=[entry(account, 7)])

    told = account.read(inbox, 2)

    assert [event["detail"]["n"] for event in told] == [7, 7]
    assert len({event["id"] for event in told}) == 2


@pytest.mark.local_only
def test_sagemakers_events_are_lost_come_twice_and_out_of_order(account: Account) -> None:
    """SageMaker "may send multiple events for each state change" and promises neither order nor delivery.

    Local only: the router is handed them as SageMaker would, and told to disturb them.
    """
    assert account.world is not None
    inbox = account.inbox({"source": ["aws.sagemaker"], "detail-type": ["SageMaker Endpoint State Change"]})
    router, happened = account.world.router, range(40)
    router.disorder = Disorder(seed=2, lost=0.1, repeated=0.2, late=0.3)
    try:
        for number in happened:
            detail = {
                "EndpointName": "e",
                "EndpointStatus": ("UPDATING", "IN_SERVICE")[number % 2],
                "LastModifiedTime": number,
            }
            router.publish(
                {
                    "source": "aws.sagemaker",
                    "detail-type": "SageMaker Endpoint State Change",
                    "resources": [],
                    "detail": detail,
                }
            )
    finally:
        router.disorder = None

    told = [event["detail"]["LastModifiedTime"] for event in account.read(inbox, 30, calm=1.0)]

    came = list(dict.fromkeys(told))
    assert len(came) < len(told)  # twice
    assert len(came) < len(happened)  # lost
    turned = sum(later < earlier for earlier, later in pairwise(came))
    assert turned >= 5  # out of order: an earlier status after a later one


def test_an_event_while_the_rule_is_off_is_lost(account: Account) -> None:
    events = account.client("events")
    inbox = account.inbox({"source": [account.prefix], "detail-type": ["Lost"]})
    rule = inbox.rpartition("/")[2]
    events.disable_rule(Name=rule)
    account.read(inbox, 0, calm=0)  # on AWS a change of a rule takes a while

    events.put_events(Entries=[entry(account, 1) | {"DetailType": "Lost"}])
    assert account.read(inbox, 1 if account.on_aws else 0) == []

    events.enable_rule(Name=rule)
    account.read(inbox, 0, calm=0)
    events.put_events(Entries=[entry(account, 2) | {"DetailType": "Lost"}])
    assert [event["detail"]["n"] for event in account.read(inbox, 1)] == [2]


def test_a_message_that_is_not_deleted_comes_again(account: Account) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName=account.name("again"), Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    account.afterwards(sqs.delete_queue, QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    receive = {"QueueUrl": url, "AttributeNames": ["ApproximateReceiveCount"]}
    first = account.until(lambda: sqs.receive_message(**receive).get("Messages", []), len)[-1][0]

    account.pass_time(6)
    second = account.until(lambda: sqs.receive_message(**receive).get("Messages", []), len)[-1][0]

    assert second["MessageId"] == first["MessageId"]
    assert int(second["Attributes"]["ApproximateReceiveCount"]) > 1


def test_an_alarm_without_data_knows_nothing_and_says_so(account: Account) -> None:
    cloudwatch, name = account.client("cloudwatch"), account.name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=account.prefix,
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="missing",
    )
    account.afterwards(cloudwatch.delete_alarms, AlarmNames=[name])

    def state() -> str:
        found = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found[0]["StateValue"])

    assert state() == "INSUFFICIENT_DATA"
    cloudwatch.put_metric_data(
        Namespace=account.prefix, MetricData=[{"MetricName": "Errors", "Value": 1.0, "Unit": "Count"}]
    )
    account.until(state, lambda now: now == "ALARM")
    account.until(state, lambda now: now == "INSUFFICIENT_DATA")


def test_a_used_schedule_name_is_refused(account: Account) -> None:
    scheduler, name = account.client("scheduler"), account.name("tick")
    inbox = account.inbox({"source": ["nobody"]})
    arn = account.client("sqs").get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])
    request = {
        "Name": name,
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": arn["Attributes"]["QueueArn"],
            "RoleArn": account.role,
            "Input": '{"at": "<aws.scheduler.scheduled-time>", "try": "<aws.scheduler.attempt-number>"}',
        },
    }
    scheduler.create_schedule(**request)
    account.afterwards(scheduler.delete_schedule, Name=name)

    code, _ = account.refusal(lambda: scheduler.create_schedule(**request))

    assert code == "ConflictException"
    account.pass_time(61)
    ticks = account.read(inbox, 1, calm=0)
    assert ticks[0]["try"] == "1"
    assert ticks[0]["at"].endswith("Z")


def test_a_schedule_that_is_none_is_refused(account: Account) -> None:
    code, _ = account.refusal(
        lambda: account.client("scheduler").create_schedule(
            Name=account.name("tick"),
            ScheduleExpression="every now and then",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": account.role},
        )
    )

    assert code == "ValidationException"
