"""Labels that come after their window: what a check says then of the hours before."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftwheel.capture import Exchange
from driftwheel.capture.record import capture_line
from driftwheel.drift.baseline import build_baseline
from driftwheel.ledger.findings import Findings
from driftwheel.ledger.objects import Delivered, Objects

from .conftest import Context, World
from .test_drift_check import BASELINE, live, put, rides
from .test_drift_reference import HOUR, THIS_HOUR, check, clock, declare, promote

__all__ = ["clock", "live"]

RNG = np.random.default_rng(11)
PER_HOUR = 300


def answer(world: World, hours_ago: int, skill: float) -> dict[str, float]:
    """Capture an hour's requests of one record each and give what turns out to be true of them."""
    at = THIS_HOUR - hours_ago * HOUR
    truth = {}
    lines = []
    for number, record in enumerate(rides(PER_HOUR, shift=0, seed=hours_ago)):
        late = float(RNG.random() < 0.5)
        score = 1 / (1 + np.exp(-RNG.normal(late * skill, 1)))
        name = f"{hours_ago}-{number}"
        truth[name] = late
        said = json.dumps({"predictions": [{"score": score}]}).encode()
        kind = "application/json"
        asked = Exchange(json.dumps(record).encode(), kind, said, kind, name, at + timedelta(minutes=15))
        lines.append(capture_line(asked))
    key = f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/x.jsonl"
    world.put(world.artifacts, key, b"".join(lines))
    return truth


def tell(world: World, name: str, truth: dict[str, float]) -> None:
    body = "inference_id,label\n" + "".join(f"{row},{label:g}\n" for row, label in truth.items())
    entry = world.put(world.landing, f"labels/rides/{name}.csv", body.encode())
    received = datetime.now(UTC).isoformat()
    Objects(world.table).deliver(
        Delivered(model="rides", role="labels", sequencer=name, received=received, **entry)
    )


def periods(report: Any) -> dict[str, Any]:
    return {period["at"]: period for period in report["course"]["periods"]}


def hour(hours_ago: int) -> str:
    return f"{THIS_HOUR - hours_ago * HOUR:%Y-%m-%dT%H}:00Z"


@pytest.fixture
def hourly(live: World) -> tuple[World, dict[int, dict[str, float]]]:
    """A day of traffic judged by the hour; the model answered well, and of late badly."""
    promote(live, THIS_HOUR - 10 * HOUR)
    declare(live, window_hours=1)
    rng = np.random.default_rng(7)
    truth = (rng.random(2_000) < 0.5).astype(float)
    scores = 1 / (1 + np.exp(-rng.normal(truth * 2, 1)))
    known = live.read(BASELINE)
    again = build_baseline({}, {}, scores, truth, {})
    put(live, BASELINE, known | {name: again[name] for name in ("quality", "beside", "prediction", "label")})
    return live, {ago: answer(live, ago, skill=2.0 if ago > 4 else 0.0) for ago in range(8, 0, -1)}


def test_a_label_that_comes_hours_late_changes_the_quality_of_its_hour(
    hourly: tuple[World, dict[int, dict[str, float]]], context: Context
) -> None:
    live, truth = hourly
    early = check(live, context)
    some = dict(list(truth[8].items())[:100])
    tell(live, "1", {name: 1 - label for name, label in some.items()})
    wrong = check(live, context)
    tell(live, "2", truth[8])

    right = check(live, context)

    assert (early["rows"], early["quality"]) == (PER_HOUR, None)
    assert "value" not in periods(wrong).get(hour(7), {})
    assert periods(wrong)[hour(8)]["labelled"] == 100
    assert periods(wrong)[hour(8)]["value"] < 0.3
    assert periods(right)[hour(8)]["value"] > 0.8
    assert periods(right)[hour(8)]["coverage"] == 1.0
    assert right["window"]["labels"] == {"known": PER_HOUR, "corrected": 100, "repeated": 0}


def test_hours_before_the_window_are_read_once_and_a_repeated_check_keeps_the_same_bytes(
    hourly: tuple[World, dict[int, dict[str, float]]], context: Context
) -> None:
    live, truth = hourly
    tell(live, "1", truth[8] | truth[5])
    first = check(live, context)
    s3, key = live.client("s3"), "drift/rides/answers/r1.msgpack"
    kept = s3.get_object(Bucket=live.artifacts, Key=key)
    for ago in range(8, 2, -1):
        at = THIS_HOUR - ago * HOUR
        s3.delete_object(
            Bucket=live.artifacts, Key=f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/x.jsonl"
        )

    again = check(live, context)

    assert again["course"] == first["course"]
    assert s3.get_object(Bucket=live.artifacts, Key=key)["Body"].read() == kept["Body"].read()
    s3.put_object(Bucket=live.artifacts, Key=key, Body=b"damaged")
    assert hour(8) not in periods(check(live, context)), "nothing is kept and nothing is left to read"


def test_labels_that_came_late_are_held_against_the_model_and_count_for_retraining(
    hourly: tuple[World, dict[int, dict[str, float]]], context: Context
) -> None:
    live, truth = hourly
    tell(live, "1", {name: label for ago in (8, 7, 4, 3) for name, label in truth[ago].items()})

    report = check(live, context)

    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert finding.labelled_rows == 4 * PER_HOUR
    assert report["window"]["labelled_rows"] == 0
    assert finding.history[-1]["coverage"] == round(4 / 8, 6)
    assert report["severity"] == "major"
    (loss,) = [found for found in report["findings"] if found["code"] == "quality"]
    assert f"of the rows from {hour(3)} to" in loss["sentence"]
    assert loss["numbers"]["labelled"] == PER_HOUR
