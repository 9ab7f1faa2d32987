"""What is said: of each state of a run, and of each way a command can fail."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from driftwheel_cli.failures import failure_of
from driftwheel_cli.sections import sentence

from .conftest import SECTIONS, Recorder, World


@pytest.mark.parametrize(
    ("state", "section", "said"),
    [
        (
            "DataArrival",
            {"outcome": "refused", "objects": 1, "size_bytes": 9, "refused": [{}]},
            "refused: 1 files, 9 bytes, 1 set aside",
        ),
        (
            "DataArrival",
            {"outcome": "ready", "objects": 2, "size_bytes": 9, "held_hours": 3},
            "ready: 2 files, 9 bytes; 3 hours of traffic are held",
        ),
        (
            "Preprocessing",
            SECTIONS["preprocessing"],
            "ready: train 700, validation 150, holdout 150, 25.0% positive",
        ),
        ("Preprocessing", {"outcome": "unchanged", "same_as": "r0"}, "unchanged: the same rows as run r0"),
        (
            "Preprocessing",
            {"outcome": "refused", "refused": [{"key": "a.csv", "line": 2, "message": "one class"}]},
            "refused: a.csv, row 2: one class",
        ),
        ("TrainingLaunch", {"training_job": "j", "seconds": 3}, "j, 3 s"),
        ("Approval", {"outcome": "approved", "description": "looked"}, "approved: looked"),
        ("Approval", {"Error": "States.Timeout"}, "nobody decided in time"),
        (
            "Deployment",
            {"sequence": 2, "endpoint": "e", "endpoint_config": "c"},
            "champion 2 serves c at e",
        ),
        ("RecordOutcome", {"status": "promoted", "sentence": "x"}, "promoted"),
        ("Evaluated", {}, ""),
    ],
)
def test_a_state_says_what_it_left(state: str, section: Any, said: str) -> None:
    name = {
        "DataArrival": "data_arrival",
        "TrainingLaunch": "training_launch",
        "RecordOutcome": "record_outcome",
    }

    assert sentence(state, {name.get(state, state.lower()): section}) == said


def test_a_state_that_left_nothing_says_nothing() -> None:
    assert sentence("Preprocessing", {}) == sentence("Preprocessing", None) == ""


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said so"}}, "GetParameter")


@pytest.mark.case("OP-03")
@pytest.mark.parametrize(
    ("error", "local", "says"),
    [
        (NoCredentialsError(), None, "driftwheel up"),
        (client_error("ExpiredToken"), None, "no usable AWS credentials or region: ExpiredToken: said so"),
        (client_error("AccessDenied"), None, "GetParameter was refused, AccessDenied: said so"),
        (EndpointConnectionError(endpoint_url="http://x"), Path("here"), "driftwheel --local here up"),
        (EndpointConnectionError(endpoint_url="http://x"), None, "http://x"),
        (ReadTimeoutError(endpoint_url="http://x"), None, "try again"),
        (FileNotFoundError(2, "No such file", "model.yaml"), None, "model.yaml"),
    ],
)
def test_a_failure_is_a_sentence_with_a_remedy(
    error: Exception, local: Path | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = failure_of(error, local)

    assert says in found.message
    assert found.exit_code == 1


def test_names_of_another_version_are_said_not_guessed(world: World) -> None:
    value = json.dumps({"stack": "driftwheel", "queue": "q"})
    world.fakes["ssm"] = Recorder(get_parameter={"Parameter": {"Value": value}})

    result = world.call("status")

    assert result.exit_code == 1
    assert "use the command of the version that is deployed" in result.stderr


def test_an_upload_that_is_refused_is_one_line(world: World, tmp_path: Path) -> None:
    world.register()
    world.stack.client("s3").delete_bucket(Bucket="landing")
    file = tmp_path / "a.csv"
    file.touch()

    result = world.call("drop", str(file))

    assert result.exit_code == 1
    assert "NoSuchBucket" in result.stderr
    assert "Traceback" not in result.output
