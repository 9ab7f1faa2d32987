"""Every events file reaches its function on the running stack: as shipped, with its own environment."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ROOT, Loop

STEPS = sorted(path.stem for path in (ROOT / "events").glob("*.json"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A stack nobody has dropped anything into."""
    loop = Loop(tmp_path_factory.mktemp("events"))
    loop.up()
    yield loop
    loop.down()


def invoke(loop: Loop, step: str) -> tuple[str, Any]:
    text = (ROOT / "events" / f"{step}.json").read_text(encoding="utf-8")
    for name in ("landing", "artifact"):  # the stack's own buckets, as whoever uses the file would write
        text = text.replace(f"driftwheel-{name}{'s' * (name == 'artifact')}", loop.names[f"{name}_bucket"])
    answer = loop.client("lambda").invoke(
        FunctionName=f"driftwheel-{step.replace('_', '-')}", Payload=text.encode()
    )
    return answer.get("FunctionError", ""), json.load(answer["Payload"])


ANSWERS: dict[str, Any] = {
    "trigger": {"batchItemFailures": []},
    "job_callback": {"batchItemFailures": []},
    "drift_check": {},
    "sweep": {"endpoint": [], "endpoint_config": [], "model": []},
    "approval": {"asked": True},
    "training_launch": {"training_job": "driftwheel-flights-0f3c5a9be17d2468"},
}
"""What a function answers where nothing is missing; the last two leave a parked token behind."""

FAULTS = {
    "data_arrival": ("ArtifactInvalid", "data.json is missing"),
    "preprocessing_launch": ("ArtifactInvalid", "data.json is missing"),
    "preprocessing": ("ArtifactInvalid", "data.json is missing"),
    "evaluation_gate": ("ArtifactInvalid", "is missing"),
    "record_outcome": ("ArtifactInvalid", "data.json is missing"),
    "deployment": ("LeaseLost", "it is with nobody"),
}
"""What the others say: the run of the events file has left nothing in this stack."""


def test_every_step_has_an_events_file_and_every_file_an_expectation() -> None:
    assert set(STEPS) == {path.name for path in (ROOT / "functions").iterdir() if path.is_dir()}
    assert set(STEPS) == set(ANSWERS) | set(FAULTS)


@pytest.mark.parametrize("step", ANSWERS)
def test_an_events_file_is_answered(empty: Loop, step: str) -> None:
    assert invoke(empty, step) == ("", ANSWERS[step])


@pytest.mark.parametrize("step", sorted(FAULTS))
def test_an_events_file_of_a_run_that_left_nothing_here_ends_in_a_named_fault(empty: Loop, step: str) -> None:
    error, told = invoke(empty, step)

    assert error == "Unhandled", told
    assert (told["errorType"], FAULTS[step][1] in told["errorMessage"]) == (FAULTS[step][0], True), told
