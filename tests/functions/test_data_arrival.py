"""DataArrival as shipped."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from driftwheel.ledger.objects import Delivered, Objects

from .conftest import Context, World

RUN = "runs/flights/0f3c5a9be17d2468"
LONGEST_KEY_BYTES = 1_024
LONGEST_PLAIN = "n" * (LONGEST_KEY_BYTES - len("data/flights/.csv")) + ".csv"
LONGEST = "🚀" + LONGEST_PLAIN[4:]
"""Names with which a key is as long as S3 lets it be."""
AWKWARD = [
    "with space.csv",
    "a+b.csv",
    "50%2B.csv",
    "Zürich.csv",
    "e\u0301.csv",
    "🚀.csv",
    LONGEST,
    LONGEST_PLAIN,
]
Events = Callable[[str], dict[str, Any]]


def freeze(world: World, *entries: dict[str, Any]) -> None:
    """Write the frozen data set and enter its objects in the ledger, as the trigger does."""
    for entry in entries:
        Objects(world.table).deliver(Delivered(model="flights", sequencer="01", received="now", **entry))
    body = json.dumps({"objects": entries}).encode()
    world.client("s3").put_object(Bucket=world.artifacts, Key=f"{RUN}/data.json", Body=body)


def states(world: World) -> dict[str, str]:
    return {row.key: row.state for row in Objects(world.table).of_model("flights")}


def test_a_whole_data_set_is_ready(world: World, event: Events, context: Context) -> None:
    freeze(world, world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"})

    section = world.load("data_arrival").handler(event("data_arrival"), context)

    assert (section["outcome"], section["objects"], section["size_bytes"]) == ("ready", 1, 4)
    assert states(world) == {"data/flights/a.csv": "pending"}


def test_files_to_join_and_labels_count_with_their_bytes_and_make_no_data_set_alone(
    world: World, event: Events, context: Context
) -> None:
    weather = world.put(world.landing, "data/flights-weather/a.csv", b"y\n2\n") | {"role": "enrich-0"}
    told = world.put(world.landing, "labels/flights/l.csv", b"id,1\n") | {"role": "labels"}
    source = world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"}
    freeze(world, source, weather, told)
    handler = world.load("data_arrival").handler

    section = handler(event("data_arrival"), context)
    freeze(world, weather, told)
    alone = handler(event("data_arrival"), context)

    assert (section["outcome"], section["objects"], section["size_bytes"]) == ("ready", 3, 13)
    assert (alone["outcome"], alone["refused"][0]["code"]) == ("refused", "no-data")


def test_the_held_hours_of_a_data_set_are_told(world: World, event: Events, context: Context) -> None:
    source = world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"}
    freeze(world, source)
    handler = world.load("data_arrival").handler
    assert "held_hours" not in handler(event("data_arrival"), context)
    frozen = {"objects": [source], "held_hours": ["2026-01-02T08", "2026-01-02T09"]}
    world.put(world.artifacts, f"{RUN}/data.json", json.dumps(frozen).encode())

    assert handler(event("data_arrival"), context)["held_hours"] == 2


@pytest.mark.parametrize(
    ("declared", "engine"),
    [
        ({}, "duckdb"),
        ({"spark_above_gb": 8e-9}, "duckdb"),
        ({"spark_above_gb": 7e-9}, "spark"),
        ({"spark_above_gb": 7e-9, "engine": "duckdb"}, "duckdb"),
        ({"engine": "spark"}, "spark"),
    ],
)
def test_the_declared_size_of_all_data_files_decides_on_the_engine(
    world: World, event: Events, context: Context, declared: dict[str, Any], engine: str
) -> None:
    freeze(
        world,
        world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"},
        world.put(world.landing, "data/flights-weather/w.csv", b"y\n2\n") | {"role": "enrich-0"},
        world.put(world.landing, "labels/flights/l.csv", b"inference_id,label\n") | {"role": "labels"},
    )
    run = event("data_arrival")
    run["spec"]["preprocessing"] = declared

    assert world.load("data_arrival").handler(run, context)["engine"] == engine


@pytest.mark.case("DA-01")
def test_an_empty_file_is_quarantined_and_the_rest_goes_on(
    world: World, event: Events, context: Context
) -> None:
    freeze(
        world,
        world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"},
        world.put(world.landing, "data/flights/empty.csv", b"") | {"role": "source"},
    )

    section = world.load("data_arrival").handler(event("data_arrival"), context)

    assert section["outcome"] == "ready"
    assert [(r["code"], r["key"]) for r in section["refused"]] == [("empty-file", "data/flights/empty.csv")]
    assert states(world) == {"data/flights/a.csv": "pending", "data/flights/empty.csv": "quarantined"}


@pytest.mark.case("EV-08")
def test_the_frozen_version_is_read_even_when_a_newer_one_lies_over_it(
    world: World, event: Events, context: Context
) -> None:
    freeze(world, world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"})
    world.put(world.landing, "data/flights/a.csv", b"")

    assert world.load("data_arrival").handler(event("data_arrival"), context)["outcome"] == "ready"


@pytest.mark.case("EV-08")
def test_a_version_deleted_before_it_was_read_refuses_the_run_with_a_reason(
    world: World, event: Events, context: Context
) -> None:
    entry = world.put(world.landing, "data/flights/a.csv", b"x\n1\n") | {"role": "source"}
    freeze(world, entry)
    world.client("s3").delete_object(Bucket=world.landing, Key=entry["key"], VersionId=entry["version"])

    section = world.load("data_arrival").handler(event("data_arrival"), context)

    assert section["outcome"] == "refused"
    assert section["refused"][0]["code"] == "object-gone"
    assert states(world) == {"data/flights/a.csv": "ignored"}


@pytest.mark.case("EV-07")
@pytest.mark.parametrize("name", AWKWARD, ids=lambda name: name[:12])
def test_raw_keys_are_read_as_they_are_and_set_aside_whole(
    world: World, event: Events, context: Context, name: str
) -> None:
    key, bad = f"data/flights/{name}", f"data/flights/{name[:-5]}.csv"
    freeze(
        world,
        world.put(world.landing, key, b"x\n1\n") | {"role": "source"},
        world.put(world.landing, bad, b"") | {"role": "source"},
    )

    section = world.load("data_arrival").handler(event("data_arrival"), context)

    assert (section["outcome"], section["objects"]) == ("ready", 1)
    assert states(world) == {key: "pending", bad: "quarantined"}
    kept = world.client("s3").list_objects_v2(Bucket=world.artifacts, Prefix="quarantine/")["Contents"]
    assert [len(each["Key"].encode()) <= LONGEST_KEY_BYTES for each in kept] == [True]


@pytest.mark.case("EV-01")
def test_a_retry_finds_what_the_first_attempt_settled(world: World, event: Events, context: Context) -> None:
    freeze(world, world.put(world.landing, "data/flights/empty.csv", b"") | {"role": "source"})
    handler = world.load("data_arrival").handler

    assert handler(event("data_arrival"), context) == handler(event("data_arrival"), context)
    assert states(world) == {"data/flights/empty.csv": "quarantined"}
