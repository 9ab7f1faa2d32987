"""The product's own once-only calls through the proxy: one resource, whatever the first attempt met."""

import pytest

from driftwheel.aws.executions import start
from driftwheel.aws.sagemaker import create_once

from .account import Account
from .proxy import KINDS, FaultProxy, Harm, Kind, Plan
from .sagemaker import Lab

pytestmark = pytest.mark.local_only
"""Faults are injected by a proxy of ours."""


@pytest.mark.case("SM-11")
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_job_is_created_once_whatever_its_request_meets(
    account: Account, lab: Lab, kind: Kind
) -> None:
    assert account.world is not None
    name = account.name("once")
    request = lab.training_request(name)
    with FaultProxy(
        account.world.endpoint.url, Plan([Harm("sagemaker.CreateTrainingJob", 1, kind)])
    ) as proxy:
        client = account.client("sagemaker", url=proxy.url, attempts=3)
        same = {"RoleArn": account.role, "HyperParameters": request["HyperParameters"]}
        create_once(client, "training_job", request, {"TrainingJobName": name}, same)

    assert proxy.plan.injected == {("sagemaker.CreateTrainingJob", kind): 1}
    found = lab.sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in found] == [name]
    lab.ended(name)


@pytest.mark.case("SF-09")
@pytest.mark.parametrize("kind", KINDS)
def test_an_execution_is_started_once_whatever_its_request_meets(account: Account, kind: Kind) -> None:
    assert account.world is not None
    states, name = account.client("stepfunctions"), account.name("turn")
    definition = '{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": true}}}'
    arn = states.create_state_machine(
        name=account.name("machine"), definition=definition, roleArn=account.role
    )["stateMachineArn"]
    with FaultProxy(account.world.endpoint.url, Plan([Harm("states.StartExecution", 1, kind)])) as proxy:
        client = account.client("stepfunctions", url=proxy.url, attempts=3)
        started = start(client, arn, name, "{}")

    assert proxy.plan.injected == {("states.StartExecution", kind): 1}
    running = states.list_executions(stateMachineArn=arn)["executions"]
    assert [each["name"] for each in running] == [name]
    assert started in {running[0]["executionArn"], None}  # None: an earlier attempt had started it
    states.stop_execution(executionArn=running[0]["executionArn"])
