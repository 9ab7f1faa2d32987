"""The page that DriftCheck writes at every check, and the notification that names it."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from driftwheel.ledger.champions import Champions
from driftwheel.ledger.findings import Findings
from driftwheel.steps import drift_check as steps

from .conftest import Context, World
from .test_drift_check import NOW, SPEC, Events, capture, label, live, rides

__all__ = ["live"]  # the fixture

ASKED = {"kind": "manual", "model": "rides"}


def page_of(world: World) -> str:
    """Read the newest page."""
    s3 = world.client("s3")
    listed = s3.list_objects_v2(Bucket=world.artifacts, Prefix="drift/rides/")["Contents"]
    key = max(entry["Key"] for entry in listed if entry["Key"].endswith("/drift.html"))
    found = s3.get_object(Bucket=world.artifacts, Key=key)
    assert found["ContentType"] == "text/html; charset=utf-8"
    return str(found["Body"].read().decode())


def text(html: str) -> str:
    """What a reader sees outside the drawings."""
    without = re.sub(r"<(svg|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without).split())


def survey_at(world: World, minutes: int) -> steps.Checked:
    """Check the model, some minutes from now."""
    module = world.load("drift_check")
    at = NOW + timedelta(minutes=minutes)
    (found,) = steps.survey(ASKED, steps.Ledger.of(world.table), module.objects, world.artifacts, at).checked
    return found


def test_every_check_writes_a_page_that_says_what_drifted_how_much_and_what_comes_next(
    live: World, event: Events, context: Context
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    label(live, [f"i0/{n}" for n in range(100)])

    told = live.load("drift_check").handler(event("drift_check"), context)["rides"]

    seen = text(page_of(live))
    assert told["page_uri"] == told["report_uri"].replace("report.json", "drift.html")
    assert "rides major Major drift: temp" in seen
    assert (
        "Next Driftwheel does not retrain yet: major drift in 1 of the last 3 windows, 2 are needed." in seen
    )
    assert re.search(r"temp strong 80\.0 % (wasserstein|psi|\w+ \w+) [\d.]+ [\d.]+ ", seen)
    assert "wait (unconfirmed)" in seen
    assert "100 of 1,000 rows have a label (10.0 %)" in seen
    assert "city stable" in seen
    assert page_of(live).count("<figure>") >= 5


def test_a_check_that_is_repeated_writes_the_same_bytes_with_the_report_last(
    live: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    objects = live.load("drift_check").objects
    written: list[tuple[str, bytes]] = []
    write = objects.write

    def noted(uri: Any, body: bytes, kind: str = "") -> None:
        written.append((uri.key, body))
        write(uri, body, kind)

    monkeypatch.setattr(objects, "write", noted)
    survey_at(live, 0)
    survey_at(live, 0)

    names = ["statistics.json", "constraint_violations.json", "drift.html", "report.json"]
    assert [key.rpartition("/")[2] for key, _ in written] == names * 2
    assert written[:4] == written[4:]
    described = json.loads(written[0][1])
    assert described["dataset"]["item_count"] == 1_000
    temp = {one["name"]: one for one in described["features"]}["temp"]
    assert temp["numerical_statistics"]["mean"] == pytest.approx(55, abs=1)


def test_what_drifted_keeps_its_first_check_until_it_is_gone_and_a_new_champion_starts_anew(
    live: World,
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    survey_at(live, 0)
    later = survey_at(live, 60)

    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert set(finding.since.values()) == {NOW.isoformat()}
    assert [one["severity"] for one in finding.history] == ["major", "major"]
    assert later.notice.since == f"the check of {NOW:%Y-%m-%d %H:%M} UTC, in 2 of the last 2 windows"
    assert f"since {NOW:%Y-%m-%d %H:%M} UTC" in text(page_of(live))

    champion = Champions(live.table).get("rides")
    assert champion is not None
    Champions(live.table).move(replace(champion, sequence=2))
    again = survey_at(live, 120)
    assert again.notice.since == f"the check of {NOW + timedelta(minutes=120):%Y-%m-%d %H:%M} UTC"


def test_a_fault_is_told_as_one_and_not_as_drift(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [ride | {"temp": 40.0} for ride in rides(1_000, shift=0, seed=5)]
    capture(live, dead)

    checked = survey_at(live, 0)

    assert checked.notice.subject == "rides: data fault in temp"
    first, *_, last = steps.message_of(checked).splitlines()
    assert first.startswith("rides: Broken data in temp")
    assert "temp is 40 in all 1,000 rows" in first
    assert "Next: Driftwheel does not retrain on broken data; the champion keeps serving." in first
    assert "You: Mend the source of temp" in first
    assert last == f"Report: {checked.report_uri}"
    assert f"Page: {checked.page_uri}" in steps.message_of(checked)
    assert "Data faults and their likely causes" in page_of(live)


def test_a_check_without_drift_has_a_page_too(live: World) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    assert SPEC.drift.every_minutes == 60

    survey_at(live, 0)

    seen = text(page_of(live))
    assert "Nothing was found." in seen
    assert "The champion keeps serving (nothing was found); the next check is in 60 minutes." in seen
