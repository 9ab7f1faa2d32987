"""The trigger as shipped: what arrives is entered, one policy decides, one run starts per data set."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.findings import Finding, Findings
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.objects import Objects
from driftwheel.ledger.runs import Runs, Status
from driftwheel.run import Run
from driftwheel.spec import ModelSpec
from driftwheel_local.template import read_template

from .conftest import Context, Send, World, created, executions

SPEC = Path("examples/flights/model.yaml").read_text(encoding="utf-8")


def register(world: World, text: str = SPEC) -> dict[str, Any]:
    return created(world, "models/flights/model.yaml", text.encode())


TICK = {"kind": "tick", "schedule": "arn", "scheduled_time": "2026-01-02T12:00:00Z"}


def test_a_drop_waits_for_its_quiet_period_and_then_starts_one_run(
    world: World, states: Any, send: Send
) -> None:
    send(register(world), created(world, "data/flights/a.csv"), created(world, "data/flights-weather/a.csv"))
    assert executions(states) == []

    send({"kind": "reconsider", "model": "flights"}, seconds=4)

    (execution,) = executions(states)
    described = states.describe_execution(executionArn=execution["executionArn"])
    run = Run.model_validate_json(described["input"])
    assert execution["name"] == f"flights-{run.run_id}"
    frozen = world.read(f"runs/flights/{run.run_id}/data.json")
    assert [(entry["role"], entry["key"]) for entry in frozen["objects"]] == [
        ("enrich-0", "data/flights-weather/a.csv"),
        ("source", "data/flights/a.csv"),
    ]
    lease = Leases(world.table).get("flights")
    assert lease is not None
    assert (lease.run_id, lease.fence) == (run.run_id, run.fence)


def test_a_runs_lease_outlasts_a_training_on_each_instance_type(
    world: World, states: Any, send: Send
) -> None:
    one = "algorithm: xgboost\n"
    spot = SPEC.replace(one, f"{one}  spot: true\n  fallback_instances: [ml.c5.xlarge]\n")
    send(register(world, spot), created(world, "data/flights/a.csv"))
    send(TICK, seconds=4)

    (execution,) = executions(states)
    described = states.describe_execution(executionArn=execution["executionArn"])
    run = Run.model_validate_json(described["input"])
    lease = Leases(world.table).get("flights")
    assert lease is not None
    assert len(run.spec.training.instances) == 2
    waits = sum(run.limits.model_dump().values()) + run.limits.training_seconds
    started = datetime(2026, 1, 2, 12, 0, 4, tzinfo=UTC).timestamp()
    assert lease.expires_at > started + waits


def test_files_to_join_alone_start_nothing_until_a_source_file_comes(
    world: World, states: Any, send: Send
) -> None:
    send(register(world), created(world, "data/flights-weather/a.csv"))
    send(TICK, seconds=60)
    assert executions(states) == []
    (answer,) = [d for d in Decisions(world.table).of_model("flights") if d.outcome == "wait"]
    assert answer.id.startswith("no_source-")

    send(created(world, "data/flights/a.csv"), seconds=61)
    send(TICK, seconds=70)

    assert len(executions(states)) == 1


def test_the_trigger_wakes_itself_when_the_quiet_period_ends(world: World, send: Send) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    sent = world.client("sqs").get_queue_attributes(
        QueueUrl=world.queue, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )

    assert int(sent["Attributes"]["ApproximateNumberOfMessagesDelayed"]) >= 1


def test_ticks_after_the_start_start_nothing_more(world: World, states: Any, send: Send) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    for seconds in (4, 5, 300, 600):
        send(TICK, seconds=seconds)

    assert len(executions(states)) == 1
    assert {decision.outcome for decision in Decisions(world.table).of_model("flights")} == {"wait", "start"}


@pytest.mark.case("EV-01")
def test_the_same_event_again_after_the_run_starts_no_second_training(
    world: World, states: Any, send: Send
) -> None:
    event = created(world, "data/flights/a.csv")
    send(register(world), event)
    send(TICK, seconds=4)
    (run,) = Runs(world.table).of_model("flights")
    Runs(world.table).end("flights", run.run_id, "refused", "too few rows", "2026-01-02T12:01:00+00:00")
    Leases(world.table).release("flights", run.run_id, run.fence)

    for _ in range(5):
        send(event, TICK, seconds=600)

    assert len(executions(states)) == 1
    assert Decisions(world.table).of_model("flights", limit=1)
    reasons = [decision.reason for decision in Decisions(world.table).of_model("flights")]
    assert any("on exactly these objects ended refused: too few rows" in reason for reason in reasons)


def end_run(world: World, status: Status) -> None:
    run = Runs(world.table).of_model("flights")[0]
    assert Runs(world.table).end("flights", run.run_id, status, "cut off", "2026-01-02T12:01:00+00:00")
    Leases(world.table).release("flights", run.run_id, run.fence)


def test_data_whose_run_was_aborted_gets_another_run_but_not_for_ever(
    world: World, states: Any, send: Send
) -> None:
    send(register(world), created(world, "data/flights/a.csv"))

    for turn in range(5):
        send(TICK, seconds=60 * (turn + 1))
        if len(executions(states)) == turn + 1:
            end_run(world, "aborted")

    assert len({execution["name"] for execution in executions(states)}) == 3


@pytest.mark.case("SF-04")
def test_a_person_may_repeat_a_run_that_failed_and_nobody_else_does(
    world: World, states: Any, send: Send
) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    send(TICK, seconds=4)
    end_run(world, "failed")

    send(TICK, seconds=10)
    assert len(executions(states)) == 1

    send({"kind": "manual", "model": "flights"}, seconds=20)
    assert len(executions(states)) == 2


def test_a_person_is_answered_every_time_a_tick_once(world: World, states: Any, send: Send) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    send(TICK, seconds=4)
    end_run(world, "refused")

    for seconds in (60, 61, 62):
        send({"kind": "manual", "model": "flights"}, seconds=seconds)
    for seconds in (70, 71, 72):
        send(TICK, seconds=seconds)

    decisions = Decisions(world.table).of_model("flights")
    assert [d.id.partition("-")[0] for d in decisions].count("already_decided") == 4


@pytest.mark.case("EV-10")
def test_two_triggers_that_start_one_run_at_once_write_it_down_once(
    world: World, states: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    others = iter([5])

    def beside(_: str) -> None:
        for seconds in others:
            send(TICK, seconds=seconds)

    monkeypatch.setattr("driftwheel.steps.trigger.reached", beside)
    send(TICK, seconds=4)

    (execution,) = executions(states)
    (start,) = [one for one in Decisions(world.table).of_model("flights") if one.outcome == "start"]
    assert execution["name"] == f"flights-{start.run_id}"


@pytest.mark.case("SF-09")
def test_a_crash_between_lease_and_execution_is_made_good_under_the_same_name(
    world: World, states: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(register(world), created(world, "data/flights/a.csv"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "driftwheel.aws.executions.start", lambda *_: (_ for _ in ()).throw(TimeoutError("killed"))
        )
        assert send(TICK, seconds=4) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert executions(states) == []
    (before,) = Runs(world.table).of_model("flights")

    send(TICK, seconds=400)

    (execution,) = executions(states)
    assert execution["name"] == f"flights-{before.run_id}"
    run = Run.model_validate_json(states.describe_execution(executionArn=execution["executionArn"])["input"])
    assert run.fence == before.fence


@pytest.mark.case("EV-12")
@pytest.mark.case("EV-14")
@pytest.mark.parametrize(
    "key", ["data/flights/", "data/flights/_SUCCESS", "data/flights/x.csv.tmp", "data/flights/.x.crc"]
)
def test_markers_are_ignored_by_rule_and_recorded(world: World, states: Any, send: Send, key: str) -> None:
    send(register(world))
    send(created(world, key, b""))
    send(TICK, seconds=600)

    assert executions(states) == []
    assert [row.state for row in Objects(world.table).of_model("flights")] == ["ignored"]


@pytest.mark.case("EV-12")
@pytest.mark.parametrize("key", ["other/a.csv", "runs/flights/r1/data.json", "quarantine/flights/v1/a.csv"])
def test_what_lies_elsewhere_belongs_to_nobody_and_starts_nothing(
    world: World, states: Any, send: Send, key: str
) -> None:
    send(register(world))

    answer = send(created(world, key))

    send(TICK, seconds=600)
    assert answer == {"batchItemFailures": []}
    assert executions(states) == []
    assert Objects(world.table).of_model("flights") == []
    (row,) = Objects(world.table).of_model("nobody")
    assert (row.state, row.reason) == ("ignored", "not under data/ or labels/")


def test_data_dropped_before_its_model_is_adopted_when_the_model_comes(
    world: World, states: Any, send: Send
) -> None:
    send(created(world, "data/flights/a.csv"))
    assert [row.state for row in Objects(world.table).of_model("nobody")] == ["pending"]

    send(register(world))
    send(TICK, seconds=600)

    assert len(executions(states)) == 1
    assert [row.state for row in Objects(world.table).of_model("nobody")] == ["superseded"]


def test_a_model_that_comes_while_its_data_is_entered_adopts_it_too(
    world: World, states: Any, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, asked = register(world), created(world, "data/flights/a.csv"), Models.all

    def overtaken(models: Models) -> list[ModelSpec]:
        """Another trigger registers the model behind this one's back, right after it looked."""
        found = asked(models)
        monkeypatch.setattr(Models, "all", asked)
        send(model)
        return found

    monkeypatch.setattr(Models, "all", overtaken)
    send(data)
    send(TICK, seconds=600)

    assert [row.state for row in Objects(world.table).of_model("nobody")] == ["superseded"]
    assert [row.state for row in Objects(world.table).of_model("flights")] == ["pending"]
    assert len(executions(states)) == 1


