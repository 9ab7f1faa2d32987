"""``hours``: what is held is listed, and released by a person, once and for the record."""

from typing import Any

import pytest

from driftwheel.ledger.hours import HeldHour

from .conftest import World

CHECKED = "2026-11-29T11:05:00+00:00"


@pytest.fixture
def held(world: World) -> World:
    world.register()
    causes = {"temp": "constant", "dewp": "null_burst"}
    rows = [HeldHour("flights", f"2026-11-29T{hour:02}", CHECKED, causes, "s3://r") for hour in (8, 9, 10)]
    world.stack.ledger.hours.hold("flights", rows)
    return world


def names(world: World) -> list[str]:
    return world.stack.ledger.hours.held_names("flights")


def released(world: World) -> list[Any]:
    return [row for row in world.stack.ledger.decisions.of_model("flights") if row.outcome == "released"]


def test_held_hours_are_listed_with_what_was_broken(held: World) -> None:
    shown = held.call("hours", "flights").stdout
    told = held.json("hours", "flights")

    assert "2026-11-29T08" in shown
    assert "temp: constant; dewp: null_burst" in shown
    assert [row["hour"] for row in told["held"]] == names(held)
    assert told["released"] == []


def test_status_says_how_many_since_when_why_and_where_to_look(held: World) -> None:
    shown = held.call("status", "flights").stdout
    told = held.json("status", "flights")

    assert "3 since 2026-11-29T08 UTC (temp: constant; dewp: null_burst)" in shown
    assert "driftwheel hours flights" in shown
    assert [row["hour"] for row in told["held_hours"]] == names(held)


def test_the_command_that_the_list_names_releases_every_held_hour(held: World) -> None:
    (line,) = [line for line in held.call("hours", "flights").stdout.splitlines() if "--release" in line]

    result = held.call(*line.partition("driftwheel ")[2].split(), "--reason", "spelling declared")

    assert result.exit_code == 0, result.output
    assert "3 released: the next data set learns from them" in result.stdout
    assert names(held) == []
    assert "held hours  " not in held.call("status", "flights").stdout
    assert "--release" not in held.call("hours", "flights").stdout
    (decision,) = released(held)
    assert (decision.step, decision.numbers["hours"]) == (
        "hours",
        ["2026-11-29T08", "2026-11-29T09", "2026-11-29T10"],
    )
    assert decision.reason == (
        "a person released 3 held hours of traffic (2026-11-29T08 to 2026-11-29T10): spelling declared"
    )


def test_what_a_check_found_after_the_list_was_made_is_kept_and_named(held: World) -> None:
    (line,) = [line for line in held.call("hours", "flights").stdout.splitlines() if "--release" in line]
    later = HeldHour("flights", "2026-11-29T09", "2026-11-29T12:05:00+00:00", {"humid": "constant"}, "s3://2")
    held.stack.ledger.hours.hold("flights", [later])

    result = held.call(*line.partition("driftwheel ")[2].split())

    assert result.exit_code == 1
    assert "2 released" in result.stdout
    assert "humid: constant" in result.stdout
    assert "2026-11-29T09: more was found broken since the hours were listed" in result.stderr
    assert names(held) == ["2026-11-29T09"]
    (decision,) = released(held)
    assert decision.numbers["hours"] == ["2026-11-29T08", "2026-11-29T10"]


def test_some_hours_are_released_and_the_others_stay(held: World) -> None:
    told = held.json("hours", "flights", "--release", "2026-11-29T07", "2026-11-29T08")

    assert told["released"] == ["2026-11-29T08"]
    assert [row["hour"] for row in told["held"]] == ["2026-11-29T09", "2026-11-29T10"]
    assert names(held) == ["2026-11-29T09", "2026-11-29T10"]


def test_releasing_twice_is_once(held: World) -> None:
    held.call("hours", "flights", "--release-all")
    again = held.call("hours", "flights", "--release-all")

    assert (again.exit_code, len(released(held))) == (0, 1)
    assert "nothing to release" in again.stdout


def test_a_release_that_died_half_way_is_ended_by_the_next(held: World) -> None:
    ledger = held.stack.ledger.hours
    assert ledger.release(ledger.held("flights")[0], at=CHECKED, reason="")

    held.call("hours", "flights", "--release-all")

    assert names(held) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--release", "yesterday", "2026-11-29T08"), 1, "'yesterday' is no hour"),
        (("--release-all", "--release", "2026-11-29T08", "2026-11-29T08"), 2, "choose one of"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_released(
    held: World, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = held.call("hours", "flights", *arguments)

    assert (result.exit_code, says in result.stderr) == (code, True)
    assert len(names(held)) == 3
