import json
import time

import pytest
from botocore.exceptions import ClientError

from driftwheel_local import queues
from driftwheel_local.queues import MalformedResponseError, failed_items

ARN = "arn:aws:sqs:us-east-1:123456789012:"
COLLECT = """
    import json, pathlib, uuid
    FOLDER = pathlib.Path({folder!r})
    def handler(event, context):
        (FOLDER / uuid.uuid4().hex).write_text(json.dumps(event))
"""


@pytest.fixture
def stack(new_stack):
    stack = new_stack(workers=4)
    stack.seen = stack.folder / "seen"
    stack.seen.mkdir()
    return stack


def _queue(stack, name="jobs", **attributes):
    attributes = {"VisibilityTimeout": "30"} | attributes
    return stack.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def _dead_lettered(stack, name="jobs"):
    redrive = {"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": 2}
    return _queue(stack, name, RedrivePolicy=json.dumps(redrive))


def _map(stack, function, queue="jobs", **settings):
    return stack.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=f"arn:aws:sqs:us-east-1:123456789012:{queue}", **settings
    )["UUID"]


def _collector(stack, name="collect", ending="", **settings):
    stack.function(name, COLLECT.format(folder=str(stack.seen)) + ending, **settings)


def _batches(stack, count):
    """Wait for `count` calls of the collecting function; answer their records."""
    deadline = time.monotonic() + 10
    while len(files := [*stack.seen.iterdir()]) < count:
        assert time.monotonic() < deadline, f"{len(files)} of {count} calls"
        time.sleep(0.01)
    time.sleep(0.02)  # a file exists before its text
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    return [json.loads(file.read_text())["Records"] for file in files]


def _left(stack, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    got = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    # moto counts an invisible message that is not deleted only as not visible.
    return int(got[names[0]]), int(got[names[1]])


def _until_left(stack, url, expected):
    deadline = time.monotonic() + 10
    while (left := _left(stack, url)) != expected:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_a_message_reaches_the_function_in_aws_shape_and_is_deleted(stack):
    url = _queue(stack)
    _collector(stack)
    _map(stack, "collect")

    sent = stack.client("sqs").send_message(
        QueueUrl=url,
        MessageBody='{"a": 1}',
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "x"}},
    )

    ((record,),) = _batches(stack, 1)
    _until_left(stack, url, (0, 0))
    assert record["messageId"] == sent["MessageId"]
    assert record["body"] == '{"a": 1}'
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:jobs"
    assert record["awsRegion"] == "us-east-1"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - time.time()) < 10
    assert set(record["attributes"]) >= {"SenderId", "ApproximateFirstReceiveTimestamp"}
    assert record["messageAttributes"]["kind"] == {
        "stringValue": "x",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }


def test_a_sent_message_wakes_the_poller(stack, monkeypatch):
    monkeypatch.setattr(queues, "POLL_SECONDS", 5.0)
    url = _queue(stack)
    _collector(stack)
    _map(stack, "collect")
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="warm up")
    _batches(stack, 1)

    started = time.perf_counter()
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="now")
    while len([*stack.seen.iterdir()]) < 2:
        time.sleep(0.002)
        assert time.perf_counter() - started < 2.0, "it waited for the next look"


def test_sending_does_not_wait_for_the_function(stack):
    url = _queue(stack)
    stack.function("slow", "import time\ndef handler(e, c): time.sleep(1)")
    _map(stack, "slow")

    started = time.perf_counter()
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="x")

    assert time.perf_counter() - started < 0.5


def test_messages_that_lie_there_already_are_taken_in_batches(stack):
    url = _queue(stack)
    _collector(stack)
    for number in range(7):
        stack.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))

    _map(stack, "collect", BatchSize=3)

    batches = _batches(stack, 3)
    assert sorted(len(batch) for batch in batches) == [1, 3, 3]
    assert sorted(record["body"] for batch in batches for record in batch) == [str(n) for n in range(7)]


def test_a_window_gathers_messages_until_it_ends_or_the_batch_is_full(stack):
    url = _queue(stack)
    _collector(stack)
    _map(stack, "collect", BatchSize=3, MaximumBatchingWindowInSeconds=300)
    for number in range(4):
        stack.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))

    assert [len(batch) for batch in _batches(stack, 1)] == [3]
    time.sleep(0.1)
    assert len(_batches(stack, 1)) == 1

    deadline = time.monotonic() + 10
    while len([*stack.seen.iterdir()]) < 2:
        assert time.monotonic() < deadline
        stack.clock.advance(301)
        time.sleep(0.05)
    assert [len(batch) for batch in _batches(stack, 2)] == [3, 1]