def test_a_wrong_model_yaml_is_refused_with_its_fields_and_the_old_one_counts(
    world: World, send: Send
) -> None:
    send(register(world))

    answer = send(register(world, SPEC.replace("quiet_seconds", "quite_seconds")))

    assert answer == {"batchItemFailures": []}
    reasons = [d.reason for d in Decisions(world.table).of_model("flights") if d.outcome == "spec_refused"]
    assert len(reasons) == 1
    assert "triggers.quite_seconds" in reasons[0]


def test_a_broken_expression_is_refused_at_registration_with_its_place(world: World, send: Send) -> None:
    send(register(world, SPEC.replace("features:\n", "features:\n  load: distance * rsh\n")))

    (decision,) = Decisions(world.table).of_model("flights")
    assert decision.outcome == "spec_refused"
    assert "models/flights/model.yaml: features.load: 'rsh' is no column" in decision.reason
    assert Models(world.table).get("flights") is None


def test_a_model_yaml_under_another_models_name_is_refused(world: World, send: Send) -> None:
    send(created(world, "models/trains/model.yaml", SPEC.encode()))

    (decision,) = Decisions(world.table).of_model("trains")
    assert "it must lie under models/flights/" in decision.reason


CHAMPION = ChampionRow(
    "flights", 1, "r0", "e", "c", "s3://m", "arn", "s3://b", "2026-01-01T00:00:00+00:00", "first"
)


