"""Step Functions: one execution for one name, and task tokens that answer once."""

import json
from typing import Any

import pytest

from .account import Account, at_once

WAITING = {"InvalidToken", "TaskTimedOut", "TaskDoesNotExist"}


@pytest.fixture(scope="module")
def queue(account: Account) -> str:
    sqs = account.client("sqs")
    url = str(sqs.create_queue(QueueName=account.name("tokens"))["QueueUrl"])
    account.afterwards(sqs.delete_queue, QueueUrl=url)
    return url


@pytest.fixture(scope="module")
def machine(account: Account, queue: str) -> str:
    """It sends its token to the queue and waits a minute for an answer."""
    states = account.client("stepfunctions")
    wait = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
        "TimeoutSeconds": 60,
        "End": True,
    }
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": wait}})
    made = states.create_state_machine(
        name=account.name("machine"), definition=definition, roleArn=account.role
    )
    arn = str(made["stateMachineArn"])
    account.afterwards(states.delete_state_machine, stateMachineArn=arn)
    return arn


class Turn:
    """One execution of the machine and its token."""

    def __init__(self, account: Account, machine: str, queue: str) -> None:
        self.account, self.states = account, account.client("stepfunctions")
        self.request = {"stateMachineArn": machine, "name": account.name("turn"), "input": '{"n": 1}'}
        self.arn = self.states.start_execution(**self.request)["executionArn"]
        self.token = account.read(queue, 1, calm=0)[0]["token"]

    def ended(self) -> dict[str, Any]:
        found: dict[str, Any] = self.account.until(
            lambda: self.states.describe_execution(executionArn=self.arn),
            lambda each: each["status"] != "RUNNING",
        )[-1]
        return found


@pytest.fixture
def turn(account: Account, machine: str, queue: str) -> Turn:
    return Turn(account, machine, queue)


def test_a_token_answers_once(turn: Turn) -> None:
    turn.states.send_task_success(taskToken=turn.token, output='{"done": true}')

    for again in (
        lambda: turn.states.send_task_success(taskToken=turn.token, output="{}"),
        lambda: turn.states.send_task_failure(taskToken=turn.token, error="Late"),
    ):
        assert turn.account.refusal(again)[0] in WAITING - {"InvalidToken"}
    last = turn.ended()
    assert (last["status"], json.loads(last["output"])) == ("SUCCEEDED", {"done": True})


def test_a_failure_keeps_its_name_and_its_cause(turn: Turn) -> None:
    turn.states.send_task_failure(taskToken=turn.token, error="ArtifactInvalid", cause="no model")

    last = turn.ended()

    assert (last["status"], last["error"], last["cause"]) == ("FAILED", "ArtifactInvalid", "no model")


def test_a_token_whose_wait_has_timed_out_is_refused(turn: Turn) -> None:
    turn.account.pass_time(61)

    assert turn.ended()["error"] == "States.Timeout"
    code, _ = turn.account.refusal(lambda: turn.states.send_task_heartbeat(taskToken=turn.token))
    assert code in WAITING - {"InvalidToken"}


def test_a_token_that_is_none_is_invalid(account: Account) -> None:
    states = account.client("stepfunctions")

    code, _ = account.refusal(lambda: states.send_task_success(taskToken="no token", output="{}"))

    assert code == "InvalidToken"


def test_the_same_name_and_input_while_it_runs_is_the_same_execution(turn: Turn) -> None:
    """StartExecution is idempotent for Standard workflows (API_StartExecution)."""
    again = turn.states.start_execution(**turn.request)

    assert again["executionArn"] == turn.arn
    turn.states.stop_execution(executionArn=turn.arn)
    assert turn.ended()["status"] == "ABORTED"


def test_of_starts_at_once_under_one_name_one_execution_comes(account: Account, turn: Turn) -> None:
    other = turn.request | {"name": account.name("race")}
    started: list[str] = []

    codes = at_once(lambda: started.append(turn.states.start_execution(**other)["executionArn"]))

    assert len(set(started)) == 1
    assert set(codes) <= {"", "ExecutionAlreadyExists"}
    for arn in (turn.arn, started[0]):
        turn.states.stop_execution(executionArn=arn)


def test_a_used_name_is_refused_with_other_input_and_after_the_end(turn: Turn) -> None:
    other = turn.request | {"input": '{"n": 2}'}
    assert turn.account.refusal(lambda: turn.states.start_execution(**other))[0] == "ExecutionAlreadyExists"
    turn.states.stop_execution(executionArn=turn.arn)
    turn.ended()

    code, _ = turn.account.refusal(lambda: turn.states.start_execution(**turn.request))

    assert code == "ExecutionAlreadyExists"


def test_an_execution_that_never_was_is_named_so(account: Account, turn: Turn) -> None:
    states = turn.states
    absent = turn.arn.rpartition(":")[0] + ":" + account.name("absent")

    code, _ = account.refusal(lambda: states.describe_execution(executionArn=absent))

    assert code == "ExecutionDoesNotExist"
    states.stop_execution(executionArn=turn.arn)


def test_an_input_that_is_no_json_is_refused_at_the_call(account: Account, machine: str) -> None:
    code, _ = account.refusal(
        lambda: account.client("stepfunctions").start_execution(
            stateMachineArn=machine, name=account.name("broken"), input="{"
        )
    )

    assert code == "InvalidExecutionInput"


def test_a_definition_that_is_not_the_states_language_is_refused(account: Account) -> None:
    broken = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nowhere"}}})

    code, _ = account.refusal(
        lambda: account.client("stepfunctions").create_state_machine(
            name=account.name("machine"), definition=broken, roleArn=account.role
        )
    )

    assert code == "InvalidDefinition"
