"""The wheel in memory asks with the roles of its functions: a right that is taken away is missed there."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from driftwheel_local.permissions.policies import Statement
from tests.bench import rights
from tests.bench.world import World

from . import asked, boundary
from .iam import roles

pytestmark = pytest.mark.case("SE-11")
TAKEN = {
    "TriggerFunctionRole": "states:StartExecution",
    "DataArrivalFunctionRole": "s3:GetObjectVersion",
    "PreprocessingFunctionRole": "dynamodb:PutItem",
    "TrainingLaunchFunctionRole": "sagemaker:CreateTrainingJob",
    "DeploymentFunctionRole": "sagemaker:CreateEndpoint",
    "JobCallbackFunctionRole": "states:SendTaskSuccess",
    "RecordOutcomeFunctionRole": "sqs:SendMessage",
    "SweepFunctionRole": "sagemaker:ListTags",
}


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is denied here fails no session; nothing was judged before."""
    denied: list[str] = []
    monkeypatch.setattr(asked, "denied", denied)
    monkeypatch.setattr(rights, "_ALLOWED", set())
    return denied


def turned() -> World:
    world = World()
    world.register()
    world.drop("parcels", "a.csv", b"a")
    world.drain()
    world.settle()
    return world


def without(role: str, action: str) -> Iterator[Statement]:
    """Give a role's statements but for one action."""
    for statement in roles()[role]:
        if kept := tuple(each for each in statement.actions if each != action):
            yield replace(statement, actions=kept)


def test_with_its_rights_the_wheel_turns(unheard: list[str]) -> None:
    assert turned().ledger.champions.get("parcels") is not None
    assert unheard == []


@pytest.mark.parametrize("role", TAKEN)
def test_without_one_its_function_is_denied(
    role: str, unheard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "roles", lambda: {**roles(), role: tuple(without(role, TAKEN[role]))})

    turned()

    assert any(line.startswith(f"{role}: ") and f"{TAKEN[role]} " in line for line in unheard), unheard


def test_nobody_is_a_person_who_may_do_everything(unheard: list[str]) -> None:
    world = World()

    with world.acting("training_launch"), pytest.raises(ClientError, match="not authorized to perform"):
        world.sagemaker.delete_endpoint(EndpointName="driftwheel-parcels")
    with pytest.raises(KeyError):
        world.sagemaker.delete_endpoint(EndpointName="driftwheel-parcels")
    assert len(unheard) == 1
