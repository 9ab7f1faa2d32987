"""S3's own event notifications beside EventBridge's events: the same object by either route, and once."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest

from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Objects
from driftwheel.ledger.runs import Runs
from driftwheel.run import Run
from driftwheel.steps.training_launch import job_name

from .conftest import Context, Send, World, created, executions
from .test_data_arrival import AWKWARD, LONGEST_KEY_BYTES
from .test_trigger import SPEC, TICK, register

AWS_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
"""What CreateTrainingJob takes."""
Word = Callable[[dict[str, Any]], dict[str, Any]]


def notified(*events: dict[str, Any], name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Word EventBridge's events as S3 words one notification of them all."""
    return {
        "Records": [
            {
                "eventVersion": "2.5",
                "eventSource": "aws:s3",
                "eventTime": event["time"],
                "eventName": name,
                "s3": {
                    "bucket": event["detail"]["bucket"],
                    "object": _in_s3s_words(event["detail"]["object"]),
                },
            }
            for event in events
        ]
    }


def _in_s3s_words(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": quote_plus(found["key"]),
        "size": found["size"],
        "eTag": found["etag"],
        "versionId": found.get("version-id"),
        "sequencer": found["sequencer"],
    }


def raw(event: dict[str, Any]) -> dict[str, Any]:
    """Word an event as EventBridge does."""
    return event


def frozen(world: World, states: Any) -> tuple[dict[str, Any], Run]:
    """Read the one run that was started, and the data set it may read."""
    (execution,) = executions(states)
    described = states.describe_execution(executionArn=execution["executionArn"])
    run = Run.model_validate_json(described["input"])
    return world.read(f"runs/flights/{run.run_id}/data.json"), run


def misread(key: str) -> set[str]:
    """List what a key becomes in wrong hands, as far as that is another key S3 would take."""
    forms = {unquote_plus(key), quote(key), key.replace("+", " "), key.replace(" ", "+")}
    forms |= {unicodedata.normalize("NFC", key), unicodedata.normalize("NFD", key)}
    return {form for form in forms - {key} if len(form.encode()) <= LONGEST_KEY_BYTES}


@pytest.mark.case("EV-07")
@pytest.mark.parametrize("word", [raw, notified])
@pytest.mark.parametrize("name", AWKWARD, ids=lambda name: name[:12])
def test_the_object_itself_is_read_however_its_key_is_worded(
    world: World, states: Any, send: Send, context: Context, name: str, word: Word
) -> None:
    key = f"data/flights/{name}"
    for other in misread(key):
        world.put(world.landing, other, b"another object\n")

    send(register(world), word(created(world, key, b"x\n1\n")))
    send(TICK, seconds=4)

    data, run = frozen(world, states)
    assert [entry["key"] for entry in data["objects"]] == [key]
    section = world.load("data_arrival").handler(run.model_dump(mode="json"), context)
    assert (section["outcome"], section["objects"], section["size_bytes"]) == ("ready", 1, 4)
    assert AWS_NAME.fullmatch(job_name(run, "driftwheel", 1))


@pytest.mark.case("EV-07")
@pytest.mark.parametrize("routes", [(raw, notified), (notified, raw)], ids=["raw first", "raw last"])
@pytest.mark.parametrize("versioned", [True, False])
def test_objects_told_by_both_routes_are_entered_once_each_and_start_one_run(
    world: World, states: Any, send: Send, routes: tuple[Word, Word], *, versioned: bool
) -> None:
    events = [created(world, f"data/flights/{name}") for name in AWKWARD]
    if not versioned:
        for event in events:
            del event["detail"]["object"]["version-id"]
    send(register(world), *map(routes[0], events))
    send(TICK, seconds=4)

    send(*map(routes[1], events))
    send(TICK, seconds=600)

    rows = [(row.key, row.state, row.deliveries) for row in Objects(world.table).of_model("flights")]
    assert sorted(rows) == sorted((f"data/flights/{name}", "pending", 2) for name in AWKWARD)
    data, _ = frozen(world, states)
    assert len(data["objects"]) == len(AWKWARD)


