"""SM-04 through the shipped state machine: a run whose job found no machine goes on with the next type."""

import pytest

from tests.bench.world import World
from tests.oracle.in_memory import assert_world

TRAINING = "training: {algorithm: xgboost, instance: ml.m5.large, fallback_instances: [ml.m5.xlarge]}\n"


def ended(*reasons: str) -> tuple[World, str, str]:
    """Let the jobs of one run fail for these reasons, in turn; how the run ended, and why."""
    world = World()
    with world.hooked():
        world.register(TRAINING)
        world.drop("parcels", "one.csv", b"1")
        for reason in reasons:
            until_training(world)
            (name,) = running(world)
            world.end_job(name, "Failed", reason)
        world.settle()
    assert_world(world)
    (run,) = world.ledger.runs.of_model("parcels")
    return world, run.status, run.outcome


def until_training(world: World) -> None:
    for _ in range(1_000):
        if running(world):
            return
        if not world.work():
            world.tick()
    raise AssertionError("no job was started")


def running(world: World) -> list[str]:
    return [name for name, job in world.sagemaker.jobs.items() if job["TrainingJobStatus"] == "InProgress"]


@pytest.mark.case("SM-04")
@pytest.mark.parametrize("kind", ["CapacityError", "InternalServerError"])
def test_a_run_goes_on_with_the_next_instance_type(kind: str) -> None:
    world, status, _ = ended(f"{kind}: said so")

    assert status == "promoted"
    jobs = [job["ResourceConfig"]["InstanceType"] for job in world.sagemaker.jobs.values()]
    assert jobs == ["ml.m5.large", "ml.m5.xlarge"]


@pytest.mark.case("SM-04")
def test_a_run_fails_when_no_instance_type_is_left() -> None:
    world, status, outcome = ended("CapacityError: first", "CapacityError: last")

    assert status == "failed"
    assert "CapacityError: last" in outcome
    assert len(world.sagemaker.jobs) == 2


@pytest.mark.case("SM-04")
@pytest.mark.parametrize("kind", ["AlgorithmError", "ClientError"])
def test_a_fault_of_code_or_data_is_not_tried_on_another_machine(kind: str) -> None:
    world, status, outcome = ended(f"{kind}: said so")

    assert status == "failed"
    assert f"{kind}: said so" in outcome
    assert len(world.sagemaker.jobs) == 1
