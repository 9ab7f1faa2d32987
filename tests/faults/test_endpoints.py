"""DE-11 and DE-12 through the shipped state machine: an endpoint that failed at once, changed or vanished."""

import pytest

from tests.bench.world import World
from tests.oracle.in_memory import assert_world, evidence_of
from tests.oracle.invariants import violations

REDEPLOY = "deployment: {mode: canary, size: 10, bake_seconds: 60, capture: 100, when_deleted: redeploy}\n"


def started(more: str = "") -> World:
    """A world whose first model is trained and whose endpoint is being created."""
    world = World()
    with world.hooked():
        world.register(more)
        world.drop("parcels", "one.csv", b"1")
        for _ in range(1_000):
            if world.sagemaker.endpoints:
                return world
            if not world.work():
                world.tick()
    raise AssertionError("no endpoint was asked for")


def served(more: str = "") -> World:
    world = started(more)
    with world.hooked():
        world.settle()
    assert world.ledger.champions.get("parcels") is not None
    return world


def judged_but_for_the_outage(world: World) -> None:
    """Hold a world to all invariants once the test's own damage, which few requests meet, is repaired."""
    assert 0 < world.wrong_answers.pop("parcels") <= 3  # asked after each step: until the next restoration
    assert_world(world)


@pytest.mark.case("DE-11")
def test_a_first_deployment_that_fails_leaves_no_endpoint_no_champion_and_a_run_that_says_why() -> None:
    world = started()
    (endpoint,) = world.sagemaker.endpoints

    with world.hooked():
        world.end_endpoint(endpoint, rolled_back=True)
        world.settle()

    assert world.sagemaker.endpoints == {}
    assert world.ledger.champions.get("parcels") is None
    (run,) = world.ledger.runs.of_model("parcels")
    assert run.status == "failed"
    assert "could not be created" in run.outcome
    assert sum(world.alerts.values()) == 1
    assert_world(world)


@pytest.mark.case("DE-11")
def test_a_first_endpoint_whose_run_ends_before_it_is_champion_is_removed_and_swept_up_after() -> None:
    world = started()
    (endpoint,) = world.sagemaker.endpoints
    [execution] = world.machine.running()

    with world.hooked():
        world.machine.abort(execution, "TIMED_OUT")
        world.end_endpoint(endpoint)
        assert world.sagemaker.endpoints[endpoint]["EndpointStatus"] == "InService"
        world.settle()

    assert world.ledger.champions.get("parcels") is None
    assert (world.sagemaker.endpoints, world.sagemaker.configs, world.sagemaker.models) == ({}, {}, {})
    assert sum(world.alerts.values()) == 1
    assert_world(world)


@pytest.mark.case("DE-11")
def test_the_next_run_deploys_after_a_first_deployment_failed() -> None:
    world = started()
    (endpoint,) = world.sagemaker.endpoints

    with world.hooked():
        world.end_endpoint(endpoint, rolled_back=True)
        world.settle()
        world.drop("parcels", "two.csv", b"2")
        world.settle()

    champion = world.ledger.champions.get("parcels")
    assert champion is not None
    assert world.sagemaker.endpoints[endpoint]["EndpointConfigName"] == champion.endpoint_config
    assert_world(world)


@pytest.mark.case("DE-12")
@pytest.mark.parametrize(("more", "is_back"), [("", False), (REDEPLOY, True)])
def test_a_deleted_endpoint_comes_back_with_its_champion_where_the_model_says_so(
    more: str, *, is_back: bool
) -> None:
    world = served(more)
    champion = world.ledger.champions.get("parcels")
    assert champion is not None

    with world.hooked():
        del world.sagemaker.endpoints[champion.endpoint]
        world.settle()

    found = world.sagemaker.endpoints.get(champion.endpoint)
    assert (found is not None) == is_back
    if found is not None:
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == (
            "InService",
            champion.endpoint_config,
        )
    outcomes = [each.outcome for each in world.ledger.decisions.of_model("parcels")]
    assert "deleted" in outcomes
    assert world.ledger.champions.get("parcels") == champion
    if is_back:
        judged_but_for_the_outage(world)
    else:
        assert {broken.split()[0] for broken in violations(evidence_of(world, "parcels"))} == {"I3"}


@pytest.mark.case("DE-12")
def test_a_config_that_somebody_changed_goes_back_to_the_champions() -> None:
    world = served()
    champion = world.ledger.champions.get("parcels")
    assert champion is not None

    with world.hooked():
        world.sagemaker.endpoints[champion.endpoint]["EndpointConfigName"] = "somebody-elses"
        world.settle()

    assert world.sagemaker.endpoints[champion.endpoint]["EndpointConfigName"] == champion.endpoint_config
    judged_but_for_the_outage(world)


@pytest.mark.case("DE-03")
@pytest.mark.case("OP-02")
def test_what_a_silent_rollback_left_behind_is_swept_though_no_later_update_ever_comes() -> None:
    """What walk 93 once ended with: the bench took the rolled back config for one in use for ever."""
    world = served()
    with world.hooked():
        world.drop("parcels", "two.csv", b"2")
        for _ in range(1_000):
            if world.sagemaker.endpoints["driftwheel-parcels"]["EndpointStatus"] == "Updating":
                break
            if not world.work():
                world.tick(10)
        world.end_endpoint("driftwheel-parcels", rolled_back=True)
        world.settle()

    newest = world.ledger.runs.of_model("parcels")[0]
    assert newest.status == "failed"
    assert newest.outcome.startswith("DeploymentFailed")
    assert len(world.sagemaker.configs) == len(world.sagemaker.models) == 1
    assert_world(world)
