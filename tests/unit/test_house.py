"""The house's own rules: one word per step, arrows that point one way, a state machine that cannot hang."""

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftwheel import errors
from driftwheel.errors import SpecInvalid
from driftwheel.run import Run, payload

ROOT = Path(__file__).parents[2]
STEPS = sorted(path.stem for path in (ROOT / "events").glob("*.json"))
DEFINITION = json.loads((ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8"))
TASKS = {name: state for name, state in DEFINITION["States"].items() if state["Type"] == "Task"}

BEATING = {"PreprocessingLaunch", "TrainingLaunch", "Deployment"}
"""States that wait for what the reconciler looks after: it sends their heartbeats."""


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags as their plain values."""


Loader.add_multi_constructor("!", lambda loader, _, node: getattr(loader, f"construct_{node.id}")(node))
TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader)
RESOURCES = TEMPLATE["Resources"]


def camel(step: str) -> str:
    return "".join(word.title() for word in step.split("_"))


def test_the_flights_model_is_asked_alike_wherever_a_request_is_shown() -> None:
    """The README's is sent to the demo's champion by tests/loop/test_demo.py."""
    shown = re.compile(r"""['"](\{"time_hour".*?\})['"]""", re.DOTALL)
    places = ("README.md", "cli/driftwheel_cli/traffic.py", "sam/aws_check.py")

    requests = {place: shown.findall((ROOT / place).read_text(encoding="utf-8")) for place in places}

    assert all(requests.values()), requests
    assert len({json.dumps(json.loads(one)) for found in requests.values() for one in found}) == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_one_word_in_the_template(step: str) -> None:
    function = RESOURCES[f"{camel(step)}Function"]["Properties"]

    assert function["CodeUri"] == f"functions/{step}/"
    assert function["FunctionName"] == f"${{AWS::StackName}}-{step.replace('_', '-')}"


def test_every_function_of_the_template_has_its_event() -> None:
    functions = {
        name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"
    }
    assert functions == {f"{camel(step)}Function" for step in STEPS}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_state_is_named_after_its_function_and_its_section(name: str) -> None:
    state = TASKS[name]
    target = state.get("Parameters", {}).get("FunctionName", state["Resource"])
    step = "RecordOutcome" if name == "RecordFailure" else name

    assert target == f"${{{step}FunctionArn}}"
    assert state["ResultPath"] == f"$.{re.sub('(?<!^)(?=[A-Z])', '_', step).lower()}"
    assert state["ResultPath"].removeprefix("$.") in Run.model_fields


TRANSIENT = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}


def unsound(name: str, state: dict[str, Any]) -> Iterator[str]:
    """Say what a Task state lacks."""
    if "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
        yield "no timeout"
    if name in BEATING and "HeartbeatSeconds" not in state:
        yield "no heartbeat"
    if not any(set(retry["ErrorEquals"]) >= TRANSIENT for retry in state.get("Retry", [])):
        yield "no retry of a transient error"
    for retry in state.get("Retry", []):
        if retry.get("BackoffRate", 1) <= 1 or not retry.get("MaxDelaySeconds"):
            yield "a retry without backoff or its bound"
        if retry.get("JitterStrategy") != "FULL":
            yield "a retry without jitter"
    last = state.get("Catch", [{}])[-1]
    if last.get("ErrorEquals") != ["States.ALL"]:
        yield "not every error is caught"
    if last.get("Next") != ("RunFailed" if name == "RecordFailure" else "RecordFailure"):
        yield "a fault is caught by another state than the one that records it"


@pytest.mark.case("SF-03")
@pytest.mark.parametrize("name", TASKS)
def test_a_task_state_is_bounded_retries_transient_errors_and_catches_the_rest(name: str) -> None:
    assert [*unsound(name, TASKS[name])] == []


@pytest.mark.case("SF-03")
@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"TimeoutSecondsPath": None}, "no timeout"),
        ({"HeartbeatSeconds": None}, "no heartbeat"),
        ({"Retry": None}, "no retry of a transient error"),
        ({"Retry.ErrorEquals": sorted(TRANSIENT)[1:]}, "no retry of a transient error"),
        ({"Retry.BackoffRate": 1.0}, "a retry without backoff or its bound"),
        ({"Retry.MaxDelaySeconds": None}, "a retry without backoff or its bound"),
        ({"Retry.JitterStrategy": "NONE"}, "a retry without jitter"),
        ({"Catch.ErrorEquals": ["States.Timeout"]}, "not every error is caught"),
        ({"Catch.Next": "RunFailed"}, "a fault is caught by another state than the one that records it"),
    ],
    ids=str,
)
def test_a_state_machine_that_breaks_a_rule_is_found_out(change: dict[str, Any], lacks: str) -> None:
    broken = copy.deepcopy(TASKS["TrainingLaunch"])
    for path, value in change.items():
        part, _, member = path.partition(".")
        for place in broken[part] if member else [broken]:
            place.pop(member or part)
            place.update({member or part: value} if value is not None else {})

    assert lacks in {*unsound("TrainingLaunch", broken)}


