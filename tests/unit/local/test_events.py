import json
import threading
import time
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from driftwheel_local.clock import Clock
from driftwheel_local.deliveries import Deliveries
from driftwheel_local.events import (
    EventRouter,
    RequestTooLargeError,
    TargetLimitError,
    UnknownBusError,
)
from driftwheel_local.inputs import InvalidInputError
from driftwheel_local.patterns import parse_pattern
from driftwheel_local.targets import UnsupportedTargetError

ACCOUNT, REGION = "123456789012", "us-east-1"


def arn(service, resource):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class Aws:
    """Records calls and answers with what a test planned for the next ones."""

    def __init__(self):
        self.calls = []
        self.plan = {}
        self.arrived = threading.Condition()

    def __call__(self, service):
        return SimpleNamespace(**{name: self._method(name) for name in _METHODS[service]})

    def _method(self, name):
        def call(**request):
            with self.arrived:
                if name != "get_queue_url":
                    self.calls.append((name, request))
                self.arrived.notify_all()
                planned = self.plan.get(name, [])
                answer = planned.pop(0) if planned else None
            if answer is not None:
                raise answer
            return {"QueueUrl": f"url:{request.get('QueueName')}"}

        return call

    def named(self, name, count=1, seconds=5):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self._named(name)) >= count, seconds), self.calls
            return self._named(name)

    def _named(self, name):
        return [request for called, request in self.calls if called == name]


_METHODS = {
    "sqs": ["get_queue_url", "send_message"],
    "lambda": ["invoke"],
    "stepfunctions": ["start_execution"],
    "sns": ["publish"],
    "logs": ["create_log_stream", "put_log_events"],
}


def refusal(code, status=400):
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Send")


class Bus:
    """An event bus with rules."""

    def __init__(self):
        self.rules = {"default": []}

    def rules_of(self, bus):
        if bus not in self.rules:
            raise UnknownBusError(bus)
        return self.rules[bus]

    def rule(self, pattern, *targets, state="ENABLED", bus="default"):
        raw = parse_pattern(json.dumps(pattern))
        name = f"rule-{len(self.rules[bus])}"
        self.rules[bus].append(
            SimpleNamespace(
                name=name,
                arn=arn("events", f"rule/{name}"),
                state=state,
                event_bus_name=bus,
                targets=[{"Id": str(i), **target} for i, target in enumerate(targets)],
                event_pattern=SimpleNamespace(get_pattern=lambda: raw),
            )
        )


@pytest.fixture
def aws():
    return Aws()


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def router(aws, bus, clock, tmp_path):
    deliveries = Deliveries(aws, clock, tmp_path)
    yield EventRouter(bus, deliveries, clock, account=ACCOUNT, region=REGION)
    deliveries.close()


def entry(**fields):
    return {"Source": "shop", "DetailType": "Sold", "Detail": '{"n": 1}'} | fields


QUEUE = {"Arn": arn("sqs", "q")}


def test_an_event_reaches_every_kind_of_target(router, bus, aws):
    bus.rule(
        {"source": ["shop"]},
        QUEUE,
        {"Arn": arn("lambda", "function:f")},
        {"Arn": arn("states", "stateMachine:m")},
        {"Arn": arn("sns", "t")},
        {"Arn": arn("logs", "log-group:/aws/events/x:*")},
    )

    answer = router.put_events([entry(Time=1_700_000_000, Resources=["r"])])

    event = json.loads(aws.named("send_message")[0]["MessageBody"])
    assert event == {
        "version": "0",
        "id": answer[0]["EventId"],
        "detail-type": "Sold",
        "source": "shop",
        "account": ACCOUNT,
        "time": "2023-11-14T22:13:20Z",
        "region": REGION,
        "resources": ["r"],
        "detail": {"n": 1},
    }
    invoked = aws.named("invoke")[0]
    assert invoked["InvocationType"] == "Event"
    assert json.loads(invoked["Payload"]) == event
    assert aws.named("start_execution")[0]["name"].startswith(event["id"])
    assert json.loads(aws.named("publish")[0]["Message"]) == event
    logged = aws.named("put_log_events")[0]
    assert logged["logGroupName"] == "/aws/events/x"
    assert json.loads(logged["logEvents"][0]["message"]) == event


def test_only_enabled_rules_whose_pattern_matches_get_an_event(router, bus, aws):
    bus.rule({"source": ["shop"]}, QUEUE | {"Input": '"off"'}, state="DISABLED")
    bus.rule({"source": ["other"]}, QUEUE | {"Input": '"other"'})
    bus.rule({"source": ["shop"]}, QUEUE | {"Input": '"on"'})

    router.put_events([entry()])

    assert aws.named("send_message")[0]["MessageBody"] == '"on"'
    time.sleep(0.05)
    assert len(aws.named("send_message")) == 1


