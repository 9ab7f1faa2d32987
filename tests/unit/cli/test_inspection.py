"""What there is and what happened, as people and machines read it."""

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from driftwheel.ledger.decisions import Decision
from driftwheel.ledger.findings import Finding
from driftwheel_cli.main import cli

from .conftest import RUN, T0, T1, Recorder, World

FAR = 4_000_000_000


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])

    assert result.exit_code == 0
    assert "Example: driftwheel" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("runs", "nothing"), ("objects", "nothing"), ("status", "nothing"), ("decisions", "nothing")],
)
def test_an_unknown_model_is_answered_with_the_known_ones(world: World, arguments: tuple[str, ...]) -> None:
    world.register()

    result = world.call(*arguments)

    assert result.exit_code == 1
    assert "flights" in result.stderr
    assert result.stdout == ""


def test_without_a_model_status_says_how_to_register_one(world: World) -> None:
    assert "driftwheel register" in world.call("status").stdout
    assert world.json("status") == {"models": [], "stack_troubles": []}


def test_status_shows_champion_metrics_endpoint_pending_files_decision_and_drift(world: World) -> None:
    world.register()
    world.start_run()
    world.end_run()
    champion = world.champion()
    world.delivered()
    world.stack.ledger.decisions.record(
        Decision("flights", "2026-01-02", "x", "trigger", "wait", "quiet period", {"at": T1})
    )
    world.stack.ledger.decisions.record(
        Decision("flights", T0, "y", "evaluation_gate", "promote", "better", {})
    )
    world.stack.ledger.findings.record(Finding("flights", T1, 1, "major", "", 1200, "s3://a/r"))
    world.fakes["sagemaker"] = Recorder(
        describe_endpoint={"EndpointStatus": "InService", "EndpointConfigName": champion.endpoint_config}
    )

    told = world.json("status", "flights")
    shown = world.call("status", "flights").stdout
    listed = world.call("status").stdout

    assert told["champion"]["run_id"] == RUN
    assert told["metrics"] == {"auc": "0.7100 [0.6900, 0.7300]"}
    assert told["endpoint"]["as_wanted"] is True
    assert told["pending"] == ["data/flights/a.csv"]
    assert told["decision"]["reason"] == "quiet period"
    assert told["drift"]["of_this_champion"] is True
    assert told["in_flight"] is None
    for words in (RUN, "InService", "data/flights/a.csv", "wait: quiet period", "major", "1,200 labelled"):
        assert words in shown
    assert "InService" in listed


@pytest.mark.case("DE-12")
@pytest.mark.case("OP-03")
def test_status_sees_an_endpoint_that_serves_another_config(world: World) -> None:
    world.register()
    world.champion()
    world.fakes["sagemaker"] = Recorder(
        describe_endpoint={"EndpointStatus": "InService", "EndpointConfigName": "old"}
    )

    assert "NOT the champion's config" in world.call("status", "flights").stdout


@pytest.mark.case("DE-12")
@pytest.mark.case("OP-03")
def test_status_of_a_champion_whose_endpoint_was_deleted_says_so(world: World) -> None:
    world.register()
    world.champion()

    assert "somebody deleted it" in world.call("status", "flights").stdout


@pytest.mark.case("OP-03")
def test_status_names_the_run_in_flight_and_its_state(world: World) -> None:
    world.register()
    world.start_run()
    world.stack.ledger.leases.acquire("flights", RUN, now=0, seconds=FAR)

    flight = world.json("status", "flights")["in_flight"]

    assert flight["run_id"] == RUN
    assert flight["reason"] == "arrival: 2 new files"


def test_runs_are_listed_newest_first_and_limited(world: World) -> None:
    world.register()
    world.start_run()
    world.end_run("rejected", "0.01 worse")
    world.start_run("b" * 16, started_at=T1)

    assert [row["run_id"] for row in world.json("runs", "flights")] == ["b" * 16, RUN]
    assert [row["run_id"] for row in world.json("runs", "--limit", "1")] == ["b" * 16]
    assert "0.01 worse" in world.call("runs").stdout


