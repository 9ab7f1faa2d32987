"""Preprocessing as shipped: files in the landing bucket become what a training job reads."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.objects import Delivered, Objects
from driftwheel.ledger.runs import RunRow, Runs

from .conftest import Context, World

RUN = "runs/flights/0f3c5a9be17d2468"
Events = Callable[[str], dict[str, Any]]
FLIGHTS = "time_hour,carrier,flight,origin,dest,sched_dep_time,distance,arr_delay"
WEATHER = "origin,time_hour,temp,dewp,humid,wind_dir,wind_speed,precip,pressure,visib"


def flights(days: range, delay: Callable[[int], object] = lambda n: 40 if n % 4 == 0 else 0) -> bytes:
    rows = [
        f"2013-01-{day:02d}T{hour:02d}:00Z,UA,{day * 24 + hour},EWR,ORD,{hour * 100},719,{delay(day + hour)}"
        for day in days
        for hour in range(24)
    ]
    return "\n".join([FLIGHTS, *rows, ""]).encode()


def weather() -> bytes:
    rows = [
        f"EWR,2013-01-{day:02d}T{h:02d}:00:00Z,{30 + h},20,{50 + h},0,5,0,1013,10"
        for day in range(1, 29)
        for h in range(24)
    ]
    return "\n".join([WEATHER, *rows, ""]).encode()


def freeze(world: World, files: dict[str, bytes], *, run: str = RUN, **more: Any) -> None:
    """Drop files, enter them in the ledger and freeze them, as the trigger does."""
    entries = []
    for key, body in files.items():
        role = "enrich-0" if "weather" in key else "labels" if key.startswith("labels/") else "source"
        entry = world.put(world.landing, key, body) | {"role": role}
        Objects(world.table).deliver(Delivered(model="flights", sequencer="01", received="now", **entry))
        entries.append(entry)
    frozen = {"objects": entries, "captures": [], "rollover": False} | more
    world.client("s3").put_object(
        Bucket=world.artifacts, Key=f"{run}/data.json", Body=json.dumps(frozen).encode()
    )


def files(**changes: bytes) -> dict[str, bytes]:
    return {"data/flights/a.csv": flights(range(1, 20)), "data/flights-weather/w.csv": weather()} | changes


@pytest.fixture
def prepare(world: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PREPROCESSING_MEMORY_MB", "500")

    def call(**changes: Any) -> dict[str, Any]:
        answer: dict[str, Any] = world.load("preprocessing").handler(
            event("preprocessing") | changes, context
        )
        return answer

    return call


def bytes_of(world: World, key: str) -> bytes:
    body: bytes = world.client("s3").get_object(Bucket=world.artifacts, Key=key)["Body"].read()
    return body


def states(world: World) -> dict[str, str]:
    return {row.key: row.state for row in Objects(world.table).of_model("flights")}


def test_the_training_jobs_files_are_published_and_their_manifest_describes_them(
    world: World, prepare: Any
) -> None:
    freeze(world, files())

    section = prepare()

    assert section["outcome"] == "ready"
    assert section["rows"]["train"] + section["rows"]["validation"] + section["rows"]["holdout"] == 456
    manifest = world.read(f"{RUN}/preprocessing/manifest.json")
    for name, described in manifest["files"].items():
        body = bytes_of(world, f"{RUN}/preprocessing/{name}")
        assert described == {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    holdout = bytes_of(world, section["holdout_uri"].split("/", 3)[3])
    assert hashlib.sha256(holdout).hexdigest() == section["holdout_digest"] == manifest["holdout"]["sha256"]
    with gzip.open(io.BytesIO(holdout), "rt") as lines:
        record = json.loads(next(lines))["record"]
    assert (record["origin"], record["temp"] >= 30) == ("EWR", True)


def test_a_retry_gives_the_same_files_and_keeps_its_claim(world: World, prepare: Any) -> None:
    freeze(world, files())

    first = prepare()
    before = bytes_of(world, f"{RUN}/preprocessing/manifest.json")

    assert prepare() == first
    assert bytes_of(world, f"{RUN}/preprocessing/manifest.json") == before


@pytest.mark.case("EV-05")
def test_rows_another_run_decided_on_cost_no_second_training(world: World, prepare: Any) -> None:
    freeze(world, files())
    first = prepare()
    Runs(world.table).start(
        RunRow("flights", "0f3c5a9be17d2468", "promoted", "arrival", "", "now", "", 1, ended_at="now")
    )
    other = "runs/flights/1111111111111111"
    shuffled = flights(range(1, 20)).decode().splitlines()
    body = "\n".join([shuffled[0], *shuffled[:0:-1], ""]).encode()
    freeze(world, files(**{"data/flights/a.csv": body}), run=other)

    second = prepare(run_id="1111111111111111", data_uri=f"s3://{world.artifacts}/{other}/data.json")

    assert (second["outcome"], second["same_as"]) == ("unchanged", "0f3c5a9be17d2468")
    assert second["data_digest"] == first["data_digest"]


@pytest.mark.case("DA-07")
def test_a_poisoned_file_is_set_aside_as_received_and_the_rest_is_ready(world: World, prepare: Any) -> None:
    poison = flights(range(20, 22)).decode().encode("utf-16")
    freeze(world, files(**{"data/flights/b.csv": poison}))

    section = prepare()

    assert section["outcome"] == "ready"
    [refusal] = section["refused"]
    assert (refusal["code"], refusal["key"]) == ("encoding", "data/flights/b.csv")
    assert states(world)["data/flights/b.csv"] == "quarantined"
    listed = world.client("s3").list_objects_v2(Bucket=world.artifacts, Prefix="quarantine/flights/")
    [kept] = [entry["Key"] for entry in listed["Contents"]]
    assert bytes_of(world, kept) == poison


def test_nothing_readable_refuses_the_run_before_any_job(world: World, prepare: Any) -> None:
    freeze(world, files(**{"data/flights/a.csv": FLIGHTS.encode() + b"\n"}))

    section = prepare()

    assert section["outcome"] == "refused"
    assert [refusal["code"] for refusal in section["refused"]] == ["header-only", "no-data"]
    listed = world.client("s3").list_objects_v2(Bucket=world.artifacts, Prefix=f"{RUN}/preprocessing/")
    assert "Contents" not in listed


def champion(world: World, event: Events, section: dict[str, Any]) -> dict[str, Any]:
    del world
    return (event("evaluation_gate").get("champion") or {}) | {
        "sequence": 1,
        "run_id": "0f3c5a9be17d2468",
        "model_data_url": section["uri"],
        "endpoint_config": "c",
        "model_package_arn": "arn",
    }


def test_a_challenger_is_judged_on_the_champions_rows(world: World, prepare: Any, event: Events) -> None:
    freeze(world, files())
    first = prepare()
    other = "runs/flights/1111111111111111"
    freeze(world, files(**{"data/flights/b.csv": flights(range(20, 28))}), run=other)
    arguments = {"run_id": "1111111111111111", "data_uri": f"s3://{world.artifacts}/{other}/data.json"}

    second = prepare(**arguments, champion=champion(world, event, first))

    assert second["holdout_uri"] == first["holdout_uri"]
    assert second["rolled_over"] is False
    assert second["rows"]["train"] > first["rows"]["train"]


def test_a_new_holdout_leaves_out_the_rows_the_champion_was_trained_on(
    world: World, prepare: Any, event: Events
) -> None:
    def parted(holdout: float) -> dict[str, Any]:
        spec = event("preprocessing")["spec"] | {"evaluation": {"minimum_rows": 20}}
        return {"spec": spec | {"split": {"by": "key", "holdout": holdout}}}

    freeze(world, files())
    first = prepare(**parted(0.1))
    other = "runs/flights/1111111111111111"
    freeze(world, files(**{"data/flights/b.csv": flights(range(20, 28))}), run=other, rollover=True)
    arguments = {"run_id": "1111111111111111", "data_uri": f"s3://{world.artifacts}/{other}/data.json"}

    second = prepare(**arguments, **parted(0.4), champion=champion(world, event, first))

    assert second["rolled_over"] is True
    holdout = gzip.decompress(bytes_of(world, second["holdout_uri"].split("/", 3)[3]))
    judges = {json.loads(line)["key"] for line in holdout.splitlines()}
    tables = [
        io.BytesIO(bytes_of(world, f"{RUN}/preprocessing/{n}.parquet")) for n in ("train", "validation")
    ]
    taught = {key for table in tables for key in pq.read_table(table, columns=["__key"])["__key"].to_pylist()}
    assert not judges & taught
    assert len(taught) == first["rows"]["train"] + first["rows"]["validation"]


@pytest.mark.case("DA-23")
def test_a_file_that_jumped_away_from_the_champions_data_is_named_for_the_gate(
    world: World, prepare: Any, event: Events
) -> None:
    freeze(world, files())
    first = prepare()
    other = "runs/flights/1111111111111111"
    swapped = flights(range(20, 31), lambda n: 0 if n % 25 == 0 else 40)
    freeze(world, files(**{"data/flights/b.csv": swapped}), run=other)
    arguments = {"run_id": "1111111111111111", "data_uri": f"s3://{world.artifacts}/{other}/data.json"}

    second = prepare(**arguments, champion=champion(world, event, first))

    assert second["outcome"] == "ready"
    assert second["suspected_shift"] == ["data/flights/b.csv: 96% of its labels are positive, 25% before"]


def test_a_champions_holdout_that_changed_stops_the_run(world: World, prepare: Any, event: Events) -> None:
    freeze(world, files())
    first = prepare()
    key = first["holdout_uri"].split("/", 3)[3]
    world.client("s3").put_object(Bucket=world.artifacts, Key=key, Body=gzip.compress(b"{}"))

    with pytest.raises(ArtifactInvalid, match="is not the holdout recorded by run"):
        prepare(champion=champion(world, event, first))


def test_rejected_rows_are_kept_beside_the_run(world: World, prepare: Any) -> None:
    body = flights(range(1, 20)) + b"nonsense,UA,1,EWR,ORD,0,719,0\n"
    freeze(world, files(**{"data/flights/a.csv": body}))

    assert prepare()["rows"]["rejected"] == 1

    kept = gzip.decompress(bytes_of(world, "quarantine/flights/0f3c5a9be17d2468/rows.jsonl.gz"))
    assert json.loads(kept) == {
        "key": "data/flights/a.csv",
        "line": 458,
        "column": "time_hour",
        "reason": "bad literal",
        "value": "nonsense",
    }


@pytest.mark.case("EV-08")
def test_a_version_deleted_between_arrival_and_preparation_is_named(world: World, prepare: Any) -> None:
    freeze(world, files())
    (row,) = [row for row in Objects(world.table).of_model("flights") if row.key == "data/flights/a.csv"]
    world.client("s3").delete_object(Bucket=world.landing, Key=row.key, VersionId=row.version)

    section = prepare()

    assert section["outcome"] == "refused"
    assert "object-gone" in [each["code"] for each in section["refused"]]
