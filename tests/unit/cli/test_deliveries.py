"""Files go to the landing bucket, and what becomes of them decides the exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from driftwheel.ledger.decisions import Decision
from driftwheel.ledger.objects import Delivered
from driftwheel_cli import arrivals, deliveries, following
from driftwheel_cli.main import cli

from .conftest import MODEL_YAML, RUN, T0, T1, World


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (arrivals, deliveries, following):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    file = tmp_path / "a.csv"
    file.write_text("carrier,origin\nUA,EWR\n")
    return file


def landed(world: World) -> list[str]:
    found = world.stack.client("s3").list_objects_v2(Bucket="landing").get("Contents", [])
    return [entry["Key"] for entry in found]


def version_of(world: World, key: str) -> str:
    return str(world.stack.client("s3").head_object(Bucket="landing", Key=key)["VersionId"])


def after_upload(world: World, monkeypatch: pytest.MonkeyPatch, then: Callable[[str, str], None]) -> None:
    """Let ``then(key, version)`` play the trigger."""
    upload = deliveries._upload

    def uploaded(stack: Any, file: Path, key: str) -> str:
        version = upload(stack, file, key)
        then(key, version)
        return version

    monkeypatch.setattr(deliveries, "_upload", uploaded)


def enter(world: World, key: str, version: str) -> Delivered:
    found = Delivered("flights", "source", "landing", key, version, version, 20, "01", T0)
    world.stack.ledger.objects.deliver(found)
    return found


def test_a_model_is_registered_when_the_trigger_has_taken_its_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(_key: str, version: str) -> None:
        spec = deliveries.read_model(MODEL_YAML.read_bytes())
        world.stack.ledger.models.register(spec, version=version, at=T0)

    after_upload(world, monkeypatch, take)

    result = world.call("register", str(MODEL_YAML))

    assert result.exit_code == 0, result.output
    assert "data/flights-weather/ (enrich-0)" in result.stdout
    assert landed(world) == ["models/flights/model.yaml"]


def test_a_wrong_model_yaml_is_refused_here_and_never_uploaded(world: World, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(MODEL_YAML.read_text().replace("metric: auc", "metrik: auc"))

    result = world.call("register", str(file))

    assert result.exit_code == 1
    assert "evaluation.metrik" in result.stderr
    assert landed(world) == []


@pytest.mark.parametrize("expression", ["distance * rsh", "distance *+*", "sleep(distance)"])
@pytest.mark.parametrize("command", ["register", "doctor"])
def test_a_broken_expression_is_refused_before_any_account_is_asked(
    tmp_path: Path, command: str, expression: str
) -> None:
    file = tmp_path / "model.yaml"
    text = MODEL_YAML.read_text().replace("features:\n", f"features:\n  load: {expression}\n")
    file.write_text(text)

    result = CliRunner().invoke(cli, ["--local", str(tmp_path / "no-stack"), command, str(file)])

    assert result.exit_code == 1
    assert f"{file}: features.load: " in result.stderr


def test_a_model_yaml_the_deployed_stack_refuses_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str, version: str) -> None:
        decision = Decision("flights", T0, f"spec-{version}", "trigger", "spec_refused", "unknown field", {})
        world.stack.ledger.decisions.record(decision)

    after_upload(world, monkeypatch, refuse)

    result = world.call("register", str(MODEL_YAML))

    assert result.exit_code == 1
    assert "refuses it: unknown field" in result.stderr


def test_a_trigger_that_sleeps_is_waited_for_only_so_long(world: World) -> None:
    result = world.call("register", str(MODEL_YAML), "--timeout", "0")

    assert result.exit_code == 1
    assert "the trigger has not taken it" in result.stderr


def test_a_file_is_dropped_under_the_only_models_prefix_and_its_version_printed(
    world: World, csv_file: Path
) -> None:
    world.register()

    (told,) = world.json("drop", str(csv_file))

    assert told["key"] == "data/flights/a.csv"
    assert told["version"] == version_of(world, "data/flights/a.csv")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["--model", "flights", "--role", "enrich-0"], "data/flights-weather/a.csv"),
        (["--prefix", "data/other"], "data/other/a.csv"),
    ],
)
def test_role_and_prefix_choose_the_folder(
    world: World, csv_file: Path, arguments: list[str], key: str
) -> None:
    world.register()

    assert world.call("drop", str(csv_file), *arguments).exit_code == 0
    assert landed(world) == [key]


def test_a_large_file_is_uploaded_in_parts(world: World, tmp_path: Path) -> None:
    world.register()
    file = tmp_path / "large.csv"
    file.write_bytes(b"x" * (9 << 20))

    assert world.call("drop", str(file)).exit_code == 0

    etag = world.stack.client("s3").head_object(Bucket="landing", Key="data/flights/large.csv")["ETag"]
    assert etag.strip('"').endswith("-2")


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--prefix", "data/x/", "--model", "flights"], "--prefix says it all", 2),
        (["--prefix", "models/x/"], "must begin with data/", 2),
        (["--role", "enrich-7"], "source, enrich-0", 2),
        (["--model", "nobody"], "no model 'nobody'", 1),
        (["--prefix", "data/unwatched/", "--wait"], "no registered model watches", 1),
    ],
)
def test_a_drop_that_cannot_be_meant_is_refused_before_anything_is_uploaded(
    world: World, csv_file: Path, arguments: list[str], says: str, code: int
) -> None:
    world.register()

    result = world.call("drop", str(csv_file), *arguments)

    assert result.exit_code == code
    assert says in result.stderr
    assert landed(world) == []


def test_a_half_written_file_and_two_of_one_name_are_refused(
    world: World, csv_file: Path, tmp_path: Path
) -> None:
    world.register()
    half, twin = tmp_path / "b.csv.tmp", tmp_path / "deep" / "a.csv"
    twin.parent.mkdir()
    for file in (half, twin):
        file.touch()

    assert "half-written" in world.call("drop", str(half)).stderr
    assert world.call("drop", str(csv_file), str(twin)).exit_code == 2


def test_without_any_model_drop_says_how_to_register_one(world: World, csv_file: Path) -> None:
    result = world.call("drop", str(csv_file))

    assert result.exit_code == 1
    assert "driftwheel register" in result.stderr


def test_waiting_follows_the_run_and_ends_well_when_the_file_was_used(
    world: World, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()

    def run(key: str, version: str) -> None:
        found = enter(world, key, version)
        world.start_run(versions=[(key, version)])
        world.stack.ledger.objects.settle(found, "used", "champion 1 serves", RUN)
        world.end_run()

    after_upload(world, monkeypatch, run)

    result = world.call("drop", str(csv_file), "--wait", "--json")

    assert result.exit_code == 0, result.output
    (fate,) = json.loads(result.stdout)
    assert (fate["state"], fate["run_status"], fate["bad"]) == ("used", "promoted", False)
    assert f"run {RUN} of flights" in result.stderr
    assert "EvaluationGate" in result.stderr


def test_a_duplicate_is_a_good_end_without_a_run(
    world: World, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    after_upload(
        world,
        monkeypatch,
        lambda key, version: _settle(world, enter(world, key, version), "duplicate", "unchanged: same bytes"),
    )

    result = world.call("drop", str(csv_file), "--wait")

    assert result.exit_code == 0, result.output
    assert "same bytes" in result.stdout


def _settle(world: World, found: Delivered, state: Any, reason: str) -> None:
    world.stack.ledger.objects.settle(found, state, reason)


@pytest.mark.parametrize(
    ("status", "state"),
    [("refused", "quarantined"), ("refused", "pending"), ("rejected", "used"), ("failed", "pending")],
)
def test_a_bad_end_is_exit_code_1_with_file_column_row_and_remedy(
    world: World, csv_file: Path, monkeypatch: pytest.MonkeyPatch, status: str, state: str
) -> None:
    world.register()
    refusal = {
        "code": "missing_column",
        "message": "there is no column carrier",
        "key": "data/flights/a.csv",
        "column": "carrier",
        "line": 1,
        "hint": "add it, or remove it from model.yaml",
    }

    def run(key: str, version: str) -> None:
        found = enter(world, key, version)
        world.start_run(versions=[(key, version)])
        if state != "pending":
            _settle(world, found, state, "there is no column carrier")
        refused = [refusal] if status == "refused" else []
        world.end_run(status, "0.02 worse", preprocessing={"outcome": "refused", "refused": refused})

    after_upload(world, monkeypatch, run)

    result = world.call("drop", str(csv_file), "--wait", "--json")

    assert result.exit_code == 1
    (fate,) = json.loads(result.stdout)
    assert fate["bad"] is True
    assert fate["run_status"] == status
    if status == "refused":
        assert (
            "data/flights/a.csv, column carrier, row 1: there is no column carrier; add it" in fate["reason"]
        )
    else:
        assert fate["reason"] == "0.02 worse"


def test_waiting_ends_with_what_it_waits_for(world: World, csv_file: Path) -> None:
    world.register()
    decision = Decision("flights", "2026-01-02", "x", "trigger", "refuse", "12 runs today", {"at": T1})
    world.stack.ledger.decisions.record(decision)

    result = world.call("drop", str(csv_file), "--wait", "--timeout", "1")

    assert result.exit_code == 1
    assert "12 runs today" in result.stderr


def test_labels_are_checked_here_and_delivered(world: World, tmp_path: Path) -> None:
    world.register()
    file = tmp_path / "june.csv"
    file.write_text("inference_id,label\na,1\nb,false\n")

    told = world.json("label", "flights", str(file))

    assert told["labels"] == 2
    assert landed(world) == ["labels/flights/june.csv"]


def test_ground_truth_jsonl_is_taken(world: World, tmp_path: Path) -> None:
    world.register()
    file = tmp_path / "june.jsonl"
    record = {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "a"}}
    file.write_text(json.dumps(record | {"eventVersion": "0"}) + "\n")

    assert "1 labels delivered" in world.call("label", "flights", str(file)).stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,label\na,1\n", "the header must name inference_id and label"),
        ("inference_id,label\na,late\n", "line 2: a label that is no number"),
        ("inference_id,label\n", "holds no label"),
    ],
)
def test_labels_that_cannot_be_read_are_named_by_line_and_not_uploaded(
    world: World, tmp_path: Path, text: str, says: str
) -> None:
    world.register()
    file = tmp_path / "june.csv"
    file.write_text(text)

    result = world.call("label", "flights", str(file))

    assert result.exit_code == 1
    assert says in result.stderr
    assert landed(world) == []