def test_a_services_own_event_gets_a_unique_envelope(router, bus, aws):
    bus.rule({"source": ["aws.s3"]}, QUEUE)
    event = {"source": "aws.s3", "detail-type": "Object Created", "resources": ["r"], "detail": {"a": 1}}

    router.publish(event)
    router.publish(event)

    first, second = (json.loads(each["MessageBody"]) for each in aws.named("send_message", 2))
    assert first["id"] != second["id"]
    assert first["time"].endswith("Z")
    assert (first["account"], first["region"], first["version"]) == (ACCOUNT, REGION, "0")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException"),
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": None}, "InvalidArgument"),
        ({"Detail": "{"}, "MalformedDetail"),
        ({"Detail": "[1]"}, "MalformedDetail"),
    ],
)
def test_a_bad_entry_is_refused_and_its_neighbour_is_not(router, fields, code):
    bad, good = router.put_events([entry(**fields), entry()])

    assert bad["ErrorCode"] == code
    assert "EventId" in good


def test_more_than_ten_entries_or_256_kilobytes_are_refused(router):
    with pytest.raises(RequestTooLargeError, match="less than or equal to 10"):
        router.put_events([entry()] * 11)
    with pytest.raises(RequestTooLargeError, match="over the limit"):
        router.put_events([entry(Detail=json.dumps({"x": "a" * 140_000}))] * 2)


def test_an_unknown_bus_is_refused(router):
    with pytest.raises(UnknownBusError):
        router.put_events([entry(EventBusName="nowhere")])


def test_an_event_passes_from_bus_to_bus_once(router, bus, aws):
    bus.rules |= {"second": [], "third": []}
    bus.rule({"source": ["shop"]}, {"Arn": arn("events", "event-bus/second")})
    bus.rule({"source": ["shop"]}, {"Arn": arn("events", "event-bus/third")}, QUEUE, bus="second")
    bus.rule({"source": ["shop"]}, QUEUE, bus="third")

    router.put_events([entry()])

    aws.named("send_message")
    time.sleep(0.05)
    assert len(aws.named("send_message")) == 1


def test_a_fifo_target_gets_its_message_group(router, bus, aws):
    bus.rule(
        {"source": ["shop"]},
        {"Arn": arn("sqs", "q.fifo"), "SqsParameters": {"MessageGroupId": "$.detail.n"}},
        {"Arn": arn("sqs", "p.fifo"), "SqsParameters": {"MessageGroupId": "g"}},
    )

    router.put_events([entry()])

    assert {each["MessageGroupId"] for each in aws.named("send_message", 2)} == {"1", "g"}


def test_a_throttled_target_is_tried_again_until_it_takes_the_event(router, bus, aws, clock):
    aws.plan["invoke"] = [refusal("TooManyRequestsException", 429), refusal("ServiceException", 500)]
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")})

    router.put_events([entry()])
    for count in (1, 2):
        aws.named("invoke", count)
        time.sleep(0.02)
        clock.advance(60)

    assert len({each["Payload"] for each in aws.named("invoke", 3)}) == 1


def dead_letter(aws):
    letter = aws.named("send_message")[-1]
    return letter, {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}


DEAD = {"DeadLetterConfig": {"Arn": arn("sqs", "dead")}}


def test_an_absent_target_is_not_tried_again_and_its_event_becomes_a_dead_letter(router, bus, aws):
    aws.plan["invoke"] = [refusal("ResourceNotFoundException", 404)]
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f"), "Input": "{}"} | DEAD)

    answer = router.put_events([entry()])

    letter, attributes = dead_letter(aws)
    assert letter["QueueUrl"] == "url:dead"
    assert json.loads(letter["MessageBody"])["id"] == answer[0]["EventId"]
    assert attributes == {
        "RULE_ARN": arn("events", "rule/rule-0"),
        "TARGET_ARN": arn("lambda", "function:f"),
        "ERROR_CODE": "NO_RESOURCE",
        "ERROR_MESSAGE": "ResourceNotFoundException: m",
        "RETRY_ATTEMPTS": "0",
    }
    assert len(aws.named("invoke")) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("AccessDeniedException", 403), "NO_PERMISSIONS"),
        (refusal("ValidationException"), "INVALID_PARAMETER"),
    ],
)
def test_a_dead_letter_names_the_kind_of_failure(router, bus, aws, error, code):
    aws.plan["invoke"] = [error]
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")} | DEAD)

    router.put_events([entry()])

    assert dead_letter(aws)[1]["ERROR_CODE"] == code


