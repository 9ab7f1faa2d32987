"""What a window is compared with, and that the training data always has a say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.reference import (
    Reference,
    check_against,
    matching_hours,
    merge_references,
    reference_from_json,
)
from driftwheel.drift.window import WindowBuilder
from driftwheel.spec import Drift

ACCEPTED = Drift(reference="last_accepted")
SEASON = Drift(reference="season", season=["weekday", "hour"], window_hours=1)
MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def baseline():
    rng = np.random.default_rng(1)
    columns = {"x": rng.normal(50, 10, 20_000), "y": rng.normal(0, 1, 20_000)}
    return build_baseline(
        columns, dict.fromkeys(columns, "number"), rng.random(4_000), rng.integers(0, 2, 4_000) * 1.0, {}
    )


def window(baseline, rng, shift=0.0, rows=2_000, score=0.0):
    made = WindowBuilder(baseline)
    columns = {"x": rng.normal(50 + 10 * shift, 10, rows), "y": rng.normal(0, 1, rows)}
    made.add(columns, np.clip(rng.random(rows) + score, 0, 1))
    return made.build(first="2026-11-23T08:00:00Z", last="2026-11-23T09:00:00Z")


def reference(made):
    return Reference(made.summary, made.prediction, made.about["first"], made.about["last"])


def test_training_is_the_reference_unless_another_is_declared(baseline):
    report = check_against(baseline, None, window(baseline, np.random.default_rng(2)), Drift())

    assert report.severity == "none"
    assert report.reference == {"declared": "training", "used": "training"}


def test_a_drift_of_one_percent_a_window_is_caught_against_training(baseline):
    """Each window lies 0.01 standard deviations beyond the one before: never seen from one to the next."""
    rng = np.random.default_rng(3)
    accepted, seen = None, []
    for number in range(60):
        now = window(baseline, rng, shift=0.01 * number)
        report = check_against(baseline, accepted, now, ACCEPTED)
        seen.append(report)
        if report.severity == "none":
            accepted = reference(now)
    caught = next(n for n, report in enumerate(seen) if report.severity != "none")

    assert 5 < caught < 25
    last = seen[-1]
    assert last.severity == "major"
    assert last.reference["against_training"]["features"] == ["x"]
    assert "Against training: Major drift: x" in last.sentence
    assert last.findings[0].feature == "x"


def test_the_last_accepted_window_sees_what_training_cannot(baseline):
    """The world has come back to what was learned, and that is a jump."""
    rng = np.random.default_rng(4)
    away = reference(window(baseline, rng, shift=0.6))

    report = check_against(baseline, away, window(baseline, rng), ACCEPTED)

    assert report.severity == "major"
    assert report.reference["against_training"]["severity"] == "none"


def test_a_season_that_came_last_year_too_is_told_but_retrains_nothing(baseline):
    rng = np.random.default_rng(5)
    winter = reference(window(baseline, rng, shift=1.0, rows=6_000, score=0.3))
    now = window(baseline, rng, shift=1.0, score=0.3)

    report = check_against(baseline, winter, now, SEASON)

    assert check_against(baseline, None, now, Drift()).severity == "major"
    assert report.severity == "minor"
    assert not report.blocks_retraining
    assert "matching season (same weekday, hour)" in report.sentence


def test_a_slight_difference_from_training_is_a_seasons_own_affair(baseline):
    rng = np.random.default_rng(6)
    winter = reference(window(baseline, rng, shift=0.25, rows=10_000))

    report = check_against(baseline, winter, window(baseline, rng, shift=0.25), SEASON)

    assert report.reference["against_training"]["severity"] == "minor"
    assert (report.severity, report.findings) == ("none", [])


def test_a_departure_from_the_season_is_drift(baseline):
    rng = np.random.default_rng(7)
    winter = reference(window(baseline, rng, shift=1.0, rows=6_000))

    report = check_against(baseline, winter, window(baseline, rng, shift=2.0), SEASON)

    assert report.severity == "major"


def test_what_another_model_answered_is_not_compared(baseline):
    rng = np.random.default_rng(8)
    other = reference(window(baseline, rng, rows=6_000, score=0.4))
    now = window(baseline, rng)

    mine, others = (
        check_against(baseline, each, now, SEASON) for each in (other, replace(other, prediction=None))
    )

    assert [finding.feature for finding in mine.findings] == ["(prediction)"]
    assert others.findings == []
    assert "(prediction)" not in {feature.name for feature in others.features}


@pytest.mark.parametrize("spec", [ACCEPTED, SEASON])
def test_two_comparisons_share_the_significance_declared_and_one_has_it_whole(baseline, spec):
    rng = np.random.default_rng(13)
    enough = reference(window(baseline, rng, rows=6_000))

    both, alone = (check_against(baseline, each, window(baseline, rng), spec) for each in (enough, None))

    assert (both.significance, alone.significance) == (spec.significance / 2, spec.significance)


def test_a_broken_column_is_a_fault_beside_any_reference(baseline):
    rng = np.random.default_rng(9)
    dead = WindowBuilder(baseline)
    dead.add({"x": np.full(2_000, 50.0), "y": rng.normal(0, 1, 2_000)}, rng.random(2_000))
    dead = dead.build(first="a", last="b")

    for spec in (ACCEPTED, SEASON):
        report = check_against(baseline, reference(dead), dead, spec)
        assert report.severity == "fault"
        assert report.blocks_retraining


@pytest.mark.parametrize("spec", [ACCEPTED, SEASON])
def test_without_enough_earlier_traffic_training_decides_and_the_report_says_so(baseline, spec):
    rng = np.random.default_rng(10)
    few = reference(window(baseline, rng, rows=100))

    for given in (None, few):
        report = check_against(baseline, given, window(baseline, rng, shift=1.0), spec)
        assert report.severity == "major"
        assert report.reference["used"] == "training"
        assert "compared with training alone" in report.sentence


def test_references_add_up_and_survive_their_json(baseline):
    rng = np.random.default_rng(11)
    one, other = (reference(window(baseline, rng, rows=500)) for _ in range(2))

    both = merge_references(one, other)

    assert both.summary.rows == both.prediction.count == 1_000
    assert merge_references(one, replace(other, prediction=None)).prediction is None
    again = reference_from_json(both.to_json())
    assert again.to_json() == both.to_json()


def test_the_hours_of_a_season_are_earlier_and_alike():
    hours = [MONDAY - n * HOUR for n in range(-5, 24 * 70)]

    weekly = matching_hours(hours, MONDAY, MONDAY + 2 * HOUR, ["hour", "weekday"])
    yearly = matching_hours([MONDAY - timedelta(days=365)], MONDAY, MONDAY + HOUR, ["month"])

    assert len(weekly) == 16, "eight weeks, two hours"
    assert {(hour.weekday(), hour.hour) for hour in weekly} == {(0, 8), (0, 9)}
    assert max(weekly) < MONDAY
    assert yearly == [MONDAY - timedelta(days=365)]
    assert matching_hours([MONDAY - timedelta(days=40)], MONDAY, MONDAY + HOUR, ["month"]) == []


def test_a_season_without_windows_is_refused():
    with pytest.raises(ValidationError, match="window_hours"):
        Drift(reference="season")
