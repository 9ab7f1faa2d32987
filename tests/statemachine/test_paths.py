"""Every path of the shipped state machine, executed; the functions answer what a path needs."""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.awslambda.responses import LambdaResponse

from driftwheel.run import Run
from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.states import StateMachines

ROOT = Path(__file__).parents[2]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:driftwheel-{}"
FULL = json.loads((ROOT / "events" / "record_outcome.json").read_text(encoding="utf-8"))
SECTIONS = {
    name: FULL[name]
    for name in ("data_arrival", "preprocessing", "training_launch", "evaluation_gate", "deployment")
}
SECTIONS |= {"approval": {"outcome": "approved", "description": ""}, "record_outcome": {"status": "told"}}
INPUT = {name: value for name, value in FULL.items() if name not in SECTIONS}
SECTIONS["preprocessing_launch"] = {
    "processing_job": "driftwheel-flights-ab12",
    "processing_job_arn": "arn:aws:sagemaker:us-east-1:123456789012:processing-job/driftwheel-flights-ab12",
    "output_uri": "s3://artifacts/runs/flights/ab12/preprocessing",
    "seconds": 900,
}
WAITING = {"preprocessing_launch", "training_launch", "approval", "deployment"}
TASKS = ["data_arrival", "preprocessing", "training_launch", "evaluation_gate", "deployment"]