def test_retries_end_after_their_number(router, bus, aws, clock):
    aws.plan["invoke"] = [EndpointConnectionError(endpoint_url="x")] * 3
    policy = {"RetryPolicy": {"MaximumRetryAttempts": 2}}
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")} | DEAD | policy)

    router.put_events([entry()])
    for count in (1, 2):
        aws.named("invoke", count)
        time.sleep(0.02)
        clock.advance(60)

    _, attributes = dead_letter(aws)
    assert attributes["ERROR_CODE"] == "CONNECTION_FAILURE"
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert attributes["RETRY_ATTEMPTS"] == "2"


def test_retries_end_with_the_events_age(router, bus, aws, clock):
    aws.plan["invoke"] = [refusal("ThrottlingException")] * 9
    policy = {"RetryPolicy": {"MaximumEventAgeInSeconds": 60}}
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")} | DEAD | policy)

    router.put_events([entry()])
    aws.named("invoke")
    time.sleep(0.02)
    clock.advance(61)

    assert dead_letter(aws)[1]["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"


def test_an_event_dropped_without_dead_letter_queue_is_written_to_the_log(router, bus, aws, caplog):
    aws.plan["invoke"] = [refusal("ResourceNotFoundException", 404)]
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")})

    router.put_events([entry()])
    aws.named("invoke")
    deadline = time.monotonic() + 5
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.01)

    assert "no dead-letter queue" in caplog.text
    assert caplog.records[-1].fields["TARGET_ARN"] == arn("lambda", "function:f")


def files(folder):
    return [path.name for path in folder.iterdir()]


def test_what_waits_for_a_retry_at_the_end_is_brought_by_the_next_stack(aws, bus, clock, tmp_path, caplog):
    first = Deliveries(aws, clock, tmp_path)
    router = EventRouter(bus, first, clock, account=ACCOUNT, region=REGION)
    aws.plan["invoke"] = [refusal("ThrottlingException")]
    bus.rule({"source": ["shop"]}, {"Arn": arn("lambda", "function:f")})
    answer = router.put_events([entry()])
    aws.named("invoke")
    first.close()
    assert "kept for the next start" in caplog.text
    assert len(files(tmp_path)) == 1
    (tmp_path / ".cut-off").touch()  # a kill in the middle of writing

    second = Deliveries(aws, clock, tmp_path)
    second.resume()
    brought = aws.named("invoke", 2)[1]
    second.close()

    assert json.loads(brought["Payload"])["id"] == answer[0]["EventId"]
    assert not files(tmp_path)


def test_an_event_is_written_down_before_put_events_answers(aws, bus, clock, tmp_path):
    kept = []
    deliveries = Deliveries(aws, clock, tmp_path)
    deliveries._start = lambda _delivery: kept.extend(files(tmp_path))
    router = EventRouter(bus, deliveries, clock, account=ACCOUNT, region=REGION)
    bus.rule({"source": ["shop"]}, QUEUE)

    router.put_events([entry()])
    deliveries.close()

    assert len(kept) == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Arn": arn("kinesis", "stream/x")}, "target type of .*kinesis.* is not supported"),
        ({"Arn": arn("events", "api-destination/x")}, "api-destination"),
        ({"Arn": arn("states", "activity:x")}, "activity"),
        ({"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"}, "outside account"),
        ({"Arn": "queue"}, "not in correct format"),
        (QUEUE | {"EcsParameters": {}}, "EcsParameters is not supported"),
    ],
)
def test_a_target_that_cannot_be_called_is_refused_by_name(router, target, message):
    with pytest.raises(UnsupportedTargetError, match=message):
        router.check_targets([], [{"Id": "x"} | target])


@pytest.mark.parametrize(
    "setting",
    [
        {"RetryPolicy": {"MaximumRetryAttempts": 186}},
        {"RetryPolicy": {"MaximumEventAgeInSeconds": 59}},
        {"DeadLetterConfig": {"Arn": arn("sns", "t")}},
        {"DeadLetterConfig": {"Arn": arn("sqs", "q.fifo")}},
        {"InputPath": "x"},
    ],
)
def test_a_target_setting_outside_awss_bounds_is_refused(router, setting):
    with pytest.raises(InvalidInputError):
        router.check_targets([], [{"Id": "x"} | QUEUE | setting])


def test_a_sixth_target_is_refused(router):
    five = [{"Id": str(i)} | QUEUE for i in range(5)]
    router.check_targets(five, [{"Id": "4"} | QUEUE])

    with pytest.raises(TargetLimitError):
        router.check_targets(five, [{"Id": "5"} | QUEUE])
