import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import AWSError

from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.states import StateMachines

ROLE = "arn:aws:iam::123456789012:role/states"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:launch"
PASS = {"Type": "Pass", "End": True}
CALLBACK = "arn:aws:states:::lambda:invoke.waitForTaskToken"


class PreprocessingError(Exception):
    """A fault a Lambda names in ErrorEquals."""


@dataclass
class World:
    machines: StateMachines
    states: Any
    clock: Clock
    events: list[dict[str, Any]]
    metrics: list[tuple[str, float, dict[str, str]]]
    handler: Callable[[dict[str, Any]], Any] = lambda event: event
    payloads: list[dict[str, Any]] = field(default_factory=list)

    def machine(self, states: dict[str, Any] | None = None, name: str = "loop", **top: Any) -> str:
        definition = {"StartAt": next(iter(states)), "States": states, **top} if states else top
        made = self.states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        return made["stateMachineArn"]

    def run(self, states: dict[str, Any] | None = None, given: Any = None, **top: Any) -> dict[str, Any]:
        arn = self.machine(states, **top)
        started = self.states.start_execution(stateMachineArn=arn, input=json.dumps(given or {}))
        return self.wait(started["executionArn"])

    def wait(self, arn: str) -> dict[str, Any]:
        return until(lambda: closed(self.states.describe_execution(executionArn=arn)))

    def token(self, count: int = 1) -> str:
        return until(lambda: self.payloads[count - 1]["token"] if len(self.payloads) >= count else None)

    def history(self, arn: str) -> list[dict[str, Any]]:
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]


def closed(execution: dict[str, Any]) -> dict[str, Any] | None:
    return None if execution["status"] == "RUNNING" else execution


