"""DriftCheck as shipped: captured traffic, late labels, a baseline; a finding, a report, an event."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.findings import Findings
from driftwheel.ledger.models import Models
from driftwheel.ledger.objects import Delivered, Objects
from driftwheel.recipe.declare import declare
from driftwheel.spec import load_spec

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


def capture(world: World, rows: list[dict[str, Any]], at: datetime = NOW - timedelta(minutes=30)) -> None:
    """Write captured requests of 100 records each as SageMaker does."""
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
            "inferenceId": f"i{start}",
            "inferenceTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        lines.append(json.dumps({"captureData": both, "eventMetadata": about, "eventVersion": "0"}))
    key = f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/x.jsonl"
    world.put(world.artifacts, key, "\n".join(lines).encode())


def label(world: World, ids: list[str]) -> None:
    body = "inference_id,label\n" + "".join(f"{row},1\n" for row in ids)
    entry = world.put(world.landing, "labels/rides/monday.csv", body.encode())
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


def test_a_model_is_checked_at_its_own_interval_and_whenever_a_person_asks(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    handler = live.load("drift_check").handler
    handler(event("drift_check"), context)

    later = event("drift_check") | {"scheduled_time": "2026-01-02T04:05:00Z"}

    assert handler(later, context) == {}
    assert set(handler({"kind": "manual", "model": "rides"}, context)) == {"rides"}