@pytest.mark.case("OP-03")
@pytest.mark.parametrize("command", ["run", "runs"])
def test_one_run_shows_states_reasons_numbers_files_and_refusals(world: World, command: str) -> None:
    world.register()
    world.start_run(versions=[("data/flights/a.csv", "v-a")])
    refusal = {"code": "missing_column", "message": "no column carrier", "key": "data/flights/b.csv"}
    prepared = {"outcome": "ready", "uri": "s3://a/p", "refused": [refusal | {"column": "carrier"}]}
    document: dict[str, Any] = {
        "preprocessing": prepared,
        "evaluation_gate": {
            "outcome": "promote",
            "reasons": [{"code": "first_model", "sentence": "first"}],
            "metrics": {"metric": "auc", "challenger": {"value": 0.7, "low": None, "high": 0.8}},
        },
    }
    world.end_run(**document)

    shown = world.call(command, RUN[:8]).stdout
    told = world.json(command, RUN)

    for words in (
        "0.7000 […, 0.8000]",
        "first_model",
        "data/flights/a.csv",
        "data/flights/b.csv, column carrier: no column carrier",
        "DataArrival",
        "2 files, 4,096 bytes",
    ):
        assert words in shown
    assert told["document"]["preprocessing"] == prepared
    assert next(s["state"] for s in told["states"] if s["kind"] == "entered") == "DataArrival"
    assert told["files"][0]["key"] == "data/flights/a.csv"


def test_a_run_without_a_record_is_read_from_its_execution(world: World) -> None:
    world.register()
    world.start_run()

    document = world.json("run", RUN)["document"]

    assert document["data_arrival"]["objects"] == 2


def test_a_run_step_functions_has_forgotten_is_shown_from_its_record(world: World) -> None:
    world.register()
    arn = world.machine.replace(":stateMachine:", ":execution:") + ":flights-gone"
    world.start_run(execution_arn=arn)
    world.end_run()

    result = world.call("run", RUN)

    assert result.exit_code == 0, result.output
    assert "gain_shown" in result.stdout


def test_an_unknown_run_and_an_ambiguous_one_are_named(world: World) -> None:
    world.register()
    world.start_run("abcd1111abcd1111")
    world.start_run("abcd2222abcd2222")

    assert "no run 'ffff'" in world.call("run", "ffff").stderr
    ambiguous = world.call("run", "abcd")
    assert ambiguous.exit_code == 1
    assert "2 runs begin with 'abcd'" in ambiguous.stderr


def test_objects_say_what_became_of_every_file(world: World) -> None:
    world.register()
    world.stack.ledger.objects.settle(world.delivered(), "quarantined", "row 3: no comma", RUN)
    world.delivered("data/flights/b.csv", "v-b")

    assert [row["state"] for row in world.json("objects", "flights", "--state", "pending")] == ["pending"]
    shown = world.call("objects", "flights").stdout
    assert "row 3: no comma" in shown
    assert "2.0 KiB" in shown


def test_decisions_are_in_the_order_they_were_taken(world: World) -> None:
    world.register()
    first = Decision("flights", "2026-01-02", "wait-1", "trigger", "wait", "quiet", {"at": T0})
    for decision in (first, replace(first, at=T1, id="gate", reason="better", numbers={})):
        world.stack.ledger.decisions.record(decision)

    assert [row["reason"] for row in world.json("decisions", "flights")] == ["better", "quiet"]
    assert world.call("decisions", "flights", "--limit", "1").stdout.count("quiet") == 0


def test_a_refused_model_yaml_is_found_although_no_model_is_registered(world: World) -> None:
    world.stack.ledger.decisions.record(
        Decision("flights", T0, "spec-v1", "trigger", "spec_refused", "model.yaml: source is missing", {})
    )

    assert "source is missing" in world.call("decisions", "flights").stdout


def test_markup_and_control_characters_in_names_are_shown_not_obeyed(world: World) -> None:
    world.register()
    world.delivered("data/flights/[red]\x1b[2J.csv", "v-x")

    shown = world.call("objects", "flights").stdout

    assert "[red]\\x1b[2J.csv" in shown
    assert "\x1b" not in shown
