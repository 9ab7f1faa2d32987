"""DriftCheck on broken data: told to a person, told to the policy, answered by no training."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from driftwheel.ledger.champions import Champions
from driftwheel.ledger.findings import Finding, Findings
from driftwheel.steps import drift_check as steps

from .conftest import Context, World
from .test_drift_check import NOW, capture, live, rides

__all__ = ["live"]


def test_a_dead_sensor_is_alerted_and_blocks_retraining(
    live: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, [ride | {"temp": 41.0} for ride in rides(1_000, shift=0, seed=4)])
    module = live.load("drift_check")
    told: list[Any] = []
    sent: list[Any] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: told.append(request["Message"]))
    monkeypatch.setattr(module.events, "put_events", lambda **request: sent.extend(request["Entries"]))

    headline = module.handler({"kind": "manual", "model": "rides"}, context)["rides"]

    assert (headline["severity"], headline["blocks_retraining"]) == ("fault", True)
    (line,) = told
    assert line.startswith("rides: Broken data in temp: retraining waits until it is mended.")
    (entry,) = sent
    assert json.loads(entry["Detail"])["findings"][0]["code"] == "constant"
    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert (finding.severity, finding.fault) == ("none", headline["sentence"])


def look(live: World) -> Any:
    """Check now, as the handler does; give the report."""
    objects = live.load("drift_check").objects
    ledger = steps.Ledger.of(live.table)
    (checked,) = steps.survey({"model": "rides"}, ledger, objects, live.artifacts, NOW).checked
    return checked.report


def finding_of(live: World) -> Finding:
    found = Findings(live.table).get("rides")
    assert found is not None
    return found


def long_ago(live: World) -> None:
    """Let the champion have been promoted thirty hours ago."""
    champion = Champions(live.table).get("rides")
    assert champion is not None
    promoted = {"promoted_at": (NOW - timedelta(hours=30)).isoformat()}
    live.table.put(asdict(champion) | promoted | {"pk": "CHAMPION", "sk": "rides"})


def dead(rows: int) -> list[dict[str, Any]]:
    return [ride | {"temp": 41.0} for ride in rides(rows, shift=0, seed=4)]


def test_a_broken_hour_is_seen_after_a_healthy_day(live: World) -> None:
    long_ago(live)
    for hours in range(2, 26):
        capture(live, rides(1_000, shift=0, seed=hours), at=NOW - timedelta(hours=hours))
    capture(live, dead(1_000), at=NOW - timedelta(minutes=10))

    report = look(live)

    assert (report.severity, report.rows) == ("fault", 1_000)
    assert [(finding.feature, finding.code) for finding in report.findings] == [("temp", "constant")]


def test_little_traffic_is_judged_by_as_many_hours_as_it_takes(live: World) -> None:
    long_ago(live)
    for hours in range(20):
        capture(live, rides(60, shift=0, seed=hours), at=NOW - timedelta(hours=hours, minutes=10))

    assert look(live).rows in {240, 300}  # of four whole hours, and of the one that runs


def test_a_mended_source_is_whole_again_whatever_came_before(live: World) -> None:
    long_ago(live)
    capture(live, dead(1_000), at=NOW - timedelta(hours=5))
    assert look(live).severity == "fault"
    capture(live, rides(1_000, shift=0, seed=5), at=NOW - timedelta(minutes=10))

    assert look(live).severity == "none"
    assert finding_of(live).fault == ""


def test_too_few_rows_do_not_take_a_fault_back(live: World) -> None:
    capture(live, dead(1_000))
    said = look(live).sentence
    (entry,) = live.client("s3").list_objects_v2(Bucket=live.artifacts, Prefix="capture/")["Contents"]
    live.client("s3").delete_object(Bucket=live.artifacts, Key=entry["Key"])
    capture(live, rides(50, shift=0, seed=6))

    assert look(live).severity == "insufficient_data"
    assert finding_of(live).fault == said


@pytest.mark.parametrize("rows", [1_000, 100])
def test_traffic_that_cannot_be_read_is_a_fault_with_its_reason_however_little_is_left(
    live: World, rows: int
) -> None:
    capture(live, rides(rows, shift=0, seed=7))
    (entry,) = live.client("s3").list_objects_v2(Bucket=live.artifacts, Prefix="capture/")["Contents"]
    body = live.client("s3").get_object(Bucket=live.artifacts, Key=entry["Key"])["Body"].read()
    live.put(live.artifacts, entry["Key"], body + b"\n" + b"\n".join([b'{"another": "schema"}'] * 20))

    report = look(live)

    assert (report.severity, report.blocks_retraining) == ("fault", True)
    (finding,) = report.findings
    assert (finding.feature, finding.code) == ("(requests)", "schema_break")
    assert "not a data-capture record" in finding.sentence


def test_what_cannot_be_read_does_not_vanish_among_the_healthy_hours_before(live: World) -> None:
    long_ago(live)
    for hours in range(2, 12):
        capture(live, rides(1_000, shift=0, seed=hours), at=NOW - timedelta(hours=hours))
    at = NOW - timedelta(minutes=10)
    key = f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/x.jsonl"
    live.put(live.artifacts, key, b"\n".join([b'{"another": "schema"}'] * 30))

    report = look(live)

    assert (report.severity, report.rows) == ("fault", 0)
    assert report.findings[0].sentence.startswith("100.0% of 30 captured requests cannot be read")