def test_a_failing_function_leaves_its_messages_invisible_until_the_timeout(stack):
    url = _queue(stack)
    _collector(stack, ending="        raise ValueError\n")
    _map(stack, "collect")

    stack.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    _batches(stack, 1)
    _until_left(stack, url, (0, 1))
    stack.clock.advance(31)

    batches = _batches(stack, 2)
    assert [batch[0]["attributes"]["ApproximateReceiveCount"] for batch in batches] == ["1", "2"]


@pytest.mark.case("EV-11")
def test_a_message_goes_to_the_dead_letter_queue_after_the_allowed_receives(stack):
    dead = _queue(stack, "dead")
    url = _dead_lettered(stack)
    _collector(stack, ending="        raise ValueError\n")
    _map(stack, "collect")

    stack.client("sqs").send_message(QueueUrl=url, MessageBody="poison")
    for count in (1, 2):
        _batches(stack, count)
        _until_left(stack, url, (0, 1))
        stack.clock.advance(31)

    _until_left(stack, dead, (1, 0))
    assert _left(stack, url) == (0, 0)
    assert len(_batches(stack, 2)) == 2
    (message,) = stack.client("sqs").receive_message(QueueUrl=dead)["Messages"]
    assert message["Body"] == "poison"


@pytest.mark.case("EV-11")
def test_dead_letters_go_back_to_their_queue_as_new_messages_when_they_are_moved(stack):
    sqs, dead = stack.client("sqs"), _queue(stack, "dead")
    url = _dead_lettered(stack)
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}}
    sent = {
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)["MessageId"]
        for body in map(str, range(11))
    }
    while _left(stack, dead) != (11, 0):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    _collector(stack)
    _map(stack, "collect")

    assert sqs.start_message_move_task(SourceArn=ARN + "dead")["TaskHandle"]

    _until_left(stack, url, (0, 0))
    assert _left(stack, dead) == (0, 0)
    records = [record for batch in _batches(stack, 2) for record in batch]
    assert sorted(int(record["body"]) for record in records) == [*range(11)]
    assert not sent & {record["messageId"] for record in records}
    assert {record["attributes"]["ApproximateReceiveCount"] for record in records} == {"1"}
    assert {record["messageAttributes"]["kind"]["stringValue"] for record in records} == {"x"}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"SourceArn": ARN + "nowhere"}, "SourceArn parameter doesn't exist"),
        ({"SourceArn": ARN + "dead", "DestinationArn": ARN + "nowhere"}, "DestinationArn parameter"),
        ({"SourceArn": ARN + "dead", "DestinationArn": ARN + "dead"}, "must not be the same"),
        ({"SourceArn": ARN + "jobs"}, "must be configured as a Dead Letter Queue"),
        ({"SourceArn": ARN + "dead"}, "which of jobs, more a message came from"),
    ],
)
def test_a_move_from_or_to_what_is_no_such_queue_is_refused(stack, request_, sentence):
    _queue(stack, "dead")
    for name in ("jobs", "more"):
        _dead_lettered(stack, name)

    with pytest.raises(ClientError, match=sentence):
        stack.client("sqs").start_message_move_task(**request_)


@pytest.mark.case("EV-11")
def test_only_the_failed_items_of_a_partial_response_stay(stack):
    url = _queue(stack)
    _collector(
        stack,
        ending="""
        bad = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
""",
    )
    for body in ("good", "bad", "fine"):
        stack.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    _map(stack, "collect", FunctionResponseTypes=["ReportBatchItemFailures"])
    _batches(stack, 1)

    _until_left(stack, url, (0, 1))
    stack.clock.advance(31)
    assert [record["body"] for record in _batches(stack, 2)[1]] == ["bad"]


def test_a_malformed_partial_response_fails_the_whole_batch(stack):
    url = _queue(stack)
    _collector(stack, ending="        return {'batchItemFailures': [{'itemIdentifier': ''}]}\n")
    for body in ("a", "b"):
        stack.client("sqs").send_message(QueueUrl=url, MessageBody=body)

    _map(stack, "collect", FunctionResponseTypes=["ReportBatchItemFailures"])
    _batches(stack, 1)
    time.sleep(0.1)

    assert _left(stack, url) == (0, 2)


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"{}", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}']
)
def test_these_answers_mean_that_every_message_succeeded(answer):
    assert failed_items(answer, {"1"}) == set()


