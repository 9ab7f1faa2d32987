"""``replay``: what is refused goes back once, and only when its end can be another."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from driftwheel.ledger.objects import Delivered, ObjectRow

from .conftest import RUN, T0, T1, World

KEY = "data/flights/bad.csv"
Messages = Callable[[], list[Any]]


def delivered(world: World, key: str = KEY, sequencer: str = "01", body: bytes = b"a,b\n1,2\n") -> Delivered:
    """Put a file into the landing bucket and enter it, as S3 and the trigger do."""
    answer = world.stack.client("s3").put_object(Bucket="landing", Key=key, Body=body)
    found = Delivered(
        model="flights",
        role="source",
        bucket="landing",
        key=key,
        version=answer["VersionId"],
        etag=answer["ETag"].strip('"'),
        size=len(body),
        sequencer=sequencer,
        received=T0,
    )
    world.stack.ledger.objects.deliver(found)
    return found


def refused(world: World, key: str = KEY, body: bytes = b"a,b\n1,2\n") -> Delivered:
    found = delivered(world, key, body=body)
    world.stack.ledger.objects.settle(found, "quarantined", "schema-break: 60 of 100 values", RUN)
    name = f"quarantine/flights/{found.version}/{key.rsplit('/', 1)[-1]}"
    world.stack.client("s3").put_object(Bucket="artifacts", Key=name, Body=body)
    return found


def run_ended(world: World, rows: list[dict[str, Any]]) -> None:
    """End a run that went by the registered model.yaml, refused the file and rejected these rows."""
    world.start_run()
    spec = world.stack.spec("flights").model_dump(mode="json", exclude_none=True)
    refusals = [{"code": "schema-break", "message": "60 of 100 values", "key": KEY}]
    world.end_run("promoted", spec=spec, preprocessing={"outcome": "ready", "refused": refusals})
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    key = f"quarantine/flights/{RUN}/rows.jsonl.gz"
    world.stack.client("s3").put_object(Bucket="artifacts", Key=key, Body=gzip.compress(lines))


def mend(world: World) -> None:
    spec = world.stack.spec("flights")
    quality = spec.quality.model_copy(update={"maximum_rejected_share": 0.77})
    mended = spec.model_copy(update={"quality": quality})
    world.stack.ledger.models.register(mended, version="v2", at=T1)


def row_of(world: World, object_: Delivered) -> ObjectRow:
    rows = world.stack.ledger.objects.of_key("flights", object_.key)
    return next(row for row in rows if row.version == object_.version)


def decisions(world: World) -> list[str]:
    return [d.reason for d in world.stack.ledger.decisions.of_model("flights") if d.step == "replay"]


ROW = {"key": KEY, "line": 7, "column": "distance", "reason": "outside range", "value": "1"}


@pytest.fixture
def stuck(world: World) -> Delivered:
    """One refused file and two rejected rows, under the model.yaml that counts."""
    world.register()
    found = refused(world)
    run_ended(world, [ROW, ROW])
    return found


def test_nothing_goes_back_while_model_yaml_is_as_it_was(
    world: World, stuck: Delivered, messages: Messages
) -> None:
    result = world.call("replay", "flights", "--all")

    assert result.exit_code == 0, result.output
    assert "nothing to do: mend model.yaml and register it first" in result.output
    assert (row_of(world, stuck).state, messages(), decisions(world)) == ("quarantined", [], [])


def test_after_mending_a_refused_file_is_pending_and_one_run_is_asked_for(
    world: World, stuck: Delivered, messages: Messages
) -> None:
    mend(world)

    result = world.call("replay", "flights", "--all")

    assert result.exit_code == 0, result.output
    assert "1 file returned, 2 rejected rows will be read again" in result.output
    row = row_of(world, stuck)
    assert (row.state, row.run_id) == ("pending", "")
    assert row.reason == "replayed, was schema-break: 60 of 100 values"
    assert messages() == [{"kind": "manual", "model": "flights"}]
    assert sorted(decisions(world)) == [
        "a person put 1 refused file through again",
        "a person put 2 rejected rows through again",
    ]


def test_replaying_twice_is_replaying_once(world: World, stuck: Delivered) -> None:
    mend(world)
    first = world.json("replay", "flights", "--all")
    said, row = decisions(world), row_of(world, stuck)

    again = world.json("replay", "flights", "--all")

    assert (first["returned"], again["returned"], again["files"]) == (1, 0, [])
    assert (decisions(world), row_of(world, stuck)) == (said, row)


def test_rows_that_a_later_run_has_read_again_are_history(world: World, stuck: Delivered) -> None:
    mend(world)
    later = "1111111111111111"
    world.start_run(later, started_at="2026-01-02T04:00:00+00:00")
    spec = world.stack.spec("flights").model_dump(mode="json", exclude_none=True)
    world.put(f"runs/flights/{later}/run.json", {"spec": spec, "preprocessing": {"outcome": "ready"}})
    world.stack.ledger.runs.end("flights", later, "promoted", "serves", T1)

    assert [found["way"] for found in world.json("replay", "flights", "--run", RUN)["rows"]] == ["later run"]


def test_a_model_yaml_that_went_back_to_what_it_was_is_not_a_mended_one(
    world: World, stuck: Delivered
) -> None:
    before = world.stack.spec("flights")
    mend(world)
    world.call("replay", "flights", "--all")
    other, at = "2222222222222222", "2026-01-02T05:00:00+00:00"
    world.start_run(other, started_at=at)
    document = {"spec": world.stack.spec("flights").model_dump(mode="json"), "preprocessing": {"refused": []}}
    world.put(f"runs/flights/{other}/run.json", document)
    world.stack.ledger.runs.end("flights", other, "promoted", "serves", at)
    world.stack.ledger.objects.settle(stuck, "quarantined", "schema-break: again", other)
    world.stack.ledger.models.register(before, version="v3", at=T1)

    found = world.json("replay", "flights", "--file", KEY)

    assert [(file["run_id"], file["way"]) for file in found["files"]] == [(other, "unchanged")]


def test_a_dry_run_and_a_bare_call_only_say_what_there_is(
    world: World, stuck: Delivered, messages: Messages
) -> None:
    mend(world)

    for arguments in (["--all", "--dry-run"], []):
        result = world.call("replay", "flights", *arguments)
        assert result.exit_code == 0, result.output
        for word in ("schema-break", "distance: outside range", KEY, "returns to pending", RUN):
            assert word in result.output
        assert "1 refused file and 2 rejected rows would go through again" in result.output

    assert (row_of(world, stuck).state, messages(), decisions(world)) == ("quarantined", [], [])


def test_a_file_that_was_delivered_again_stays_where_it_is(
    world: World, stuck: Delivered, messages: Messages
) -> None:
    mend(world)
    mended = delivered(world, sequencer="02", body=b"a,b\n3,4\n")

    world.call("replay", "flights", "--file", KEY)

    assert row_of(world, stuck).state == "quarantined"
    assert row_of(world, mended).state == "pending"


def test_a_later_delivery_during_the_replay_supersedes_the_old_version(
    world: World, stuck: Delivered
) -> None:
    seen = row_of(world, stuck)
    delivered(world, sequencer="02", body=b"a,b\n3,4\n")

    assert not world.stack.ledger.objects.reopen(seen)
    assert row_of(world, stuck).state == "superseded"


def test_a_deleted_version_is_delivered_again_from_its_quarantined_copy(
    world: World, stuck: Delivered, messages: Messages
) -> None:
    mend(world)
    s3 = world.stack.client("s3")
    s3.delete_object(Bucket="landing", Key=KEY, VersionId=stuck.version)

    first = world.json("replay", "flights", "--file", KEY)
    second = world.json("replay", "flights", "--file", KEY)

    assert [file["way"] for file in first["files"]] == ["restore"]
    assert second["files"] == []
    assert s3.get_object(Bucket="landing", Key=KEY)["Body"].read() == b"a,b\n1,2\n"
    assert row_of(world, stuck).state == "superseded"


def test_a_file_whose_bytes_are_nowhere_is_said_to_be_gone(world: World, stuck: Delivered) -> None:
    mend(world)
    s3 = world.stack.client("s3")
    s3.delete_object(Bucket="landing", Key=KEY, VersionId=stuck.version)
    s3.delete_object(Bucket="artifacts", Key=f"quarantine/flights/{stuck.version}/bad.csv")

    result = world.call("replay", "flights", "--file", KEY)

    assert "its bytes are gone, drop it again" in result.output
    assert row_of(world, stuck).state == "quarantined"


def test_a_run_at_work_is_not_disturbed(world: World, stuck: Delivered) -> None:
    mend(world)
    world.stack.ledger.leases.acquire("flights", "9999", now=4_000_000_000, seconds=900)

    result = world.call("replay", "flights", "--all")

    assert (result.exit_code, row_of(world, stuck).state) == (1, "quarantined")
    assert "run 9999 of flights is at work" in result.output
    assert decisions(world) == []


def test_a_file_nobody_delivered_and_two_choices_are_refused(world: World, stuck: Delivered) -> None:
    unknown = world.call("replay", "flights", "--file", "data/flights/none.csv")
    assert unknown.exit_code == 1
    assert "driftwheel objects flights lists them" in unknown.output

    assert world.call("replay", "flights", "--all", "--run", RUN).exit_code == 2