def drifted(champion: int = 1, labelled: int = 5_000, fault: str = "") -> Finding:
    windows = [f"2026-01-02T{hour}:00:00+00:00 major" for hour in (10, 11)]
    at = "2026-01-02T11:00:00+00:00"
    return Finding("flights", at, champion, "major", fault, labelled, "s3://report", windows)


def drift_event() -> dict[str, Any]:
    return {
        "detail-type": "Drift Detected",
        "source": "driftwheel",
        "detail": {"model": "flights", "stack": "driftwheel"},
    }


@pytest.fixture
def live(world: World, send: Send) -> World:
    """A model that serves, with labels and captured traffic."""
    send(register(world), created(world, "data/flights/a.csv"), created(world, "labels/flights/a.jsonl"))
    for row in Objects(world.table).of_model("flights"):
        names = ("model", "role", "bucket", "key", "version", "etag", "size", "sequencer", "received")
        Objects(world.table).settle(row, "used", "first run", "r0")
        assert all(getattr(row, name) is not None for name in names)
    Champions(world.table).move(CHAMPION)
    world.put(world.artifacts, "capture/flights/e/serving/2026/01/02/11/x.jsonl", b"{}")
    return world


def test_drift_with_labels_starts_a_run_on_old_data_captured_inputs_and_a_new_holdout(
    live: World, states: Any, send: Send
) -> None:
    Findings(live.table).record(drifted())

    send(drift_event())

    (execution,) = executions(states)
    run_id = execution["name"].rpartition("-")[2]
    frozen = live.read(f"runs/flights/{run_id}/data.json")
    assert [entry["role"] for entry in frozen["objects"]] == ["source", "labels"]
    assert [entry["key"] for entry in frozen["captures"]] == [
        "capture/flights/e/serving/2026/01/02/11/x.jsonl"
    ]
    assert frozen["rollover"] is True
    run = Run.model_validate_json(states.describe_execution(executionArn=execution["executionArn"])["input"])
    assert run.champion is not None
    assert (run.champion.sequence, run.started.kind) == (1, "drift")