def until(find: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture
def world(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> World:
    clock, events, metrics = Clock(), [], []
    machines = StateMachines(
        clock,
        events.append,
        lambda: moto_endpoint,
        time_scale=0.001,
        put_metric=lambda _space, name, value, _unit, where: metrics.append((name, value, dict(where))),
    )
    patches.patch_stepfunctions(machines)
    here = World(machines, boto3.client("stepfunctions"), clock, events, metrics)

    def invoke(request: LambdaResponse) -> tuple[int, dict[str, str], str]:
        event = json.loads(request.body)
        here.payloads.append(event)
        try:
            return 200, {}, json.dumps(here.handler(event))
        except ClientError as refused:
            raise AWSError("slow down", refused.response["Error"]["Code"], 429) from refused
        except PreprocessingError as fault:
            answer = {"errorMessage": str(fault), "errorType": type(fault).__name__, "stackTrace": []}
            return 200, {"x-amz-function-error": "Unhandled"}, json.dumps(answer)

    monkeypatch.setattr(LambdaResponse, "invoke", invoke)
    return here


def task(resource: str = FUNCTION, **fields: Any) -> dict[str, Any]:
    step = {} if "Next" in fields else {"End": True}
    return {"Type": "Task", "Resource": resource, "TimeoutSeconds": 60, **step, **fields}


def callback(**fields: Any) -> dict[str, Any]:
    payload = {"token.$": "$$.Task.Token", "name.$": "$$.Execution.Name", "start.$": "$$.Execution.StartTime"}
    parameters = {"FunctionName": FUNCTION, "Payload": payload}
    return task(CALLBACK, **({"Parameters": parameters} | fields))


def caught_by(error: str, **fields: Any) -> dict[str, Any]:
    return {
        "Step": fields.pop("step")
        | {"Catch": [{"ErrorEquals": [error], "ResultPath": "$.fault", "Next": "Caught"}]},
        "Caught": {"Type": "Pass", "End": True},
    }


def outcome(execution: dict[str, Any]) -> Any:
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    return json.loads(execution["output"])


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def test_a_lambda_arn_as_resource_returns_the_bare_payload(world: World):
    world.handler = lambda event: {"rows": event["rows"] + 1}

    execution = world.run({"Step": task(ResultPath="$.section")}, {"rows": 1})

    assert outcome(execution) == {"rows": 1, "section": {"rows": 2}}


def test_a_string_output_is_described_as_the_json_text_it_is(world: World):
    execution = world.run({"Step": {"Type": "Pass", "Result": "naïve", "End": True}})

    assert execution["output"] == '"naïve"'
    assert execution["input"] == "{}"


def test_a_custom_exception_of_a_lambda_is_caught_by_its_class_name(world: World):
    def fail(_event: dict[str, Any]) -> None:
        raise PreprocessingError("column temp is text in row 7")

    world.handler = fail
    execution = world.run(caught_by("PreprocessingError", step=task()), {"run": 1})

    fault = outcome(execution)["fault"]
    assert fault["Error"] == "PreprocessingError"
    assert json.loads(fault["Cause"])["errorMessage"] == "column temp is text in row 7"


def test_a_throttled_lambda_is_retried_with_scaled_back_off(world: World):
    def throttle(event: dict[str, Any]) -> dict[str, Any]:
        if len(world.payloads) < 4:
            raise ClientError(
                {"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "Invoke"
            )
        return event

    world.handler = throttle
    retry = {
        "ErrorEquals": ["Lambda.TooManyRequestsException"],
        "IntervalSeconds": 30,
        "BackoffRate": 2,
        "MaxAttempts": 3,
        "MaxDelaySeconds": 60,
        "JitterStrategy": "FULL",
    }
    began = time.monotonic()
    execution = world.run({"Step": task(Retry=[retry])})

    assert execution["status"] == "SUCCEEDED"
    assert len(world.payloads) == 4
    assert time.monotonic() - began < 5


def test_a_task_token_resumes_the_task_with_what_was_sent(world: World):
    arn = world.machine({"Step": callback(ResultPath="$.job")})
    started = world.states.start_execution(stateMachineArn=arn, name="run-1", input='{"model":"flights"}')
    token = world.token()

    world.states.send_task_success(taskToken=token, output='{"status":"Completed"}')

    assert outcome(world.wait(started["executionArn"])) == {
        "model": "flights",
        "job": {"status": "Completed"},
    }
    assert world.payloads[0]["name"] == "run-1"
    assert world.payloads[0]["start"].endswith("Z")


def test_a_token_sent_before_the_launcher_returns_is_not_lost(world: World):
    def launch(event: dict[str, Any]) -> dict[str, Any]:
        world.states.send_task_heartbeat(taskToken=event["token"])
        world.states.send_task_success(taskToken=event["token"], output='"early"')
        return {}

    world.handler = launch
    execution = world.run({"Step": callback(HeartbeatSeconds=30)})

    assert outcome(execution) == "early"


def test_send_task_failure_keeps_error_and_cause(world: World):
    arn = world.machine(caught_by("TrainingFailed", step=callback()))
    started = world.states.start_execution(stateMachineArn=arn)

    world.states.send_task_failure(
        taskToken=world.token(), error="TrainingFailed", cause="AlgorithmError: NaN"
    )

    fault = outcome(world.wait(started["executionArn"]))["fault"]
    assert fault == {"Error": "TrainingFailed", "Cause": "AlgorithmError: NaN"}


def test_a_retried_callback_task_gets_a_new_token(world: World):
    arn = world.machine({"Step": callback(Retry=[{"ErrorEquals": ["Spot"], "MaxAttempts": 1}])})
    started = world.states.start_execution(stateMachineArn=arn)
    first = world.token()
    world.states.send_task_failure(taskToken=first, error="Spot")
    second = world.token(2)

    world.states.send_task_success(taskToken=second, output="1")

    assert first != second
    assert outcome(world.wait(started["executionArn"])) == 1


def test_a_token_answers_once_and_strange_tokens_are_told_apart(world: World):
    arn = world.machine({"Step": callback()})
    started = world.states.start_execution(stateMachineArn=arn)
    token = world.token()
    send = world.states.send_task_success
    assert refused(lambda: send(taskToken=token, output="not json")) == "InvalidOutput"
    send(taskToken=token, output="{}")
    world.wait(started["executionArn"])
    stranger = world.machines.tokens.issue("arn:aws:states:us-east-1:123456789012:execution:loop:unknown")
    world.machines.tokens.retire(stranger)

    assert refused(lambda: send(taskToken=token, output="{}")) == "TaskTimedOut"
    assert refused(lambda: send(taskToken=stranger, output="{}")) == "TaskDoesNotExist"
    assert refused(lambda: send(taskToken="AAAA", output="{}")) == "InvalidToken"
    assert refused(lambda: world.states.send_task_heartbeat(taskToken=token)) == "TaskTimedOut"
    assert refused(lambda: world.states.send_task_failure(taskToken=token, error="x")) == "TaskTimedOut"


def test_a_task_that_outlives_its_timeout_on_the_clock_fails_with_states_timeout(world: World):
    arn = world.machine(caught_by("States.Timeout", step=callback(TimeoutSeconds=86_400)))
    started = world.states.start_execution(stateMachineArn=arn)
    token = world.token()

    world.clock.advance(86_401)

    assert outcome(world.wait(started["executionArn"]))["fault"]["Error"] == "States.Timeout"
    assert refused(lambda: world.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"


def test_timeout_and_heartbeat_may_come_from_the_input(world: World):
    step = callback(TimeoutSecondsPath="$.limit", HeartbeatSecondsPath="$.beat")
    del step["TimeoutSeconds"]
    arn = world.machine(caught_by("States.HeartbeatTimeout", step=step))
    given = json.dumps({"limit": 7200, "beat": 3600})
    started = world.states.start_execution(stateMachineArn=arn, input=given)
    token = world.token()
    time.sleep(0.05)

    world.clock.advance(3000)
    world.states.send_task_heartbeat(taskToken=token)
    world.clock.advance(3000)
    still = world.states.describe_execution(executionArn=started["executionArn"])["status"]
    world.clock.advance(700)

    assert still == "RUNNING"
    assert outcome(world.wait(started["executionArn"]))["fault"]["Error"] == "States.HeartbeatTimeout"


def test_a_state_machine_timeout_ends_the_execution_and_its_task(world: World):
    arn = world.machine({"Step": callback(TimeoutSeconds=9000)}, TimeoutSeconds=3600)
    started = world.states.start_execution(stateMachineArn=arn)
    token = world.token()

    world.clock.advance(3601)

    execution = world.wait(started["executionArn"])
    assert execution["status"] == "TIMED_OUT"
    assert execution["stopDate"] > execution["startDate"]
    assert world.history(started["executionArn"])[-1]["type"] == "ExecutionTimedOut"
    assert refused(lambda: world.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"


@pytest.mark.case("SF-10")
def test_stop_execution_aborts_at_once_and_releases_the_waiting_task(world: World):
    before = threading.active_count()
    arn = world.machine(
        {
            "Step": callback(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "After"}], Next="After"),
            "After": {"Type": "Pass", "End": True},
        }
    )
    started = world.states.start_execution(stateMachineArn=arn)
    token = world.token()
    time.sleep(0.05)

    world.states.stop_execution(executionArn=started["executionArn"], error="Superseded", cause="newer data")

    execution = world.states.describe_execution(executionArn=started["executionArn"])
    assert (execution["status"], execution["error"], execution["cause"]) == (
        "ABORTED",
        "Superseded",
        "newer data",
    )
    assert refused(lambda: world.states.send_task_success(taskToken=token, output="1")) == "TaskTimedOut"
    last = world.history(started["executionArn"])[-1]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == {"error": "Superseded", "cause": "newer data"}
    until(lambda: threading.active_count() <= before + 1)


def test_a_fail_state_says_again_that_a_state_timed_out(world: World):
    again = {"Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.Cause"}

    execution = world.run({"Step": again}, {"failure": {"Error": "States.Timeout", "Cause": "too long"}})

    assert (execution["status"], execution["error"], execution["cause"]) == (
        "FAILED",
        "States.Timeout",
        "too long",
    )


def test_every_status_change_is_published_once_and_in_order(world: World):
    execution = world.run({"Step": {"Type": "Pass", "Result": {"a": 1}, "End": True}}, {"run": 7})
    failed = world.run({"Step": {"Type": "Fail", "Error": "Rejected", "Cause": "worse"}}, name="failing")

    details = [event["detail"] for event in world.events]
    assert [detail["status"] for detail in details] == ["RUNNING", "SUCCEEDED", "RUNNING", "FAILED"]
    assert world.events[1]["source"] == "aws.states"
    assert world.events[1]["detail-type"] == "Step Functions Execution Status Change"
    assert world.events[1]["resources"] == [execution["executionArn"]]
    assert details[0]["stopDate"] is None
    assert details[1]["input"] == '{"run": 7}'
    assert details[1]["output"] == '{"a":1}'
    assert details[1]["stopDate"] > details[1]["startDate"]
    assert (details[3]["error"], details[3]["cause"]) == ("Rejected", "worse")
    assert failed["status"] == "FAILED"
    assert [name for name, _, _ in world.metrics if name != "ExecutionTime"] == [
        "ExecutionsStarted",
        "ExecutionsSucceeded",
        "ExecutionsStarted",
        "ExecutionsFailed",
    ]


@pytest.mark.case("SF-09")
def test_a_used_execution_name_answers_the_running_execution_only_for_the_same_input(world: World):
    arn = world.machine({"Step": callback()})
    start = world.states.start_execution
    first = start(stateMachineArn=arn, name="digest", input='{"a":1}')

    again = start(stateMachineArn=arn, name="digest", input='{"a":1}')
    other = refused(lambda: start(stateMachineArn=arn, name="digest", input='{"a":2}'))
    world.states.send_task_success(taskToken=world.token(), output="{}")
    world.wait(first["executionArn"])
    after = refused(lambda: start(stateMachineArn=arn, name="digest", input='{"a":1}'))

    assert again["executionArn"] == first["executionArn"]
    assert (other, after) == ("ExecutionAlreadyExists", "ExecutionAlreadyExists")


@pytest.mark.parametrize("name", ["with space", "a:b", "a/b", "q?", "x" * 81])
def test_bad_execution_names_are_refused(world: World, name: str):
    arn = world.machine({"Step": {"Type": "Pass", "End": True}})

    assert refused(lambda: world.states.start_execution(stateMachineArn=arn, name=name)) == "InvalidName"


def test_inputs_above_the_payload_limit_are_refused_at_the_call(world: World):
    arn = world.machine({"Step": {"Type": "Pass", "End": True}})
    fits = json.dumps("x" * (262_144 - 2))

    accepted = world.states.start_execution(stateMachineArn=arn, input=fits)
    code = refused(lambda: world.states.start_execution(stateMachineArn=arn, input=fits[:-1] + 'x"'))

    assert world.wait(accepted["executionArn"])["status"] == "SUCCEEDED"
    assert code == "ValidationException"
    broken = refused(lambda: world.states.start_execution(stateMachineArn=arn, input="{"))
    assert broken == "InvalidExecutionInput"


@pytest.mark.case("SF-07")
def test_a_task_result_above_the_payload_limit_fails_the_state(world: World):
    world.handler = lambda _event: {"text": "x" * 262_144}

    execution = world.run({"Step": task()})

    assert (execution["status"], execution["error"]) == ("FAILED", "States.DataLimitExceeded")


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"StartAt": "Nowhere", "States": {"A": {"Type": "Pass", "End": True}}}, "StartAt"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "Missing 'Next' target: B"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, "exactly one of Next and End"),
        ({"StartAt": "A", "States": {"A": PASS | {"Retri": []}}}, "'Retri' is not supported"),
        ({"StartAt": "A", "States": {"A": PASS}, "Extra": 1}, "'Extra' is not supported"),
        ({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True}}}, "Resource"),
        ({"StartAt": "A", "States": {"A": task(ItemBatcher={})}}, "'ItemBatcher' is not supported"),
        ({"StartAt": "A", "States": {"A": PASS | {"QueryLanguage": "JSONata"}}}, "JSONPath only"),
        ({"StartAt": "A", "States": {"A": task(Catch=[{"ErrorEquals": ["X"], "Next": "Z"}])}}, "target: Z"),
        ({"StartAt": "A", "States": {"A": task(HeartbeatSeconds=60)}}, "HeartbeatSeconds"),
        ({"StartAt": "A", "States": {}}, "at least one state"),
    ],
)  # fmt: skip
def test_a_broken_definition_is_refused_by_name(world: World, definition: dict[str, Any], said: str):
    with pytest.raises(ClientError) as caught:
        world.machine(**definition)

    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"
    assert said in caught.value.response["Error"]["Message"]


