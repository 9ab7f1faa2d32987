"""Held hours: what a check found broken is learned from by no data set until a person releases it."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.checks import Checks
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.findings import Findings
from driftwheel.ledger.hours import HeldHour, Hours
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.runs import Runs
from driftwheel.spec import Drift
from driftwheel.steps import drift_check as steps
from driftwheel.steps import drift_verdict
from driftwheel.steps.trigger import Ledger as TriggerLedger
from driftwheel.steps.trigger import situation_of
from tests.bench.faults import Killed

from .conftest import Context, Send, World, created
from .test_drift_check import SPEC, capture, label, live, rides
from .test_drift_faults import dead

__all__ = ["live"]

NOON = datetime(2026, 11, 29, 12, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def old(live: World) -> World:
    """A champion that has served for thirty hours."""
    champion = Champions(live.table).get("rides")
    assert champion is not None
    promoted = {"promoted_at": (NOON - 30 * HOUR).isoformat()}
    live.table.put({**vars(champion), **promoted, "pk": "CHAMPION", "sk": "rides"})
    return live


def declare(world: World, **drift: Any) -> None:
    changed = Drift.model_validate(SPEC.drift.model_dump() | drift)
    Models(world.table).register(SPEC.model_copy(update={"drift": changed}), version="v", at="now")


def healthy(world: World, at: datetime, rows: int = 1_000) -> None:
    capture(world, rides(rows, shift=0, seed=at.hour), at=at)


def broken(world: World, at: datetime, rows: int = 1_000) -> None:
    capture(world, dead(rows), at=at)


def tick(world: World, at: datetime, **changes: Any) -> list[steps.Checked]:
    """Check as the schedule's tick of that moment does."""
    event = {"kind": "scheduled", "schedule": "s", "scheduled_time": at.isoformat()} | changes
    objects = world.load("drift_check").objects
    return steps.survey(event, steps.Ledger.of(world.table), objects, world.artifacts, at).checked


def held(world: World) -> list[str]:
    return Hours(world.table).held_names("rides")


def causes(world: World) -> list[dict[str, str]]:
    return [row.causes for row in Hours(world.table).held("rides")]


def respelt(world: World, at: datetime) -> None:
    capture(world, [row | {"city": row["city"].lower()} for row in rides(1_000, 0, 5)], at=at)


def unmeasured(world: World, at: datetime, rows: int = 1_000, **changes: Any) -> None:
    capture(world, [row | {"temp": None} for row in rides(rows, 0, at.hour)], at=at, **changes)


def name(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H}"


def release(world: World, at: datetime) -> None:
    hours = Hours(world.table)
    for row in hours.held("rides"):
        assert hours.release(row, at=at.isoformat(), reason="mended")


def test_the_hours_of_broken_traffic_are_held_with_the_check_and_the_cause(old: World) -> None:
    broken(old, NOON - HOUR)

    (checked,) = tick(old, NOON)

    (row,) = Hours(old.table).held("rides")
    assert row == HeldHour(
        "rides", "2026-11-29T11", NOON.isoformat(), {"temp": "constant"}, checked.report_uri
    )
    assert Decisions(old.table).of_model("rides")[0].numbers["held_hours"] == 1


def test_an_hour_with_rows_enough_speaks_for_itself(old: World) -> None:
    declare(old, every_minutes=240)
    for hours, put in ((4, healthy), (3, broken), (2, broken), (1, healthy)):
        put(old, NOON - hours * HOUR)
    capture(old, [{**ride, "temp": None} for ride in dead(1_000)], at=NOON - 2 * HOUR)

    (checked,) = tick(old, NOON)

    assert [finding.code for finding in checked.report.findings if finding.kind == "fault"] == ["null_burst"]
    assert held(old) == [name(NOON - 3 * HOUR), name(NOON - 2 * HOUR)]


def test_a_window_too_large_to_be_read_twice_is_held_with_all_its_hours(
    old: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_verdict, "READ_TWICE", 1)
    declare(old, every_minutes=240)
    unmeasured(old, NOON - 2 * HOUR)
    healthy(old, NOON - HOUR)

    tick(old, NOON)

    assert held(old) == [name(NOON - 2 * HOUR), name(NOON - HOUR)]


