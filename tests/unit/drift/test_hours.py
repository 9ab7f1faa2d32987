"""Which hours of a broken window are held, and which speak for themselves."""

import json

import numpy as np
import pytest

from driftwheel.drift.column import ColumnSummary, NumberSummary
from driftwheel.drift.hours import BrokenHours, Causes, hours_to_read, read_hours, shown_by
from driftwheel.drift.summaries import Summary, summarise
from driftwheel.recipe.declare import declare
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import load_spec

SPEC = load_spec("""
model: rides
source: {prefix: data/rides/, key: [id]}
columns:
  id: {type: text, feature: false}
  temp: {type: number}
  city: {type: category}
  late: {type: boolean, feature: false}
target: {column: late}
""")
DEAD = {"temp": "constant"}
HOURS = [f"2026-11-29T{hour:02}" for hour in range(5, 10)]


@pytest.mark.parametrize(
    ("shown", "whole_until", "held"),
    [
        ({}, "", HOURS),
        ({}, HOURS[3], HOURS[3:]),
        ({HOURS[0]: DEAD, HOURS[4]: {}}, HOURS[3], [HOURS[0], HOURS[3]]),
        ({hour: {} for hour in HOURS}, "", HOURS),
        (dict.fromkeys(HOURS, DEAD), "2026-11-30T00", HOURS),
        ({}, "2026-11-30T00", HOURS),
    ],
)
def test_hours_are_held_by_their_own_rows_else_by_what_checks_said(
    shown: dict[str, Causes], whole_until: str, held: list[str]
) -> None:
    assert BrokenHours(frozenset(HOURS), shown).to_hold(whole_until) == held


def test_a_time_that_is_none_names_no_hour() -> None:
    assert BrokenHours(frozenset({"", "yesterday", "9999-99-99T99", "2026-11-29T9", HOURS[0]}), {}).to_hold(
        ""
    ) == [HOURS[0]]


def test_an_hour_speaks_for_itself_when_it_has_rows_enough_and_company() -> None:
    assert hours_to_read({HOURS[0]: 500, HOURS[1]: 499}, 500) == {HOURS[0]}
    assert hours_to_read({HOURS[0]: 500}, 500) == set()


def test_the_hours_of_a_file_are_told_apart_within_the_window() -> None:
    recipe = load_recipe(declare(SPEC), {"medians": {}, "modes": {}, "categories": {"city": ["JFK"]}})
    temps = {HOURS[0]: 41.0, HOURS[1]: 50.0, HOURS[2]: 60.0}
    lines = b"".join(
        captured(f"{temp},{hour}", f"{hour}:{minute}:00Z")
        for hour, temp in temps.items()
        for minute in (10, 40)
    )
    kinds = {"temp": "number", "city": "category"}
    like = summarise({"temp": [1.0, 2.0], "city": ["JFK", "LGA"]}, kinds)

    found = read_hours(recipe, [("c", [lines])], kinds, like, HOURS[:2], since=f"{HOURS[0]}:30:00Z")

    assert {hour: [one.rows, *map(said, one.columns.values())] for hour, one in found.items()} == {
        HOURS[0]: [1, 41.0, {HOURS[0]: 1}],
        HOURS[1]: [2, 50.0, {HOURS[1]: 2}],
    }


def said(column: ColumnSummary) -> object:
    return column.minimum if isinstance(column, NumberSummary) else getattr(column, "values", None)


def test_an_hour_is_broken_beside_any_of_what_the_window_was_compared_with() -> None:
    like = learned()
    dead = summarise({"temp": [41.0] * 600}, {"temp": "number"}, like=like)
    well = learned(seed=2)

    assert shown_by({"a": dead, "b": well}, [like], {}) == {"a": DEAD, "b": {}}
    constant = summarise({"temp": [41.0] * 600}, {"temp": "number"}, like=like)
    assert shown_by({"a": dead}, [constant], {}) == {"a": {}}
    assert shown_by({"a": dead}, [constant, like], {}) == {"a": DEAD}


def test_an_hour_whose_files_went_between_two_readings_says_nothing() -> None:
    gone = summarise({"temp": []}, {"temp": "number"}, like=learned())

    assert shown_by({"a": gone}, [learned()], {}) == {}


def learned(seed: int = 1) -> Summary:
    values = np.random.default_rng(seed).normal(40, 10, 2_000)
    return summarise({"temp": values}, {"temp": "number"})


def captured(row: str, at: str) -> bytes:
    sides = {
        "endpointInput": {"data": row, "encoding": "CSV", "mode": "INPUT"},
        "endpointOutput": {"data": "0.5", "encoding": "CSV", "mode": "OUTPUT"},
    }
    metadata = {"eventId": "e", "inferenceId": "X", "inferenceTime": at}
    return json.dumps({"captureData": sides, "eventMetadata": metadata}).encode() + b"\n"
