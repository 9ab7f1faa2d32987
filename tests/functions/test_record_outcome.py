"""RecordOutcome as shipped."""

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Delivered, Objects, current
from driftwheel.ledger.runs import RunRow, Runs

from .conftest import Context, World
from .test_data_arrival import RUN, freeze

Events = Callable[[str], dict[str, Any]]


@pytest.fixture
def running(world: World) -> World:
    """A run with one used file, its lease and its index row."""
    freeze(world, world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"})
    Leases(world.table).acquire("flights", "0f3c5a9be17d2468", now=0, seconds=60)
    Runs(world.table).start(
        RunRow("flights", "0f3c5a9be17d2468", "running", "arrival", "new", "t0", "arn", 1)
    )
    return world


def end(world: World, event: dict[str, Any], context: Context) -> tuple[str, str, str]:
    answer = world.load("record_outcome").handler(event, context)
    (row,) = Objects(world.table).of_model("flights")
    return answer["status"], row.state, answer["sentence"]


def test_a_deployed_run_is_promoted_its_objects_used_its_lease_free_and_the_trigger_woken(
    running: World, event: Events, context: Context
) -> None:
    status, state, _ = end(running, event("record_outcome"), context)

    assert (status, state) == ("promoted", "used")
    assert Leases(running.table).get("flights") is None
    assert running.read(f"{RUN}/run.json")["record_outcome"]["status"] == "promoted"
    assert running.messages() == [{"kind": "run_finished", "model": "flights", "run_id": "0f3c5a9be17d2468"}]
    (decision,) = Decisions(running.table).of_model("flights")
    assert (decision.outcome, decision.numbers.keys()) == ("promoted", {"challenger", "at"})
    assert decision.numbers["challenger"] == {"auc": 0.71}
    assert decision.numbers["at"] > decision.at, "the moment it ended, not when the run started"


def test_recording_twice_is_recording_once(running: World, event: Events, context: Context) -> None:
    assert end(running, event("record_outcome"), context) == end(running, event("record_outcome"), context)
    assert len(Decisions(running.table).of_model("flights")) == 1


def without(event: dict[str, Any], *sections: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in sections}


def test_a_rejected_model_uses_its_data_and_says_why(running: World, event: Events, context: Context) -> None:
    run = without(event("record_outcome"), "deployment")
    run["evaluation_gate"] |= {"outcome": "reject", "reasons": [{"sentence": "loses by 0.020"}]}

    assert end(running, run, context) == ("rejected", "used", "loses by 0.020")


@pytest.mark.parametrize(
    ("gain", "state"),
    [
        ({"value": -0.04, "low": -0.05, "high": -0.03}, "rejected"),
        ({"value": -0.01, "low": -0.03, "high": 0.01}, "used"),
        ({"value": -0.01, "low": -0.03, "high": None}, "used"),
        (None, "used"),
    ],
)
@pytest.mark.case("DA-24")
def test_files_that_surely_made_the_model_worse_are_left_out_of_later_data_sets(
    running: World, event: Events, context: Context, gain: Any, state: str
) -> None:
    run = without(event("record_outcome"), "deployment")
    run["evaluation_gate"] |= {"outcome": "reject", "reasons": [{"sentence": "loses"}]}
    run["evaluation_gate"]["metrics"] |= {"gain": gain}

    assert end(running, run, context) == ("rejected", state, "loses")
    kept = [row.key for row in current(Objects(running.table).of_model("flights"))]
    assert kept == ([] if state == "rejected" else ["data/flights/a.csv"])


def test_a_rejection_over_many_slices_stays_one_readable_line(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment")
    slices = [{"code": "slice_loss", "sentence": f"on s = {n} worse"} for n in range(6)]
    run["evaluation_gate"] |= {"outcome": "reject", "reasons": [{"sentence": "loses"}, *slices]}

    sentence = end(running, run, context)[2]

    assert sentence == "loses; on s = 0 worse; on s = 1 worse; and 4 more slices"


def test_an_approval_that_nobody_gave_in_time_rejects(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment") | {
        "approval": {"Error": "States.Timeout", "Cause": ""}
    }
    run["evaluation_gate"] |= {"outcome": "needs_approval"}

    assert end(running, run, context) == ("rejected", "used", "nobody approved it in time")


@pytest.mark.case("SF-04")
def test_a_failed_run_keeps_its_data_pending_and_quotes_the_fault(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment", "evaluation_gate", "training_launch")
    run["failure"] = {"Error": "TrainingFailed", "Cause": "AlgorithmError: out of memory"}

    assert end(running, run, context) == (
        "failed",
        "pending",
        "TrainingFailed: AlgorithmError: out of memory",
    )
    assert Leases(running.table).get("flights") is None


@pytest.mark.case("SF-05")
def test_a_run_that_ends_in_the_middle_of_nowhere_is_a_failure(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment", "evaluation_gate", "training_launch")

    status, state, sentence = end(running, run, context)

    assert (status, state) == ("failed", "pending")
    assert "where no run should end" in sentence


def test_unchanged_content_is_a_duplicate_of_the_run_that_learned_it(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment", "evaluation_gate", "training_launch")
    run["preprocessing"] |= {"outcome": "unchanged", "same_as": "aaaa"}

    assert end(running, run, context)[:2] == ("unchanged", "duplicate")


def test_rows_a_run_found_harmful_are_left_out_under_another_name_too(
    running: World, event: Events, context: Context
) -> None:
    objects = Objects(running.table)
    (row,) = objects.of_model("flights")
    names = (field.name for field in fields(Delivered))
    poison = Delivered(**{name: getattr(row, name) for name in names} | {"key": "data/flights/poison.csv"})
    objects.deliver(poison)
    objects.settle(poison, "rejected", "worse by 0.2", "aaaa")
    run = without(event("record_outcome"), "deployment", "evaluation_gate", "training_launch")
    run["preprocessing"] |= {"outcome": "unchanged", "same_as": "aaaa"}

    running.load("record_outcome").handler(run, context)

    states = {row.key: row.state for row in objects.of_model("flights")}
    assert states == {row.key: "rejected", poison.key: "rejected"}


@pytest.mark.case("SF-12")
def test_a_late_run_does_not_free_the_lease_of_its_successor(
    running: World, event: Events, context: Context
) -> None:
    successor = Leases(running.table).acquire("flights", "successor", now=61, seconds=60)

    end(running, event("record_outcome"), context)

    assert Leases(running.table).get("flights") == successor


def test_a_quarantined_file_stays_quarantined(running: World, event: Events, context: Context) -> None:
    (row,) = Objects(running.table).of_model("flights")
    names = ("model", "role", "bucket", "key", "version", "etag", "size", "sequencer", "received")
    Objects(running.table).settle(
        Delivered(**{n: getattr(row, n) for n in names}), "quarantined", "empty-file"
    )

    assert end(running, event("record_outcome"), context)[:2] == ("promoted", "quarantined")


@pytest.mark.case("DR-05")
@pytest.mark.parametrize(
    ("earlier", "kind", "subjects"),
    [
        (1, "drift", ["flights: run rejected"]),
        (2, "drift", ["flights: cannot improve"]),
        (3, "drift", []),
        (3, "arrival", ["flights: run rejected"]),
    ],
)
def test_that_a_model_cannot_be_improved_is_told_once(
    running: World,
    event: Events,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    earlier: int,
    kind: str,
    subjects: list[str],
) -> None:
    runs = Runs(running.table)
    for number in range(earlier):
        runs.start(RunRow("flights", f"r{number}", "running", "drift", "drift", f"s{number}", "arn", 1))
        runs.end("flights", f"r{number}", "rejected", "loses", f"e{number}")
    run = without(event("record_outcome"), "deployment")
    run["started"] |= {"kind": kind}
    run["evaluation_gate"] |= {"outcome": "reject", "reasons": [{"sentence": "loses by 0.020"}]}
    module = running.load("record_outcome")
    sent: list[str] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: sent.append(request["Subject"]))

    module.handler(run, context)

    assert sent == subjects


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("NameTaken", "You: delete it, or give the stack another name; then: driftwheel retrain flights"),
        ("Surprise", "You: driftwheel logs 0f3c5a9be17d2468 says more; once that is mended: "),
    ],
)
def test_an_alert_ends_with_what_is_left_to_a_person(
    running: World,
    event: Events,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
    words: str,
) -> None:
    run = without(event("record_outcome"), "deployment") | {"failure": {"Error": failure, "Cause": "no"}}
    sent: list[str] = []
    module = running.load("record_outcome")
    monkeypatch.setattr(module.sns, "publish", lambda **request: sent.append(request["Message"]))

    module.handler(run, context)

    assert sent[0].startswith(f"flights: run 0f3c5a9be17d2468 failed. {failure}: no\n{words}")


class Topic:
    """SNS, which refuses while it has a reason, and the subjects of what it took."""

    def __init__(self, *reasons: Exception) -> None:
        self.reasons = list(reasons)
        self.took: list[str] = []

    def publish(self, **request: str) -> None:
        if self.reasons:
            raise self.reasons.pop(0)
        self.took.append(request["Subject"])


@pytest.mark.case("SF-06")
@pytest.mark.parametrize(
    "reason",
    [
        ClientError({"Error": {"Code": "InternalError", "Message": "down"}}, "Publish"),
        EndpointConnectionError(endpoint_url="https://sns"),
    ],
    ids=["refused", "unreachable"],
)
def test_an_alert_that_sns_refuses_fails_nothing_and_the_restoration_tick_tells_it_once(
    running: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch, reason: Exception
) -> None:
    run = without(event("record_outcome"), "deployment")
    run["failure"] = {"Error": "TrainingFailed", "Cause": "no"}
    topic = Topic(reason, reason)
    for step in ("record_outcome", "deployment"):
        monkeypatch.setattr(running.load(step), "sns", topic)

    answers = [end(running, run, context) for _ in range(2)]

    assert [status for status, _, _ in answers] == ["failed", "failed"]
    assert [message["kind"] for message in running.messages()] == ["run_finished"] * 2
    restore = running.load("deployment").handler
    restore({"kind": "restore"}, context)
    assert (topic.took, len(topic.reasons)) == ([], 1)  # its writer may still be at work
    monkeypatch.setattr("driftwheel.ledger.outbox.HELD", timedelta(0))
    took = [(restore({"kind": "restore"}, context), len(topic.took))[1] for _ in range(3)]
    assert took == [0, 1, 1]


def test_an_alert_that_sns_took_is_not_told_by_the_tick(
    running: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = without(event("record_outcome"), "deployment")
    run["failure"] = {"Error": "TrainingFailed", "Cause": "no"}
    topic = Topic()
    for step in ("record_outcome", "deployment"):
        monkeypatch.setattr(running.load(step), "sns", topic)
    monkeypatch.setattr("driftwheel.ledger.outbox.HELD", timedelta(0))

    end(running, run, context)
    end(running, run, context)
    running.load("deployment").handler({"kind": "restore"}, context)

    assert topic.took == ["flights: run failed"]


def test_a_training_that_never_reported_is_billed_at_most_its_limit(
    running: World, event: Events, context: Context
) -> None:
    run = without(event("record_outcome"), "deployment", "evaluation_gate", "training_launch")
    run["failure"] = {"Error": "TrainingFailed", "Cause": "no"}
    run["started"] |= {"at": "2026-01-01T00:00:00+00:00"}

    end(running, run, context)

    (row,) = Runs(running.table).of_model("flights")
    assert row.billed_seconds == run["spec"]["training"].get("max_runtime_seconds", 3_600)