def test_each_hour_says_what_is_broken_in_it(old: World) -> None:
    declare(old, every_minutes=240)
    respelt(old, NOON - 3 * HOUR)
    unmeasured(old, NOON - 2 * HOUR)
    healthy(old, NOON - HOUR)

    tick(old, NOON)

    assert causes(old) == [{"city": "respelt_category"}, {"temp": "missing_column"}]


def test_what_is_found_broken_in_a_held_hour_later_is_added(old: World) -> None:
    respelt(old, NOON - timedelta(minutes=1))
    tick(old, NOON)
    unmeasured(old, NOON + HOUR / 2, 2_000, name="late")

    tick(old, NOON + HOUR)

    assert causes(old) == [{"city": "respelt_category", "temp": "missing_column"}]


def test_a_season_without_a_row_that_can_be_read_hides_no_fault(old: World) -> None:
    declare(old, reference="season", season=["hour"], window_hours=2)
    at = NOON - 25 * HOUR
    old.put(
        old.artifacts, f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/y.jsonl", b'{"another": "schema"}\n'
    )
    healthy(old, NOON - HOUR)
    unmeasured(old, NOON - 2 * HOUR)

    (checked,) = tick(old, NOON)

    assert checked.report.blocks_retraining
    assert held(old) == [name(NOON - 2 * HOUR)]


def test_an_hour_that_a_check_found_whole_is_not_held_by_a_longer_window(old: World) -> None:
    healthy(old, NOON - 3 * HOUR)
    tick(old, NOON - 2 * HOUR)
    for hours in (2, 1):
        capture(old, [ride | {"temp": None} for ride in rides(190, 0, hours)], at=NOON - hours * HOUR)
    declare(old, minimum_rows=1_100)

    (checked,) = tick(old, NOON)

    assert (checked.report.severity, checked.report.rows) == ("fault", 1_380)
    assert held(old) == [name(NOON - 2 * HOUR), name(NOON - HOUR)]


def test_a_grown_window_that_was_found_whole_clears_no_hour(old: World) -> None:
    for hours in (6, 5, 4):
        healthy(old, NOON - hours * HOUR, rows=100)
    (first,) = tick(old, NOON - 3 * HOUR)
    for hours in (3, 2, 1):
        broken(old, NOON - hours * HOUR, rows=50)
    capture(old, [ride | {"temp": None} for ride in rides(150, 0, 1)], at=NOON - HOUR)

    (second,) = tick(old, NOON)

    assert (first.report.severity, first.report.rows) == ("none", 300)
    assert (second.report.severity, second.report.window["since"]) == ("fault", "2026-11-29T08:00:00Z")
    assert held(old) == [name(NOON - hours * HOUR) for hours in (4, 3, 2, 1)], "its window and no more"


def test_a_long_window_that_was_found_whole_clears_no_hour_either(old: World) -> None:
    declare(old, window_hours=6)
    for hours in (7, 6, 5, 4):
        healthy(old, NOON - hours * HOUR, rows=190)
    capture(old, [ride | {"temp": None} for ride in rides(150, 0, 1)], at=NOON - 3 * HOUR)
    (first,) = tick(old, NOON - 2 * HOUR)
    capture(old, [ride | {"temp": None} for ride in rides(190, 0, 1)], at=NOON - 2 * HOUR)

    (second,) = tick(old, NOON)

    assert [one.report.blocks_retraining for one in (first, second)] == [False, True]
    assert held(old) == [name(NOON - hours * HOUR) for hours in (6, 5, 4, 3, 2)]


def test_requests_that_cannot_be_read_hold_the_hours_of_their_files(old: World) -> None:
    for hours in (9, 2):
        at = NOON - hours * HOUR
        key = f"capture/rides/dw-rides/serving/{at:%Y/%m/%d/%H}/y.jsonl"
        old.put(old.artifacts, key, b"\n".join([b'{"another": "schema"}'] * 30))
    declare(old, every_minutes=180)

    tick(old, NOON)

    assert held(old) == [name(NOON - 2 * HOUR)]


def test_who_asks_for_himself_holds_nothing_and_who_asks_for_all_holds_as_a_tick_does(old: World) -> None:
    broken(old, NOON - HOUR)

    tick(old, NOON, kind="manual", model="rides", window_hours=2)
    assert held(old) == []

    tick(old, NOON, kind="manual", model="rides")
    assert held(old) == [name(NOON - HOUR)]