def test_a_state_machine_name_with_another_definition_is_refused(world: World):
    first = world.machine({"A": {"Type": "Pass", "End": True}})

    assert world.machine({"A": {"Type": "Pass", "End": True}}) == first
    assert refused(lambda: world.machine({"B": {"Type": "Pass", "End": True}})) == "StateMachineAlreadyExists"


def shipped_definition() -> dict[str, Any]:
    text = (Path(__file__).parents[3] / "statemachine" / "model_loop.asl.json").read_text()
    return json.loads(re.sub(r"\$\{\w+Arn\}", FUNCTION, text).replace("${Partition}", "aws"))


def test_the_shipped_definition_runs_to_an_outcome(world: World):
    world.handler = lambda _event: {"outcome": "quarantined"}

    execution = world.run(**shipped_definition())

    assert outcome(execution)["record_outcome"] == {"outcome": "quarantined"}


def test_the_shipped_definition_ends_with_the_error_that_broke_it(world: World):
    def fail(event: dict[str, Any]) -> dict[str, Any]:
        if "failure" in event:
            return {}
        raise PreprocessingError("disk full")

    world.handler = fail
    execution = world.run(**shipped_definition())

    assert (execution["status"], execution["error"]) == ("FAILED", "PreprocessingError")
    assert "disk full" in execution["cause"]


