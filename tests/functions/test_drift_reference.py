"""DriftCheck beside earlier traffic: the last accepted window, the matching season, kept by natural keys."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.models import Models
from driftwheel.spec import ModelSpec

from .conftest import Context, World
from .test_drift_check import SPEC, capture, live, rides

__all__ = ["live"]

THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
ASKED = {"kind": "manual", "model": "rides"}


class HalfPast(datetime):
    """Stands still: an hour that ends during the tests would move their windows."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return THIS_HOUR + timedelta(minutes=30)


@pytest.fixture(autouse=True)
def clock(live: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.load("drift_check"), "datetime", HalfPast)


def declare(world: World, **drift: Any) -> None:
    document = SPEC.model_dump(mode="json", by_alias=True)
    document["drift"] |= drift
    Models(world.table).register(ModelSpec.model_validate(document), version="v2", at="later")


def promote(world: World, at: datetime) -> None:
    champion = Champions(world.table).get("rides")
    assert champion is not None
    fields = {k: v for k, v in vars(champion).items() if k not in {"sequence", "promoted_at"}}
    Champions(world.table).move(
        ChampionRow(**fields, sequence=champion.sequence + 1, promoted_at=at.isoformat())
    )


def check(world: World, context: Context) -> Any:
    told = world.load("drift_check").handler(ASKED, context)["rides"]
    uri: str = told["report_uri"]
    return world.read(uri.removeprefix(f"s3://{world.artifacts}/"))


def test_an_accepted_window_is_the_next_ones_reference_and_its_beginning(
    live: World, context: Context
) -> None:
    declare(live, reference="last_accepted")
    capture(live, rides(1_000, shift=0, seed=5), at=THIS_HOUR - timedelta(minutes=59))
    first = check(live, context)
    capture(live, rides(1_000, shift=15, seed=6), at=THIS_HOUR + timedelta(seconds=1))

    second = check(live, context)

    assert (first["severity"], first["reference"]["used"]) == ("none", "training")
    assert "compared with training alone" in first["sentence"]
    assert (second["severity"], second["reference"]["used"]) == ("major", "last_accepted")
    # The accepted window's last second belongs to both: late captures of it must not be lost.
    assert (second["rows"], second["reference"]["rows"]) == (2_000, 1_000)


def test_a_window_with_drift_is_no_reference(live: World, context: Context) -> None:
    declare(live, reference="last_accepted")
    capture(live, rides(1_000, shift=15, seed=5), at=THIS_HOUR - timedelta(minutes=59))

    reports = [check(live, context) for _ in range(2)]

    assert [report["severity"] for report in reports] == ["major", "major"]
    assert [report["reference"]["used"] for report in reports] == ["training", "training"]


def test_the_same_hour_of_earlier_weeks_is_the_season(live: World, context: Context) -> None:
    promote(live, THIS_HOUR - 20 * HOUR)
    declare(live, reference="season", season=["hour", "weekday"], window_hours=3)
    for weeks in (1, 2):
        capture(live, rides(1_000, shift=15, seed=weeks), at=THIS_HOUR - 2 * HOUR - weeks * WEEK)
    capture(live, rides(1_000, shift=-30, seed=3), at=THIS_HOUR - 10 * HOUR - WEEK)
    capture(live, rides(1_000, shift=15, seed=4), at=THIS_HOUR - 2 * HOUR)

    first = check(live, context)

    assert first["reference"]["used"] == "season"
    assert first["reference"]["rows"] == 2_000
    assert first["rows"] == 1_000
    assert first["severity"] == "minor", "training would have it major; the season knows it"
    assert first["reference"]["against_training"]["severity"] == "major"


def test_an_hour_that_has_settled_is_read_once(live: World, context: Context) -> None:
    promote(live, THIS_HOUR - 20 * HOUR)
    declare(live, reference="season", season=["hour", "weekday"], window_hours=3)
    past = THIS_HOUR - 2 * HOUR - WEEK
    capture(live, rides(1_000, shift=15, seed=1), at=past)
    capture(live, rides(1_000, shift=15, seed=4), at=THIS_HOUR - 2 * HOUR)
    check(live, context)
    kept = live.read(f"drift/rides/hours/r1/{past:%Y/%m/%d/%H}.json")
    live.client("s3").delete_object(
        Bucket=live.artifacts, Key=f"capture/rides/dw-rides/serving/{past:%Y/%m/%d/%H}/x.jsonl"
    )

    again = check(live, context)

    assert kept["summary"]["rows"] == 1_000
    assert kept["prediction"] is None, "another champion answered then"
    assert again["reference"]["rows"] == 1_000


def test_without_a_season_training_decides_and_the_report_says_so(live: World, context: Context) -> None:
    promote(live, THIS_HOUR - 20 * HOUR)
    declare(live, reference="season", window_hours=3)
    capture(live, rides(1_000, shift=15, seed=4), at=THIS_HOUR - 2 * HOUR)

    report = check(live, context)

    assert (report["severity"], report["reference"]["used"]) == ("major", "training")
    assert "No matching season (same hour, weekday)" in report["sentence"]


@pytest.mark.parametrize(("hours", "rows"), [(2, 500), (4, 1_200)])
def test_a_window_is_the_last_whole_hours(live: World, context: Context, hours: int, rows: int) -> None:
    promote(live, THIS_HOUR - 20 * HOUR)
    declare(live, window_hours=hours)
    capture(live, rides(500, shift=0, seed=1), at=THIS_HOUR - 2 * HOUR)
    capture(live, rides(700, shift=0, seed=2), at=THIS_HOUR - 3 * HOUR)
    capture(live, rides(900, shift=0, seed=3), at=THIS_HOUR)

    assert check(live, context)["rows"] == rows