@pytest.mark.case("DR-04")
def test_the_same_tick_twice_holds_once_and_takes_no_release_back(old: World) -> None:
    broken(old, NOON - HOUR)
    tick(old, NOON)
    (row,) = Hours(old.table).held("rides")
    release(old, NOON + timedelta(minutes=1))

    assert tick(old, NOON) == []
    Checks(old.table).give_back(f"s#rides#1#{NOON.replace(minute=0).isoformat()}")
    (again,) = tick(old, NOON)

    assert (again.report.severity, held(old)) == ("fault", [])
    assert row.at == NOON.isoformat()


def test_a_release_stands_against_later_checks_unless_the_hour_was_not_over(old: World) -> None:
    running = NOON + timedelta(minutes=1)
    broken(old, NOON - HOUR)
    broken(old, NOON - timedelta(minutes=1))
    tick(old, NOON)
    assert held(old) == [name(NOON - HOUR), name(NOON)]
    release(old, running)

    (again,) = tick(old, NOON + HOUR)

    assert again.report.severity == "fault"
    assert held(old) == [name(NOON)]


@pytest.mark.parametrize("part", ["finding", "decision"])
@pytest.mark.parametrize("error", [Killed, RuntimeError])
def test_a_check_that_dies_has_held_the_hours_before_anybody_can_read_its_verdict(
    old: World, monkeypatch: pytest.MonkeyPatch, part: str, error: type[BaseException]
) -> None:
    broken(old, NOON - HOUR)

    def die(*_: object) -> None:
        raise error(part)

    with monkeypatch.context() as dying:
        dying.setattr(Findings if part == "finding" else Decisions, "record", die)
        with pytest.raises(error):
            tick(old, NOON)

    assert held(old) == [name(NOON - HOUR)]
    if error is RuntimeError:
        (again,) = tick(old, NOON)
        assert (again.report.severity, held(old)) == ("fault", [name(NOON - HOUR)])


@pytest.mark.case("DR-03")
def test_labelled_rows_of_held_hours_are_not_counted_until_they_are_released(old: World) -> None:
    broken(old, NOON - 2 * HOUR)
    label(old, [f"i{n}/{m}" for n in (0, 100) for m in range(50)])
    tick(old, NOON - HOUR)
    capture(old, rides(1_000, shift=15, seed=9), at=NOON - HOUR)

    def labelled() -> tuple[int, Mapping[str, int]]:
        situation = situation_of(SPEC, TriggerLedger.of(old.table), NOON)
        return situation.labelled_rows, situation.labelled_days

    (checked,) = tick(old, NOON)
    assert checked.report.severity == "major"
    assert labelled() == (100, {"2026-11-29": 100}), "those asked after it was mended"

    release(old, NOON)
    assert labelled() == (200, {"2026-11-29": 200})


@pytest.mark.case("DR-03")
def test_a_data_set_of_held_hours_alone_starts_no_run(old: World) -> None:
    broken(old, NOON - HOUR)
    label(old, [f"i0/{m}" for m in range(100)])
    tick(old, NOON)
    finding = Findings(old.table).get("rides")
    assert finding is not None
    Findings(old.table).record(replace(finding, fault="", severity="major"))

    situation = situation_of(SPEC, TriggerLedger.of(old.table), NOON)

    assert (finding.labelled_rows, situation.labelled_rows) == (100, 0)


def test_a_held_hour_is_no_season_to_compare_with(old: World) -> None:
    declare(old, reference="season", season=["hour"], window_hours=1)
    broken(old, NOON - 25 * HOUR)
    tick(old, NOON - 24 * HOUR)
    assert held(old) == [name(NOON - 25 * HOUR)]
    healthy(old, NOON - HOUR)

    (checked,) = tick(old, NOON)

    assert checked.report.severity == "none"
    assert checked.report.reference["rows"] == 0