@pytest.mark.parametrize(
    "finding", [drifted(champion=0), drifted(labelled=10), drifted(fault="temp is constant")]
)
def test_old_findings_missing_labels_and_broken_data_start_nothing(
    live: World, states: Any, send: Send, finding: Finding
) -> None:
    Findings(live.table).record(finding)

    send(drift_event(), TICK)

    assert executions(states) == []


def test_a_person_starts_a_run_where_the_policy_would_wait(live: World, states: Any, send: Send) -> None:
    send({"kind": "manual", "model": "flights"})

    assert len(executions(states)) == 1


@pytest.mark.case("EV-13")
def test_a_message_nobody_understands_comes_back_alone(world: World, send: Send) -> None:
    answer = send("not JSON", {"detail-type": "Object Created"}, register(world))

    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m0", "m1"]
    assert Objects(world.table).of_model("flights") == []


@pytest.mark.case("EV-13")
def test_unknown_fields_and_an_unversioned_bucket_are_accepted(world: World, send: Send) -> None:
    send(register(world))
    event = created(world, "data/flights/a.csv")
    del event["detail"]["object"]["version-id"]
    event["detail"]["object"]["new-in-2027"] = {"x": 1}

    assert send(event) == {"batchItemFailures": []}
    (row,) = Objects(world.table).of_model("flights")
    assert row.version == f"{row.etag}.01"


@pytest.mark.case("EV-08")
def test_a_model_file_deleted_before_it_was_read_registers_nothing(world: World, send: Send) -> None:
    arrived = register(world)
    found = arrived["detail"]["object"]
    world.client("s3").delete_object(Bucket=world.landing, Key=found["key"], VersionId=found["version-id"])

    assert send(arrived) == {"batchItemFailures": []}
    (decision,) = Decisions(world.table).of_model("flights")
    assert (decision.outcome, "is gone" in decision.reason) == ("spec_refused", True)


