"""Jobs that fail, and jobs that leave no whole model, through the shipped state machine (SM-04, SM-07)."""

from typing import Any

import pytest

from driftwheel.layout import S3Uri
from driftwheel.run import Run
from driftwheel.steps.evaluation_gate import check_model
from tests.bench.world import World
from tests.functions.test_evaluation_gate import manifest_of, model_archive
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


class Checked(World):
    """A world whose jobs leave a real archive, and whose gate reads it as the product's does."""

    harmed: bytes | None = None
    """What the next job leaves."""
    leaves = True

    def _trained(self) -> tuple[str, bytes]:
        super()._trained()
        whole = model_archive(self.counts["trained"])
        return manifest_of(whole), whole if self.harmed is None else self.harmed

    def end_job(self, name: str, status: str = "Completed", reason: str = "") -> None:
        super().end_job(name, status, reason)
        if not self.leaves:
            where = S3Uri.parse(self.sagemaker.jobs[name]["ModelArtifacts"]["S3ModelArtifacts"])
            del self.s3.versions[where.bucket, where.key]

    def _evaluation_gate(self, payload: Any) -> Any:
        launched = Run.model_validate(payload).training_launch
        assert launched is not None
        check_model(self.objects, launched.model_data_url, self.manifests[launched.model_data_url])
        return super()._evaluation_gate(payload)


@pytest.mark.case("SM-07")
@pytest.mark.parametrize("harm", ["absent", "no bytes", "cut in the middle", "no model"])
def test_a_completed_job_without_a_whole_model_fails_its_run_and_the_champion_stays(harm: str) -> None:
    whole = model_archive()
    bodies = {"no bytes": b"", "cut in the middle": whole[: len(whole) // 2], "no model": b"not an archive"}
    world = Checked()
    with world.hooked():
        world.register()
        world.drop("parcels", "one.csv", b"1")
        world.settle()
        champion = world.ledger.champions.get("parcels")
        world.harmed, world.leaves = bodies.get(harm), harm != "absent"
        world.drop("parcels", "two.csv", b"2")
        world.settle()
    world.leaves = True
    assert_world(world)
    assert champion is not None
    assert world.ledger.champions.get("parcels") == champion
    run = world.ledger.runs.of_model("parcels")[0]
    assert run.status == "failed"
    assert "ArtifactInvalid: s3://" in run.outcome
    assert "model.tar.gz is missing" in run.outcome or "cannot be unpacked" in run.outcome
    assert sum(world.alerts.values()) == 1