def test_the_service_integrations_of_the_loop_reach_their_services(world: World):
    queue = boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    topic = boto3.client("sns").create_topic(Name="alerts")["TopicArn"]
    table = boto3.client("dynamodb")
    key = {"AttributeName": "pk", "AttributeType": "S"}
    table.create_table(
        TableName="ledger",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    send = "arn:aws:states:::"
    item = {"pk": {"S.$": "$.run"}, "n": {"N": "1"}}
    entry = {"Source": "driftwheel", "DetailType": "Run Ended", "Detail": {"run.$": "$.run"}}
    steps = [
        ("Put", f"{send}dynamodb:putItem", {"TableName": "ledger", "Item": item}),
        ("Get", f"{send}dynamodb:getItem", {"TableName": "ledger", "Key": {"pk": {"S.$": "$.run"}}}),
        ("Send", f"{send}sqs:sendMessage", {"QueueUrl": queue, "MessageBody": {"run.$": "$.run"}}),
        ("Sdk", f"{send}aws-sdk:sqs:sendMessage", {"QueueUrl": queue, "MessageBody": "plain"}),
        ("Tell", f"{send}sns:publish", {"TopicArn": topic, "Message": {"run.$": "$.run"}}),
        ("Emit", f"{send}events:putEvents", {"Entries": [entry]}),
        ("Look", f"{send}aws-sdk:dynamodb:describeTable", {"TableName": "ledger"}),
    ]  # fmt: skip
    states = {
        name: task(resource, Parameters=parameters, ResultPath=f"$.{name}", Next=following)
        for (name, resource, parameters), following in zip(
            steps, [name for name, _, _ in steps[1:]] + ["Done"], strict=True
        )
    } | {"Done": {"Type": "Pass", "End": True}}

    result = outcome(world.run(states, {"run": "r-1"}))

    assert result["Get"]["Item"] == {"pk": {"S": "r-1"}, "n": {"N": "1"}}
    assert isinstance(result["Look"]["Table"]["CreationDateTime"], str)
    bodies = [
        message["Body"]
        for message in boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    ]
    assert sorted(bodies) == ["plain", '{"run": "r-1"}']
    assert result["Emit"]["FailedEntryCount"] == 0


def test_an_sdk_task_that_fails_carries_the_services_error(world: World):
    stop = task(
        "arn:aws:states:::aws-sdk:sqs:sendMessage",
        Parameters={"QueueUrl": "http://127.0.0.1/123456789012/absent", "MessageBody": "x"},
    )

    fault = outcome(world.run(caught_by("States.TaskFailed", step=stop)))["fault"]

    assert fault["Error"].endswith("Exception")
    assert "does not exist" in fault["Cause"]


def test_history_pages_and_reverses(world: World):
    execution = world.run(
        {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(3)} | {"S3": {"Type": "Succeed"}}
    )
    arn = execution["executionArn"]

    first = world.states.get_execution_history(executionArn=arn, maxResults=2)
    newest = world.states.get_execution_history(executionArn=arn, maxResults=1, reverseOrder=True)

    assert [event["id"] for event in first["events"]] == [1, 2]
    assert newest["events"][0]["type"] == "ExecutionSucceeded"
    assert len(world.history(arn)) == 10


def test_a_wait_state_is_scaled(world: World):
    began = time.monotonic()

    execution = world.run({"W": {"Type": "Wait", "Seconds": 300, "End": True}})

    assert execution["status"] == "SUCCEEDED"
    assert 0.3 <= time.monotonic() - began < 3


def test_a_wait_state_that_is_stopped_ends(world: World):
    arn = world.machine(
        {"W": {"Type": "Wait", "Seconds": 10_000_000, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
    )
    started = world.states.start_execution(stateMachineArn=arn)

    world.states.stop_execution(executionArn=started["executionArn"])

    assert world.wait(started["executionArn"])["status"] == "ABORTED"


def test_executions_survive_a_restart_closed_and_with_their_names_used(world: World, moto_endpoint: str):
    kept: dict[str, dict[str, Any]] = {}
    world.machines.record = SimpleNamespace(
        history_event=lambda arn, event: kept[arn]["history"].append(dict(event)),
        execution_started=lambda one: kept.update({one["executionArn"]: dict(one) | {"history": []}}),
        execution_closed=lambda one: kept.update({one["executionArn"]: dict(one)}),
    )
    done = world.run({"P": {"Type": "Pass", "End": True}}, {"x": 1})
    arn = world.machine({"Step": callback()}, name="waiting")
    running = world.states.start_execution(stateMachineArn=arn, name="inflight")
    world.token()
    after = StateMachines(world.clock, world.events.append, lambda: moto_endpoint)
    patches.patch_stepfunctions(after)
    world.machine({"P": {"Type": "Pass", "End": True}})
    world.machine({"Step": callback()}, name="waiting")
    world.events.clear()

    missing = patches.restore_executions(list(kept.values()), "123456789012", "us-east-1")

    assert missing == []
    assert world.states.describe_execution(executionArn=done["executionArn"])["output"] == '{"x":1}'
    assert len(world.history(done["executionArn"])) == 4
    broken = world.states.describe_execution(executionArn=running["executionArn"])
    assert broken["status"] == "ABORTED"
    assert "local stack stopped" in broken["cause"]
    assert [event["detail"]["status"] for event in world.events] == ["ABORTED"]
    again = refused(lambda: world.states.start_execution(stateMachineArn=arn, name="inflight"))
    assert again == "ExecutionAlreadyExists"
    world.states.stop_execution(executionArn=running["executionArn"])