def delivered(queue: Any, handler: Any, context: Context) -> dict[str, Any]:
    """Receive once, hand all of it over as one batch and delete what is done, as Lambda does."""
    messages = queue.receive_messages(MaxNumberOfMessages=10)
    if not messages:
        return {}
    records = [
        {
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "eventSource": "aws:sqs",
        }
        for message in messages
    ]
    answer: dict[str, Any] = handler({"Records": records}, context)
    back = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
    for message in messages:
        if message.message_id not in back:
            message.delete()
        else:
            message.change_visibility(VisibilityTimeout=0)  # its time passes
    return {message.body: message.message_id for message in messages if message.message_id in back}


SECRET = "AKIA" + "PLANTEDINANEVENT"
POISON = ('{"detail-type": "Object Created", "detail": "' + SECRET + '"}', "no JSON: " + SECRET)
SAID = {
    POISON[0]: "the message is no ObjectCreated: time missing, detail model_type",
    POISON[1]: "the message is no JSON: Expecting value at character 0",
}
MOST_RECEIVES = read_template(Path("template.yaml"))["Resources"]["ArrivalQueue"]["Properties"][
    "RedrivePolicy"
]["maxReceiveCount"]


@pytest.mark.case("EV-11")
@pytest.mark.case("SE-10")
def test_of_ten_messages_two_are_poison_and_end_in_the_dead_letter_queue_with_their_reasons(
    world: World, states: Any, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    sqs = boto3.resource("sqs")
    dead = sqs.create_queue(QueueName="dead")
    redrive = {"deadLetterTargetArn": dead.attributes["QueueArn"], "maxReceiveCount": MOST_RECEIVES}
    queue = sqs.create_queue(QueueName="ten", Attributes={"RedrivePolicy": json.dumps(redrive)})
    good = [register(world), *(created(world, f"data/flights/{n}.csv", b"x\n%d\n" % n) for n in range(7))]
    for body in [POISON[0], *map(json.dumps, good), POISON[1]]:
        queue.send_message(MessageBody=body)
    handler = world.load("trigger").handler

    back = delivered(queue, handler, context)
    assert set(back) == set(POISON)
    assert len(Objects(world.table).of_model("flights")) == 7
    for _ in range(MOST_RECEIVES - 1):
        assert delivered(queue, handler, context) == back
    assert delivered(queue, handler, context) == {}

    left = {message.body: message.message_id for message in dead.receive_messages(MaxNumberOfMessages=10)}
    assert left == back, "each is to be found by its id"
    lines = [vars(record) for record in caplog.records]
    said = [(one["message_id"], one["reason"]) for one in lines if one["msg"] == "message comes back"]
    assert Counter(said) == {(back[body], SAID[body]): MOST_RECEIVES for body in POISON}
    assert SECRET not in str(lines)
    assert all(row.deliveries == 1 for row in Objects(world.table).of_model("flights"))


@pytest.mark.case("EV-11")
def test_what_was_dead_is_done_once_its_cause_is_mended_and_it_is_sent_again(
    world: World, states: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = boto3.resource("sqs").create_queue(QueueName="mended")
    event = json.dumps(created(world, "data/flights/a.csv"))
    handler = world.load("trigger").handler
    queue.send_message(MessageBody=json.dumps(register(world)))
    delivered(queue, handler, context)
    queue.send_message(MessageBody=event)
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "deliver", lambda *_: (_ for _ in ()).throw(ArithmeticError))
        assert set(delivered(queue, handler, context)) == {event}
    assert Objects(world.table).of_model("flights") == []

    assert delivered(queue, handler, context) == {}

    assert [row.state for row in Objects(world.table).of_model("flights")] == ["pending"]


@pytest.mark.case("SE-10")
def test_a_batch_that_is_all_poison_quotes_nothing_of_it_in_the_log(
    world: World, states: Any, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    answer = send(*POISON)

    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == ["m0", "m1"]
    lines = [vars(record) for record in caplog.records]
    assert [line["msg"] for line in lines] == ["message comes back"] * 2
    assert SECRET not in str(lines)
