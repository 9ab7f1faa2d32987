import threading

import pytest
from moto.awslambda.models import LambdaBackend, lambda_backends
from moto.sqs.models import sqs_backends

from driftwheel_local import patches

ACCOUNT = "123456789012"


@pytest.fixture
def stack(new_stack):
    return new_stack(workers=1)


def _queue(stack):
    stack.client("sqs").create_queue(QueueName="jobs")
    backend = sqs_backends[ACCOUNT]["us-east-1"]
    return backend, backend.get_queue("jobs")


def test_moto_serves_our_backend_under_the_name_of_its_own(stack):
    backend = lambda_backends[ACCOUNT]["us-east-1"]

    assert type(backend) is not LambdaBackend
    assert isinstance(backend, LambdaBackend)
    assert type(backend).__module__ == LambdaBackend.__module__


def test_undo_gives_moto_its_own_backend_back(stack):
    patches.undo()

    assert lambda_backends.backend is LambdaBackend


@pytest.mark.parametrize("name", ["receive_message", "delete_message", "change_message_visibility"])
def test_a_queue_is_changed_by_one_request_at_a_time(stack, name):
    backend, queue = _queue(stack)
    message = backend.send_message("jobs", "x")
    backend.receive_message("jobs", 1, 0, 30)
    arguments = {
        "receive_message": (1, 0, 30),
        "delete_message": (message.receipt_handle,),
        "change_message_visibility": (message.receipt_handle, 0),
    }[name]
    change = threading.Thread(target=getattr(backend, name), args=("jobs", *arguments))

    with queue._messages_lock:
        change.start()
        change.join(0.1)
        assert change.is_alive()

    change.join(5)
    assert not change.is_alive()


def test_a_long_poll_does_not_keep_others_from_sending(stack):
    backend, _ = _queue(stack)
    received = []
    poll = threading.Thread(target=lambda: received.extend(backend.receive_message("jobs", 1, 10, 30)))
    poll.start()

    backend.send_message("jobs", "x")
    poll.join(5)

    assert [message.body for message in received] == ["x"]


def test_visibility_ends_when_the_clock_says_so(stack):
    backend, _ = _queue(stack)
    backend.send_message("jobs", "x")
    backend.receive_message("jobs", 1, 0, 600)

    assert backend.receive_message("jobs", 1, 0, 600) == []
    stack.clock.advance(601)
    assert len(backend.receive_message("jobs", 1, 0, 600)) == 1


def test_cloudwatch_logs_takes_events_of_the_moved_clock(stack):
    stack.clock.advance(10 * 86_400)
    logs = stack.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")

    event = {"timestamp": int(stack.clock.now().timestamp() * 1000), "message": "x"}
    answer = logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])

    assert not answer.get("rejectedLogEventsInfo")
    assert logs.get_log_events(logGroupName="g", logStreamName="s")["events"][0]["message"] == "x"