class Wheel:
    """The rides model in memory: the trigger, DataArrival and Preprocessing as shipped, nothing trained."""

    def __init__(self, world: World, states: Any, send: Send, context: Context) -> None:
        self.world, self.states, self._send, self._context = world, states, send, context

    def send(self, message: Any, at: datetime) -> None:
        assert (
            self._send(message, seconds=(at - datetime(2026, 1, 2, 12, 0, tzinfo=UTC)).total_seconds())[
                "batchItemFailures"
            ]
            == []
        )

    def data_set(self, at: datetime) -> dict[str, Any]:
        """Ask for a run, prepare its data set and end it there; give its record, profile and train rows."""
        self.send({"kind": "manual", "model": "rides"}, at)
        runs = Runs(self.world.table).of_model("rides")
        run = json.loads(self.states.describe_execution(executionArn=runs[0].execution_arn)["input"])
        for step in ("data_arrival", "preprocessing"):
            run[step] = self.world.load(step).handler(run, self._context)
        Runs(self.world.table).end("rides", run["run_id"], "rejected", "no better", at.isoformat())
        Leases(self.world.table).release("rides", run["run_id"], run["fence"])
        place = f"runs/rides/{run['run_id']}/preprocessing"
        body = self.world.client("s3").get_object(Bucket=self.world.artifacts, Key=f"{place}/train.parquet")
        table = pq.read_table(io.BytesIO(body["Body"].read()))
        return run | {"profile": self.world.read(f"{place}/profile.json"), "train": table.to_pylist()}


def test_a_broken_hour_is_held_left_out_after_it_was_mended_released_and_learned_from(
    world: World, states: Any, send: Send, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPROCESSING_MEMORY_MB", "300")
    wheel = Wheel(world, states, send, context)
    Models(world.table).register(SPEC, version="v", at="now")
    learned = rides(2_000, 0, seed=1)
    lines = [f"{ride['id']},{ride['temp']},{ride['city']},{ride['id'] % 3 * 10}" for ride in learned]
    body = "\n".join(["id,temp,city,delay", *lines, ""]).encode()
    wheel.send(created(world, "data/rides/a.csv", body), NOON - 40 * HOUR)
    first = wheel.data_set(NOON - 39 * HOUR)
    promote(world, first["run_id"], learned)

    unread = [{"temp": None, "city": ride["city"]} for ride in rides(1_000, 0, seed=2)]
    capture(world, unread, at=NOON - HOUR, name="broken")
    (fault,) = tick(world, NOON)
    mended = [{"temp": ride["temp"], "city": ride["city"]} for ride in rides(1_000, 0, seed=3)]
    capture(world, mended, at=NOON + timedelta(minutes=5), name="whole")
    label(world, [f"{name}{n}/{m}" for name in ("broken", "whole") for n in (0, 500) for m in range(100)])
    (whole,) = tick(world, NOON + HOUR)
    without = wheel.data_set(NOON + HOUR)
    release(world, NOON + HOUR)
    again = wheel.data_set(NOON + 2 * HOUR)

    def captured(run: dict[str, Any]) -> set[bool]:
        """Whether captured rows that were trained on lack their temperature."""
        return {row["raw.temp"] is None for row in run["train"] if row["__origin"] == "captured"}

    assert [one.report.blocks_retraining for one in (fault, whole)] == [True, False]
    assert first["profile"]["captured"]["held"] == 0
    assert (without["data_arrival"]["held_hours"], without["preprocessing"]["rows"]["held"]) == (1, 200)
    counts = without["profile"]["captured"]
    assert (counts["rows"], counts["labelled"], counts["held"], counts["held_hours"]) == (2_000, 200, 200, 1)
    assert without["profile"]["notes"][0].startswith("captured traffic: 200 labelled rows of 1 held hour")
    assert captured(without) == {False}
    assert "held_hours" not in again["data_arrival"]
    assert (again["profile"]["captured"]["labelled"], again["profile"]["captured"]["held"]) == (400, 0)
    assert captured(again) == {False, True}


def promote(world: World, run_id: str, learned: list[dict[str, Any]]) -> None:
    """Make a run the champion, with a baseline of what it learned from."""
    answers = np.random.default_rng(2)
    columns = {name: [ride[name] for ride in learned] for name in ("temp", "city")}
    baseline = build_baseline(
        columns,
        {"temp": "number", "city": "category"},
        answers.uniform(0.2, 0.8, len(learned)),
        answers.integers(0, 2, len(learned)).astype(float),
        {"temp": 8.0, "city": 2.0},
    )
    key = f"runs/rides/{run_id}/evaluation_gate/baseline.json"
    world.put(world.artifacts, key, json.dumps(baseline).encode())
    uri, since = f"s3://{world.artifacts}/{key}", (NOON - 30 * HOUR).isoformat()
    Champions(world.table).move(
        ChampionRow("rides", 1, run_id, "e", "c", "s3://m", "arn", uri, since, "first")
    )