@pytest.mark.case("EV-07")
@pytest.mark.parametrize("word", [raw, notified])
def test_keys_that_look_alike_in_a_job_name_get_jobs_of_their_own(
    world: World, states: Any, send: Send, word: Word
) -> None:
    names = {*AWKWARD, *(form.removeprefix("data/flights/") for name in AWKWARD for form in misread(name))}
    send(register(world, SPEC.replace("runs_per_day: 12", "runs_per_day: 100")))
    for name in names:  # one at a time, of one size, content and moment, in a bucket without versions
        event = created(world, f"data/flights/{name}")
        del event["detail"]["object"]["version-id"]
        send(word(event), seconds=0)
        send(TICK, seconds=4)
        (run,) = [run for run in Runs(world.table).of_model("flights") if not run.ended_at]
        Runs(world.table).end("flights", run.run_id, "rejected", "", "2026-01-02T12:00:05+00:00")
        Leases(world.table).release("flights", run.run_id, run.fence)
        (row,) = Objects(world.table).pending("flights")
        Objects(world.table).settle(row, "rejected", "")

    inputs = [states.describe_execution(executionArn=e["executionArn"])["input"] for e in executions(states)]
    jobs = [job_name(Run.model_validate_json(text), "driftwheel", 1) for text in inputs]
    assert len(set(jobs)) == len(names)
    assert all(AWS_NAME.fullmatch(job) for job in jobs)


@pytest.mark.case("EV-01")
@pytest.mark.case("EV-07")
def test_a_notification_cut_off_between_two_records_is_finished_by_its_redelivery(
    world: World, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(register(world))
    files = [created(world, f"data/flights/{name}", name.encode()) for name in ("a b.csv", "c+d.csv")]
    deliver = Objects.deliver

    def cut_off(objects: Objects, object_: Any) -> Any:
        if object_.key.endswith("c+d.csv"):
            raise TimeoutError("throttled")
        return deliver(objects, object_)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "deliver", cut_off)
        answer = send(TICK, notified(*files))
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m1"]

    assert send(notified(*files)) == {"batchItemFailures": []}

    rows = Objects(world.table).of_model("flights")
    assert [(row.key, row.state, row.deliveries) for row in rows] == [
        ("data/flights/a b.csv", "pending", 2),
        ("data/flights/c+d.csv", "pending", 1),
    ]


def test_what_s3_sends_to_try_a_queue_is_ignored(world: World, send: Send) -> None:
    tried = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-02T12:00:00.000Z",
        "Bucket": world.landing,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    }

    assert send(tried) == {"batchItemFailures": []}


@pytest.mark.case("EV-13")
def test_a_deletion_comes_back_alone_and_enters_nothing_by_either_route(world: World, send: Send) -> None:
    event = created(world, "data/flights/a.csv")
    deleted = event | {"detail-type": "Object Deleted"}

    answer = send(deleted, notified(event, name="ObjectRemoved:Delete"), {"Event": "s3:Other"}, TICK)

    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m0", "m1", "m2"]
    assert Objects(world.table).of_model("nobody") == []


@pytest.mark.case("EV-13")
@pytest.mark.parametrize(
    "change",
    [{"eventSource": "aws:ses"}, {"s3": {"bucket": {"name": "b"}, "object": {"key": "data/%FF.csv"}}}],
)
def test_a_record_that_cannot_be_read_refuses_its_whole_notification(
    world: World, send: Send, change: dict[str, Any]
) -> None:
    message = notified(created(world, "data/flights/a.csv"), created(world, "data/flights/b.csv"))
    message["Records"][1] |= change

    answer = send(message, {"Records": []}, TICK)

    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m0", "m1"]
    assert Objects(world.table).of_model("nobody") == []


@pytest.mark.case("EV-12")
def test_another_buckets_object_is_the_same_by_either_route(world: World, send: Send) -> None:
    world.client("s3").create_bucket(Bucket="elsewhere")
    event = created(world, "data/flights/a.csv")
    event["detail"]["bucket"]["name"] = "elsewhere"

    send(notified(event), event)

    (row,) = Objects(world.table).of_model("nobody")
    assert (row.bucket, row.deliveries) == ("elsewhere", 2)


def test_s3s_event_handed_over_without_a_queue_is_taken(world: World, send: Send, context: Context) -> None:
    send(register(world))
    handler = world.load("trigger").handler

    answer = handler(notified(created(world, "data/flights/a b.csv")), context)

    assert answer == {"batchItemFailures": []}
    assert [row.key for row in Objects(world.table).of_model("flights")] == ["data/flights/a b.csv"]


def test_the_event_of_the_example_is_taken(world: World, send: Send, event: Callable[[str], Any]) -> None:
    bodies = [json.loads(record["body"]) for record in event("trigger")["Records"]]

    assert send(*bodies) == {"batchItemFailures": []}

    keys = [row.key for row in Objects(world.table).of_model("nobody")]
    assert keys == ["data/flights/2013 February.csv", "data/flights/2013-01.csv"]