class Fault(Exception):
    """What a function raises, by the name Lambda reports."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Loop:
    """The shipped definition with functions that answer as told."""

    def __init__(self, machines: StateMachines) -> None:
        self.machines = machines
        self.client = boto3.client("stepfunctions")
        self.answers: dict[str, Any] = dict(SECTIONS)
        self.faults: dict[str, list[str]] = {}
        self.called: list[str] = []
        self.payloads: dict[str, Any] = {}
        self.arn = self._create()

    def _create(self) -> str:
        text = (ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8")
        names = {"Partition": "aws"}
        for name in re.findall(r"\$\{(\w+)FunctionArn\}", text):
            step = re.sub("(?<!^)(?=[A-Z])", "_", name).lower()
            names[f"{name}FunctionArn"] = ARN.format(step.replace("_", "-"))
        definition = re.sub(r"\$\{(\w+)\}", lambda match: names[match.group(1)], text)
        role = "arn:aws:iam::123456789012:role/states"
        return str(
            self.client.create_state_machine(name="loop", definition=definition, roleArn=role)[
                "stateMachineArn"
            ]
        )

    def answer(self, function: str, event: Any) -> Any:
        step = function.rpartition("driftwheel-")[2].replace("-", "_")
        self.called.append(step)
        self.payloads[step] = event
        if self.faults.get(step):
            raise Fault(self.faults[step].pop(0))
        if step not in WAITING:
            return self.answers[step]
        section = self.answers[step]
        if section is not None:
            threading.Timer(0.05, self._call_back, (event["task_token"], section)).start()
        return {}

    def _call_back(self, token: str, section: Any) -> None:
        if isinstance(section, str):
            self.client.send_task_failure(taskToken=token, error=section, cause="said so")
        else:
            self.client.send_task_success(taskToken=token, output=json.dumps(section))

    def run(self, **changes: Any) -> dict[str, Any]:
        started = self.client.start_execution(stateMachineArn=self.arn, input=json.dumps(INPUT | changes))
        deadline = time.monotonic() + 90  # a loaded machine is slow, not wrong
        while time.monotonic() < deadline:
            execution: dict[str, Any] = self.client.describe_execution(executionArn=started["executionArn"])
            if execution["status"] != "RUNNING":
                return execution
            time.sleep(0.02)
        raise AssertionError(f"still running after {self.called}")

    def states(self, execution: dict[str, Any]) -> list[str]:
        pages = self.client.get_paginator("get_execution_history").paginate(
            executionArn=execution["executionArn"]
        )
        events = [event for page in pages for event in page["events"]]
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in events
            if "stateEnteredEventDetails" in event
        ]


@pytest.fixture
def loop(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Loop:
    machines = StateMachines(
        Clock(),
        lambda _event: None,
        lambda: moto_endpoint,
        time_scale=0.0005,
        put_metric=lambda *_a, **_k: None,
    )
    patches.patch_stepfunctions(machines)
    loop = Loop(machines)

    def invoke(request: LambdaResponse) -> tuple[int, dict[str, str], str]:
        function = re.search(r"/functions/([^/]+)/invocations", request.uri.replace("%3A", ":"))
        assert function is not None
        try:
            return 200, {}, json.dumps(loop.answer(function.group(1), json.loads(request.body)))
        except Fault as fault:
            body = {"errorMessage": "said so", "errorType": fault.name, "stackTrace": []}
            return 200, {"x-amz-function-error": "Unhandled"}, json.dumps(body)

    monkeypatch.setattr(LambdaResponse, "invoke", invoke)
    return loop


def section(name: str, **changes: Any) -> dict[str, Any]:
    return SECTIONS[name] | changes


def test_a_promoted_run_passes_nine_states_and_at_most_fifteen_transitions(loop: Loop) -> None:
    execution = loop.run()

    assert execution["status"] == "SUCCEEDED"
    assert loop.called == [*TASKS, "record_outcome"]
    assert loop.states(execution) == [
        "DataArrival",
        "DataArrived",
        "Preprocessing",
        "Preprocessed",
        "TrainingLaunch",
        "EvaluationGate",
        "Evaluated",
        "Deployment",
        "RecordOutcome",
    ]


def test_what_record_outcome_is_given_is_a_whole_run(loop: Loop) -> None:
    loop.run()

    run = Run.model_validate(loop.payloads["record_outcome"])
    assert run.deployment is not None
    assert run.failure is None


def test_a_large_data_set_is_prepared_by_spark_before_it_is_published(loop: Loop) -> None:
    loop.answers["data_arrival"] = section("data_arrival", engine="spark")
    loop.faults["preprocessing_launch"] = ["CapacityExceeded", "Lambda.ServiceException"]

    execution = loop.run()

    assert execution["status"] == "SUCCEEDED"
    assert loop.called == [TASKS[0], *["preprocessing_launch"] * 3, *TASKS[1:], "record_outcome"]
    published = Run.model_validate(loop.payloads["preprocessing"])
    assert published.preprocessing_launch is not None
    assert published.preprocessing_launch.seconds == 900


def test_a_spark_job_that_fails_ends_the_run_with_its_reason(loop: Loop) -> None:
    loop.answers |= {
        "data_arrival": section("data_arrival", engine="spark"),
        "preprocessing_launch": "PreprocessingFailed",
    }

    execution = loop.run()

    assert (execution["status"], execution["error"]) == ("FAILED", "PreprocessingFailed")
    assert loop.called == ["data_arrival", "preprocessing_launch", "record_outcome"]


@pytest.mark.parametrize(
    ("changes", "called"),
    [
        ({"data_arrival": {"outcome": "refused"}}, ["data_arrival"]),
        ({"preprocessing": {"outcome": "refused"}}, ["data_arrival", "preprocessing"]),
        ({"preprocessing": {"outcome": "unchanged"}}, ["data_arrival", "preprocessing"]),
        ({"evaluation_gate": {"outcome": "reject"}}, TASKS[:4]),
        ({"evaluation_gate": {"outcome": "needs_approval"}}, [*TASKS[:4], "approval", "deployment"]),
        (
            {"evaluation_gate": {"outcome": "needs_approval"}, "approval": {"outcome": "rejected"}},
            [*TASKS[:4], "approval"],
        ),
    ],
)
def test_each_expected_outcome_goes_straight_to_record_outcome(
    loop: Loop, changes: dict[str, dict[str, Any]], called: list[str]
) -> None:
    loop.answers |= {name: section(name, **change) for name, change in changes.items()}

    execution = loop.run()

    assert execution["status"] == "SUCCEEDED"
    assert loop.called == [*called, "record_outcome"]
    Run.model_validate(loop.payloads["record_outcome"])


def test_an_approval_nobody_gives_ends_as_an_outcome_not_as_a_fault(loop: Loop) -> None:
    loop.answers |= {
        "evaluation_gate": section("evaluation_gate", outcome="needs_approval"),
        "approval": None,
    }

    execution = loop.run(limits=INPUT["limits"] | {"approval_seconds": 1})

    assert execution["status"] == "SUCCEEDED"
    assert loop.payloads["record_outcome"]["approval"]["Error"] in {
        "States.Timeout",
        "States.HeartbeatTimeout",
    }


@pytest.mark.case("SF-02")
@pytest.mark.parametrize("step", TASKS)
def test_a_fault_is_recorded_and_the_execution_fails_with_the_original_error(loop: Loop, step: str) -> None:
    loop.faults[step] = ["ArtifactInvalid"]

    execution = loop.run()

    assert (execution["status"], execution["error"]) == ("FAILED", "ArtifactInvalid")
    assert loop.called == [*TASKS[: TASKS.index(step) + 1], "record_outcome"]
    assert Run.model_validate(loop.payloads["record_outcome"]).failure is not None


@pytest.mark.case("SF-01")
@pytest.mark.parametrize("step", [*TASKS, "record_outcome"])
@pytest.mark.parametrize("error", ["Lambda.ServiceException", "Lambda.TooManyRequestsException"])
def test_a_transient_error_costs_a_retry_not_a_run(loop: Loop, step: str, error: str) -> None:
    loop.faults[step] = [error]

    assert loop.run()["status"] == "SUCCEEDED"
    assert loop.called.count(step) == 2


@pytest.mark.case("SM-03")
@pytest.mark.parametrize("step", ["training_launch", "deployment"])
def test_missing_capacity_is_waited_for(loop: Loop, step: str) -> None:
    loop.faults[step] = ["CapacityExceeded"] * 4

    assert loop.run()["status"] == "SUCCEEDED"
    assert loop.called.count(step) == 5


@pytest.mark.parametrize(
    ("step", "error"), [("training_launch", "TrainingFailed"), ("deployment", "DeploymentFailed")]
)
def test_a_callback_that_fails_ends_the_run_with_its_reason(loop: Loop, step: str, error: str) -> None:
    loop.answers[step] = error

    execution = loop.run()

    assert (execution["status"], execution["error"], execution["cause"]) == ("FAILED", error, "said so")


@pytest.mark.case("SF-06")
def test_a_failing_failure_handler_does_not_hide_the_original_error(loop: Loop) -> None:
    loop.faults = {"preprocessing": ["ArtifactInvalid"], "record_outcome": ["KeyError"]}

    execution = loop.run()

    assert (execution["status"], execution["error"]) == ("FAILED", "ArtifactInvalid")


@pytest.mark.case("SF-05")
@pytest.mark.parametrize("step", ["data_arrival", "preprocessing", "evaluation_gate"])
@pytest.mark.parametrize("answer", [{}, None, {"outcome": None}, "text"])
def test_a_section_of_the_wrong_shape_never_ends_in_states_runtime(
    loop: Loop, step: str, answer: Any
) -> None:
    loop.answers[step] = answer

    execution = loop.run()

    assert execution.get("error") != "States.Runtime"
    assert "deployment" not in loop.called
    assert loop.called[-1] == "record_outcome"


@pytest.mark.case("SF-07")
@pytest.mark.parametrize("step", ["data_arrival", "preprocessing", "evaluation_gate"])
def test_an_answer_too_large_for_a_payload_ends_the_execution_by_its_name(loop: Loop, step: str) -> None:
    """``States.ALL`` does not catch it: what the execution's end tells is left to ``job_callback``."""
    loop.answers[step] = SECTIONS[step] | {"more": "x" * 262_144}

    execution = loop.run()

    assert (execution["status"], loop.called[-1]) == ("FAILED", step)
    assert execution["error"] == "States.DataLimitExceeded"
