"""DriftCheck as shipped: captured traffic, late labels, a baseline; a finding, a report, an event."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftwheel.capture import CaptureWriter, Exchange
from driftwheel.drift.baseline import build_baseline
from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.findings import Findings
from driftwheel.ledger.models import Models
from driftwheel.ledger.objects import Delivered, Objects
from driftwheel.ledger.runs import RunRow, Runs
from driftwheel.recipe.declare import declare
from driftwheel.spec import load_spec
from driftwheel.steps import drift_check as steps
from driftwheel.steps import drift_verdict
from driftwheel.steps.trigger import Ledger as TriggerLedger
from driftwheel.steps.trigger import situation_of
from driftwheel.triggers.state import Situation

from .conftest import Context, World

SPEC = load_spec("""
model: rides
source: {prefix: data/rides/, key: [id]}
columns:
  id: {type: integer, feature: false}
  temp: {type: number, unit: degF}
  city: {type: category}
  delay: {type: number, feature: false}
target: {column: late, expression: delay > 15}
drift: {minimum_rows: 200, every_minutes: 60}
""")
NOW = datetime.now(UTC)
PROMOTED = NOW - timedelta(hours=2)
Events = Callable[[str], dict[str, Any]]


def rides(rows: int, shift: float, seed: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    temps = random.normal(40 + shift, 10, rows)
    cities = random.choice(["JFK", "LGA"], rows)
    return [
        {"id": n, "temp": round(float(t), 2), "city": str(c)}
        for n, (t, c) in enumerate(zip(temps, cities, strict=True))
    ]


@pytest.fixture
def live(world: World) -> World:
    """A champion that learned from temperatures around 40 °F."""
    Models(world.table).register(SPEC, version="v", at="now")
    put(world, "runs/rides/r1/preprocessing/recipe.json", declare(SPEC))
    params = {"medians": {}, "modes": {}, "categories": {"city": ["JFK", "LGA"]}}
    put(world, "runs/rides/r1/preprocessing/params.json", params)
    learned = rides(4_000, 0, seed=1)
    columns = {name: [ride[name] for ride in learned] for name in ("temp", "city")}
    random = np.random.default_rng(2)
    baseline = build_baseline(
        columns,
        {"temp": "number", "city": "category"},
        random.uniform(0.2, 0.8, 4_000),
        random.integers(0, 2, 4_000).astype(float),
        {"temp": 8.0, "city": 2.0},
    )
    put(world, "runs/rides/r1/evaluation_gate/baseline.json", baseline)
    uri = f"s3://{world.artifacts}/runs/rides/r1/evaluation_gate/baseline.json"
    champion = ChampionRow(
        "rides", 1, "r1", "dw-rides", "c", "s3://m", "arn", uri, PROMOTED.isoformat(), "first"
    )
    Champions(world.table).move(champion)
    return world


def put(world: World, key: str, document: Any) -> None:
    world.put(world.artifacts, key, json.dumps(document).encode())


def capture(
    world: World, rows: list[dict[str, Any]], at: datetime = NOW - timedelta(minutes=30), name: str = "i"
) -> None:
    """Write captured requests of 100 records each as SageMaker does; ids begin with ``name``."""
    lines = []
    random = np.random.default_rng(3)
    for start in range(0, len(rows), 100):
        batch = rows[start : start + 100]
        answer = {"predictions": [{"score": float(score)} for score in random.uniform(0.2, 0.8, len(batch))]}
        both = {
            f"endpoint{side}": {
                "observedContentType": "application/json",
                "mode": side.upper(),
                "data": json.dumps(body),
                "encoding": "JSON",
            }
            for side, body in (("Input", {"records": batch}), ("Output", answer))
        }
        about = {
            "eventId": f"e{start}",
            "inferenceId": f"{name}{start}",
            "inferenceTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        lines.append(json.dumps({"captureData": both, "eventMetadata": about, "eventVersion": "0"}))
    key = f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/x.jsonl"
    world.put(world.artifacts, key, "\n".join(lines).encode())


def label(world: World, ids: list[str], day: str = "monday") -> None:
    body = "inference_id,label\n" + "".join(f"{row},1\n" for row in ids)
    entry = world.put(world.landing, f"labels/rides/{day}.csv", body.encode())
    Objects(world.table).deliver(
        Delivered(model="rides", role="labels", sequencer="01", received=NOW.isoformat(), **entry)
    )


def test_drifted_traffic_is_found_recorded_and_told_to_the_trigger(
    live: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    label(live, [f"i0/{n}" for n in range(100)])
    module = live.load("drift_check")
    sent: list[Any] = []
    monkeypatch.setattr(module.events, "put_events", lambda **request: sent.extend(request["Entries"]))

    told = module.handler(event("drift_check"), context)

    assert told["rides"]["severity"] == "major"
    assert told["rides"]["findings"][0]["feature"] == "temp"
    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert (finding.severity, finding.champion_sequence, finding.labelled_rows) == ("major", 1, 100)
    (entry,) = sent
    assert (entry["Source"], entry["DetailType"]) == ("driftwheel", "Drift Detected")
    assert json.loads(entry["Detail"])["model"] == "rides"
    report = live.read(finding.report_uri.removeprefix(f"s3://{live.artifacts}/"))
    assert report["rows"] == 1_000
    assert Decisions(live.table).of_model("rides")[0].outcome == "major"


def test_the_writers_capture_is_read_as_the_endpoints_own_with_its_labels(live: World) -> None:
    def finding() -> Any:
        (checked,) = steps.survey(
            {"model": "rides"}, steps.Ledger.of(live.table), artifacts, live.artifacts, NOW
        ).checked
        return checked.report.to_json()

    artifacts = live.load("drift_check").objects
    label(live, [f"i0/{n}" for n in range(100)])
    s3 = live.client("s3")
    prefix = {"Bucket": live.artifacts, "Prefix": "capture/rides/"}
    capture(live, rides(1_000, shift=15, seed=4))
    theirs = finding()
    (key,) = [entry["Key"] for entry in s3.list_objects_v2(**prefix)["Contents"]]
    lines = s3.get_object(Bucket=live.artifacts, Key=key)["Body"].read().splitlines()
    s3.delete_object(Bucket=live.artifacts, Key=key)

    with CaptureWriter(s3, live.artifacts, "rides", "dw-rides", file_bytes=10_000) as writer:
        for line in lines:
            record = json.loads(line)
            sides = record["captureData"]
            about = record["eventMetadata"]
            asked, answered = (sides[f"endpoint{side}"]["data"].encode() for side in ("Input", "Output"))
            at = datetime.fromisoformat(about["inferenceTime"])
            writer.offer(
                Exchange(asked, "application/json", answered, "application/json", about["inferenceId"], at)
            )

    assert len(s3.list_objects_v2(**prefix)["Contents"]) > 1
    assert finding() == theirs
    assert (theirs["severity"], theirs["window"]["labelled_rows"]) == ("major", 100)


def test_the_same_traffic_is_no_drift_and_nobody_is_woken(
    live: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    module = live.load("drift_check")
    sent: list[Any] = []
    monkeypatch.setattr(module.events, "put_events", lambda **request: sent.extend(request["Entries"]))

    assert module.handler(event("drift_check"), context)["rides"]["severity"] == "none"
    assert sent == []


def test_too_few_rows_are_their_own_answer(live: World, event: Events, context: Context) -> None:
    capture(live, rides(100, shift=30, seed=6))

    assert (
        live.load("drift_check").handler(event("drift_check"), context)["rides"]["severity"]
        == "insufficient_data"
    )


def test_traffic_before_the_promotion_is_another_champions(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=30, seed=6), at=PROMOTED - timedelta(minutes=90))

    assert live.load("drift_check").handler(event("drift_check"), context)["rides"]["rows"] == 0


@pytest.mark.case("DR-04")
def test_a_tick_delivered_twice_is_one_check(live: World, event: Events, context: Context) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    handler = live.load("drift_check").handler

    assert set(handler(event("drift_check"), context)) == {"rides"}
    assert handler(event("drift_check"), context) == {}


def test_fifty_ticks_doubled_delayed_and_reordered_check_each_window_once(
    live: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    module = live.load("drift_check")
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    ticks = [(begin + timedelta(hours=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(50)]
    delivered = ticks * 2
    random.Random(4).shuffle(delivered)
    (checked,) = steps.survey(
        {"model": "rides"}, steps.Ledger.of(live.table), module.objects, live.artifacts, NOW
    ).checked

    def noted(*_: Any) -> Any:
        looked.append(tick)
        return checked

    monkeypatch.setattr(steps, "look", noted)
    for tick in delivered:
        module.handler(event("drift_check") | {"scheduled_time": tick}, context)

    assert sorted(looked) == ticks
    assert looked == list(dict.fromkeys(delivered))


def test_a_model_is_checked_at_its_own_interval_and_whenever_a_person_asks(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    handler = live.load("drift_check").handler
    handler(event("drift_check"), context)

    later = event("drift_check") | {"scheduled_time": "2026-01-02T04:05:00Z"}

    assert handler(later, context) == {}
    assert set(handler({"kind": "manual", "model": "rides"}, context)) == {"rides"}
    following = event("drift_check") | {"scheduled_time": "2026-01-02T05:00:00Z"}
    assert set(handler(following, context)) == {"rides"}


def test_a_check_that_broke_is_made_good_by_the_retry_of_its_tick(
    live: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = live.load("drift_check")
    with monkeypatch.context() as patch:
        patch.setattr(drift_verdict, "read_window", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            module.handler(event("drift_check"), context)

    assert set(module.handler(event("drift_check"), context)) == {"rides"}


def test_a_check_that_broke_late_is_made_good_in_the_same_place(
    live: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    module = live.load("drift_check")
    with monkeypatch.context() as patch:
        patch.setattr(Decisions, "record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            module.handler(event("drift_check"), context)
    broken = Findings(live.table).get("rides")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return NOW + timedelta(minutes=3)

    monkeypatch.setattr(module, "datetime", Later)
    told: list[Any] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: told.append(request["Subject"]))
    assert set(module.handler(event("drift_check"), context)) == {"rides"}

    listed = live.client("s3").list_objects_v2(Bucket=live.artifacts, Prefix="drift/rides/")["Contents"]
    assert sum(entry["Key"].endswith("/report.json") for entry in listed) == 1
    mended = Findings(live.table).get("rides")
    assert broken is not None
    assert mended is not None
    assert (mended.at, mended.windows, mended.history) == (broken.at, broken.windows, broken.history)
    assert len(Decisions(live.table).of_model("rides")) == 1
    assert told == ["rides: major drift in temp"]


def test_an_alert_that_was_lost_is_told_by_the_next_check(
    live: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    module = live.load("drift_check")
    asked = {"kind": "manual", "model": "rides"}
    with monkeypatch.context() as patch:
        patch.setattr(module.sns, "publish", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            module.handler(asked, context)
    told: list[Any] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: told.append(request["Subject"]))

    for _ in range(2):
        module.handler(asked, context)

    assert told == ["rides: major drift in temp"]


def test_a_window_somebody_asks_for_is_answered_and_changes_nothing(
    live: World, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capture(live, rides(1_000, shift=15, seed=4), at=NOW - timedelta(hours=1))
    module = live.load("drift_check")
    sent: list[Any] = []
    monkeypatch.setattr(module.events, "put_events", lambda **request: sent.append(request))
    monkeypatch.setattr(module.sns, "publish", lambda **request: sent.append(request))
    clock = type("Clock", (datetime,), {"now": lambda *_: NOW})  # the hour may end meanwhile
    monkeypatch.setattr(module, "datetime", clock)

    told = module.handler({"kind": "asked", "model": "rides", "window_hours": 1}, context)["rides"]

    report = live.read(told["report_uri"].removeprefix(f"s3://{live.artifacts}/"))
    assert (report["severity"], report["rows"]) == ("major", 1_000)
    assert report["window"]["until"] == f"{NOW:%Y-%m-%dT%H}:00:00Z"
    assert (sent, Findings(live.table).get("rides"), Decisions(live.table).of_model("rides")) == (
        [],
        None,
        [],
    )
    metrics = [line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert metrics
    assert not any('"model":"rides"' in line for line in metrics)


def test_the_same_drift_is_told_to_a_person_once(
    live: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    module = live.load("drift_check")
    sent: list[Any] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: sent.append(request["Subject"]))

    for _ in range(3):
        assert module.handler({"kind": "manual", "model": "rides"}, context)["rides"]["severity"] == "major"

    assert sent == ["rides: major drift in temp"]
    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert [window.partition(" ")[2] for window in finding.windows] == ["major"]


BASELINE = "runs/rides/r1/evaluation_gate/baseline.json"


def of_another_schema(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(document).replace('"temp"', '"humid"'))  # type: ignore[no-any-return]


@pytest.mark.case("DR-07")
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (None, "baseline.json is missing"),
        (lambda _: "not a baseline", "is no drift baseline"),
        (lambda found: {k: v for k, v in found.items() if k != "columns"}, "no drift baseline: KeyError"),
        (lambda found: found | {"version": 99}, "no drift baseline of version 1"),
        (of_another_schema, "of another schema: the model does not read humid"),
    ],
)
def test_without_a_readable_baseline_there_is_an_error_and_nothing_is_decided_but_to_say_so(
    live: World, event: Events, context: Context, damage: Any, complaint: str
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    if damage is None:
        live.client("s3").delete_object(Bucket=live.artifacts, Key=BASELINE)
    else:
        put(live, BASELINE, damage(live.read(BASELINE)))

    with pytest.raises(ArtifactInvalid, match=f"rides: .*{complaint}"):
        live.load("drift_check").handler(event("drift_check"), context)

    assert Findings(live.table).get("rides") is None
    (said,) = Decisions(live.table).of_model("rides")
    assert (said.step, said.outcome) == ("drift_check", "unchecked")
    assert complaint in said.reason


@pytest.mark.case("DR-08")
def test_a_new_champion_brings_its_own_baseline_and_the_old_alarm_is_history(
    live: World, event: Events, context: Context
) -> None:
    drifted = rides(1_000, shift=15, seed=4)
    capture(live, drifted)
    handler = live.load("drift_check").handler
    assert handler(event("drift_check"), context)["rides"]["severity"] == "major"
    before = Champions(live.table).get("rides")
    assert before is not None

    for part in ("recipe", "params"):
        put(
            live,
            f"runs/rides/r2/preprocessing/{part}.json",
            live.read(f"runs/rides/r1/preprocessing/{part}.json"),
        )
    learned = rides(4_000, shift=15, seed=8)
    answers = np.random.default_rng(9)
    baseline = build_baseline(
        {name: [ride[name] for ride in learned] for name in ("temp", "city")},
        {"temp": "number", "city": "category"},
        answers.uniform(0.2, 0.8, 4_000),
        answers.integers(0, 2, 4_000).astype(float),
        {"temp": 8.0, "city": 2.0},
    )
    put(live, "runs/rides/r2/evaluation_gate/baseline.json", baseline)
    uri = f"s3://{live.artifacts}/runs/rides/r2/evaluation_gate/baseline.json"
    after = replace(before, sequence=2, run_id="r2", baseline_uri=uri, promoted_at=NOW.isoformat())
    Champions(live.table).move(after)
    capture(live, rides(1_000, shift=15, seed=10), at=NOW + timedelta(minutes=1))

    situation = situation_of(SPEC, TriggerLedger.of(live.table), NOW)
    assert (situation.drift, situation.drifted_windows) == (None, 0)
    answer = handler(event("drift_check"), context)["rides"]
    assert (answer["severity"], answer["rows"]) == ("none", 1_000)


@pytest.mark.case("DR-03")
def test_labelled_rows_that_a_losing_challenger_learned_are_not_new_any_more(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    label(live, [f"i0/{n}" for n in range(100)])
    handler = live.load("drift_check").handler
    handler(event("drift_check"), context)

    def situation() -> Situation:
        return situation_of(SPEC, TriggerLedger.of(live.table), NOW)

    assert (situation().labelled_rows, [*situation().labelled_days.values()]) == (100, [100])
    lost = RunRow("rides", "r2", "running", "drift", "drift", NOW.isoformat(), "arn", 2)
    runs = Runs(live.table)
    runs.start(replace(lost, labelled_days=dict(situation().labelled_days)))
    assert situation().labelled_rows == 100, "it may still fail"
    runs.end("rides", "r2", "rejected", "no better", NOW.isoformat())
    assert situation().labelled_rows == 0

    label(live, [f"i100/{n}" for n in range(40)], "tuesday")
    handler(event("drift_check") | {"scheduled_time": (NOW + timedelta(hours=1)).isoformat()}, context)
    assert (situation().labelled_rows, sum(situation().labelled_days.values())) == (40, 140)


@pytest.mark.case("EV-08")
def test_labels_whose_version_was_deleted_no_longer_count(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    label(live, [f"i0/{n}" for n in range(100)])
    (row,) = Objects(live.table).of_model("rides")
    live.client("s3").delete_object(Bucket=live.landing, Key=row.key, VersionId=row.version)

    assert live.load("drift_check").handler(event("drift_check"), context)["rides"]["severity"] == "none"
    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert finding.labelled_rows == 0
