import numpy as np
import pytest

from driftwheel.drift.faults import find_fault
from driftwheel.drift.pair import Pair
from driftwheel.drift.summaries import summarise_column

RNG = np.random.default_rng(1)
WARM = RNG.normal(60, 12, 5_000)
ORIGINS = RNG.choice(["EWR", "JFK", "LGA"], 5_000, p=[0.4, 0.35, 0.25])


def fault(before, now, kind="number", unit=None):
    baseline = summarise_column(before, kind)
    return find_fault("temp", Pair(baseline, summarise_column(now, kind, like=baseline)), 0.2, unit)


def code(*args, **kwargs):
    found = fault(*args, **kwargs)
    return found.code if found else None


def test_fahrenheit_that_became_celsius_is_named():
    found = fault(WARM, (RNG.normal(60, 12, 800) - 32) / 1.8)

    assert found.code == "unit_change"
    assert found.numbers["cause"] == "degF to degC"
    assert "degF to degC" in found.sentence
    assert found.kind == "fault"


@pytest.mark.parametrize(
    ("unit", "factor", "cause"),
    [
        ("mph", 1.609344, "mph to km/h"),
        ("percent", 0.01, "percent to fraction"),
        ("mi", 1.609344, "mi to km"),
    ],
)
def test_the_declared_unit_says_which_conversions_to_try(unit, factor, cause):
    values = RNG.normal(60, 6, 5_000)

    found = fault(values, RNG.normal(60, 6, 800) * factor, unit=unit)

    assert found.numbers["cause"] == cause
    assert found.numbers["factor"] == pytest.approx(factor)


def test_cents_for_euros_are_found_in_a_skewed_column():
    found = fault(RNG.lognormal(3, 0.8, 5_000), RNG.lognormal(3, 0.8, 800) * 100)

    assert found.numbers["cause"] == "times 100"


def test_a_warm_season_is_no_change_of_unit():
    assert code(RNG.normal(37, 10, 5_000), RNG.normal(74, 8, 2_000), unit="degF") is None
    assert code(RNG.normal(37, 10, 5_000), RNG.normal(74, 8, 2_000)) is None


def test_a_column_that_is_zero_in_any_unit_has_not_changed_it():
    dry = np.where(RNG.random(5_000) < 0.95, 0.0, RNG.exponential(0.1, 5_000))
    wet = np.where(RNG.random(2_000) < 0.85, 0.0, RNG.exponential(0.1, 2_000))

    assert code(dry, wet, unit="in") is None


def test_values_that_vanish_at_once_are_a_burst_and_some_more_are_not():
    assert code(WARM, [None] * 300 + [60.0, 55.0, 70.0, 48.0] * 175) == "null_burst"
    assert code(WARM, [None] * 200 + [60.0, 55.0, 70.0, 48.0] * 200) is None


def test_a_column_without_a_single_value_is_missing():
    found = fault(WARM, [None] * 600)

    assert found.code == "missing_column"
    assert "600 rows" in found.sentence
    assert code(ORIGINS, [None] * 600, "category") == "missing_column"
    assert code(["x"] * 10, [None] * 10, "text") == "missing_column"


def test_a_column_that_never_had_values_is_not_missing_now():
    assert code([None] * 100, [None] * 100) is None


def test_a_sensor_that_always_says_the_same_is_dead():
    found = fault(WARM, [58.0] * 600)

    assert found.code == "constant"
    assert "58 in all 600 rows" in found.sentence


def test_a_dry_week_is_no_dead_sensor():
    rain = np.where(RNG.random(5_000) < 0.9, 0.0, RNG.exponential(0.1, 5_000))

    assert code(rain, [0.0] * 600) is None
    assert code([5.0] * 100, [5.0] * 100) is None


def test_text_among_numbers_is_a_wrong_type():
    assert code(WARM, ["warm"] * 12 + [60.0, 55.0] * 400) == "wrong_type"
    assert code(WARM, ["warm"] * 5 + [60.0, 55.0] * 400) is None


def test_known_categories_in_another_spelling_are_recognised():
    now = np.where(RNG.random(1_000) < 0.05, "jfk ", RNG.choice(["EWR", "JFK", "LGA"], 1_000))

    found = fault(ORIGINS, now, "category")

    assert found.code == "respelt_category"
    assert found.numbers["names"] == {"jfk ": "JFK"}
    assert "canonical" in found.sentence


def test_a_category_that_moved_under_a_new_name_is_recognised_by_its_share():
    now = ["NYC-2" if value == "JFK" else value for value in RNG.choice(ORIGINS, 1_000)]

    found = fault(ORIGINS, now, "category")

    assert found.code == "renamed_category"
    assert found.numbers["names"] == {"NYC-2": "JFK"}


def test_a_new_category_beside_the_known_ones_is_no_fault():
    now = np.where(RNG.random(1_000) < 0.3, "BOS", RNG.choice(ORIGINS, 1_000))

    assert code(ORIGINS, now, "category") is None