@pytest.mark.parametrize(
    "answer",
    [
        b"no json",
        b'"text"',
        b"[]",
        b'{"batchItemFailures": 3}',
        b'{"batchItemFailures": ["1"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"identifier": "1"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "of another batch"}]}',
    ],
)
def test_these_answers_fail_the_whole_batch(answer):
    with pytest.raises(MalformedResponseError):
        failed_items(answer, {"1"})


def test_without_the_response_type_the_answer_is_not_looked_at(stack):
    url = _queue(stack)
    _collector(stack, ending="        return {'batchItemFailures': [{'itemIdentifier': 'x'}]}\n")
    _map(stack, "collect")

    stack.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    _batches(stack, 1)

    _until_left(stack, url, (0, 0))


def test_no_more_batches_run_at_once_than_the_mapping_allows(stack):
    url = _queue(stack)
    stack.function(
        "count",
        f"""
        import os, pathlib, time, uuid
        FOLDER = pathlib.Path({str(stack.seen)!r})
        def handler(event, context):
            mark = FOLDER / ("run-" + uuid.uuid4().hex)
            mark.touch()
            running = len(list(FOLDER.glob("run-*")))
            time.sleep(0.05)
            (FOLDER / (f"{{running}}-" + uuid.uuid4().hex)).touch()
            mark.unlink()
        """,
    )
    for number in range(8):
        stack.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))

    _map(stack, "count", BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    _until_left(stack, url, (0, 0))

    running = [int(file.name.split("-")[0]) for file in stack.seen.glob("[0-9]*")]
    assert len(running) == 8
    assert max(running) == 2


def test_a_disabled_mapping_polls_nothing_and_an_enabled_one_again(stack):
    url = _queue(stack)
    _collector(stack)
    uuid = _map(stack, "collect")
    client = stack.client("lambda")

    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    time.sleep(0.4)
    assert _left(stack, url) == (1, 0)

    client.update_event_source_mapping(UUID=uuid, Enabled=True)
    _batches(stack, 1)


def test_a_deleted_mapping_stops(stack):
    url = _queue(stack)
    _collector(stack)
    uuid = _map(stack, "collect")

    stack.client("lambda").delete_event_source_mapping(UUID=uuid)
    stack.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    time.sleep(0.4)

    assert _left(stack, url) == (1, 0)


def test_delayed_messages_arrive_when_the_clock_reaches_them(stack):
    url = _queue(stack)
    _collector(stack)
    _map(stack, "collect")

    stack.client("sqs").send_message(QueueUrl=url, MessageBody="later", DelaySeconds=600)
    time.sleep(0.3)
    assert [*stack.seen.iterdir()] == []

    stack.clock.advance(601)
    assert _batches(stack, 1)[0][0]["body"] == "later"


def test_a_message_older_than_its_queues_retention_is_not_handed_out(stack):
    client = stack.client("sqs")
    url = _queue(stack, MessageRetentionPeriod="600")
    client.send_message(QueueUrl=url, MessageBody="old")
    stack.clock.advance(590)
    client.send_message(QueueUrl=url, MessageBody="young")
    client.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=1)

    stack.clock.advance(20)

    bodies = [
        message["Body"]
        for _ in range(3)
        for message in client.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", ())
    ]
    assert bodies == ["young"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria"),
        ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
        ({"BatchSize": 10_001, "MaximumBatchingWindowInSeconds": 1}, "BatchSize 10001"),
        ({"MaximumBatchingWindowInSeconds": 301}, "301"),
        ({"ScalingConfig": {"MaximumConcurrency": 1001}}, "MaximumConcurrency 1001"),
    ],
)
def test_mappings_that_aws_or_this_runtime_refuses(stack, settings, message):
    _queue(stack)
    _collector(stack)

    with pytest.raises(ClientError, match=message) as refused:
        _map(stack, "collect", **settings)

    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_a_queue_with_a_visibility_shorter_than_the_functions_timeout_is_refused(stack):
    _queue(stack, VisibilityTimeout="10")
    _collector(stack, Timeout=60)

    with pytest.raises(
        ClientError, match="Queue visibility timeout: 10 seconds is less than Function timeout: 60"
    ):
        _map(stack, "collect")


def test_a_second_mapping_of_the_same_queue_and_function_is_refused(stack):
    _queue(stack)
    _collector(stack)
    _map(stack, "collect")

    with pytest.raises(ClientError) as refused:
        _map(stack, "collect")

    assert refused.value.response["Error"]["Code"] == "ResourceConflictException"