@pytest.mark.case("SF-03")
def test_a_state_that_waits_for_a_job_or_an_endpoint_fails_when_nobody_looks_after_it() -> None:
    waiting = {name for name, state in TASKS.items() if "waitForTaskToken" in state["Resource"]}

    assert waiting - BEATING == {"Approval"}  # a person sends no heartbeat; approval_seconds bounds it
    assert waiting >= BEATING


def test_every_error_the_state_machine_names_is_one_we_raise() -> None:
    named = {
        error
        for state in TASKS.values()
        for rule in (*state["Retry"], *state["Catch"])
        for error in rule["ErrorEquals"]
    }
    ours = {error for error in named if not error.startswith(("States.", "Lambda.", "Sandbox.", "Runtime."))}

    assert ours
    assert all(issubclass(getattr(errors, name), errors.DriftwheelError) for name in ours)


def test_every_placeholder_of_the_state_machine_is_substituted_and_no_other() -> None:
    placeholders = set(re.findall(r"\$\{(\w+)\}", json.dumps(DEFINITION)))
    assert placeholders == set(RESOURCES["ModelLoop"]["Properties"]["DefinitionSubstitutions"])


def test_every_next_state_exists_and_every_state_is_reached() -> None:
    named = set(re.findall(r'"(?:Next|Default|StartAt)": "(\w+)"', json.dumps(DEFINITION)))
    assert named == set(DEFINITION["States"])


@pytest.mark.case("OR-18")
@pytest.mark.parametrize("name", [name for name in TASKS if "TimeoutSeconds" in TASKS[name]])
def test_a_function_gives_up_before_its_state_does(name: str) -> None:
    step = "RecordOutcome" if name == "RecordFailure" else name
    timeout = RESOURCES[f"{step}Function"]["Properties"].get(
        "Timeout", TEMPLATE["Globals"]["Function"]["Timeout"]
    )

    assert timeout < TASKS[name]["TimeoutSeconds"]


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }


EDGE = ("aws", "ledger", "steps")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "src" / "driftwheel").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_arrows_point_one_way(path: Path) -> None:
    room = path.relative_to(ROOT / "src" / "driftwheel").parts[0]
    found = imports(path)

    assert not any(name.startswith(("driftwheel_local", "driftwheel_cli", "moto")) for name in found)
    if room not in EDGE:
        assert not any(name.startswith(("boto3", "botocore")) for name in found)
    if room != "jobs":
        heavy = ("xgboost", "pandas", "scipy", "pyspark")
        assert not any(name.split(".")[0] in heavy for name in found)


@pytest.mark.parametrize("folder", ["src", "functions"])
def test_deployed_code_does_not_know_where_it_runs(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert not re.search(
            r"is_local|local_mode|AWS_SAM_LOCAL|127\.0\.0\.1|localhost", path.read_text(encoding="utf-8")
        ), path


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda p: p.parent.name)
def test_a_handler_is_at_most_25_lines(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 25


@pytest.mark.case("SF-07")
def test_a_run_too_large_for_step_functions_is_refused_before_the_call() -> None:
    run = Run.model_validate_json((ROOT / "events" / "data_arrival.json").read_text(encoding="utf-8"))
    assert len(payload(run)) < 20_000
    started = run.started.model_copy(update={"reason": "x" * 200_000})

    with pytest.raises(SpecInvalid, match="the limit is 190000"):
        payload(run.model_copy(update={"started": started}))


@pytest.mark.parametrize("step", ["preprocessing_launch", "training_launch", "approval", "deployment"])
def test_a_waiting_steps_event_holds_a_run_and_a_token(step: str) -> None:
    event = json.loads((ROOT / "events" / f"{step}.json").read_text(encoding="utf-8"))

    assert Run.model_validate(event["run"]).spec.model == "flights"
    assert event["task_token"]
