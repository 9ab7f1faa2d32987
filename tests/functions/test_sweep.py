"""Sweep as shipped: what deployments left behind goes, what serves or may serve again stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftwheel.deployment.leftovers import Made, Standing, is_leftover
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.tokens import Parked, Tokens
from driftwheel.spec import load_spec
from driftwheel.steps import sweep as step

from .conftest import Context, World

SPEC = load_spec(Path("examples/flights/model.yaml").read_bytes(), "model.yaml")
ROLE = "arn:aws:iam::123456789012:role/driftwheel-sagemaker"
ENDPOINT = "driftwheel-flights"
CONFIGS = [f"driftwheel-flights-{number}" for number in range(6)]
SERVES = {"EndpointStatus": "InService", "EndpointConfigName": "m-4"}
Sweep = Callable[[], dict[str, list[str]]]


def tags(**tags: str) -> list[dict[str, str]]:
    return [{"Key": f"driftwheel:{key}", "Value": value} for key, value in tags.items()]


OURS = tags(stack="driftwheel", model="flights")


def make(world: World, name: str, tagged: list[dict[str, str]]) -> None:
    sagemaker = world.client("sagemaker")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, Tags=tagged)
    variant = {"VariantName": "serving", "ModelName": name, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[variant | {"InitialInstanceCount": 1}],
        Tags=tagged,
    )


def names(world: World) -> tuple[set[str], set[str], set[str]]:
    sagemaker = world.client("sagemaker")
    return (
        {found["EndpointName"] for found in sagemaker.list_endpoints()["Endpoints"]},
        {found["EndpointConfigName"] for found in sagemaker.list_endpoint_configs()["EndpointConfigs"]},
        {found["ModelName"] for found in sagemaker.list_models()["Models"]},
    )


@pytest.fixture
def swept(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> World:
    """Five promotions of flights and a challenger that was never promoted; the fifth champion serves."""
    Models(world.table).register(SPEC, version="v", at="t")
    for name in CONFIGS:
        make(world, name, OURS)
    for number, name in enumerate(CONFIGS[:5], start=1):
        row = ChampionRow("flights", number, f"r{number}", ENDPOINT, name, "s3://m", "arn", "s3://b", "t", "")
        Champions(world.table).move(row)
    world.client("sagemaker").create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=CONFIGS[4], Tags=OURS)
    monkeypatch.setenv("SWEEP_AFTER_DAYS", "0")
    return world


def run(world: World, context: Context) -> Any:
    return world.load("sweep").handler({"kind": "scheduled"}, context)


@pytest.mark.case("OP-02")
def test_what_no_champion_of_the_last_three_needs_is_deleted(swept: World, context: Context) -> None:
    answer = run(swept, context)

    gone = [CONFIGS[0], CONFIGS[1], CONFIGS[5]]
    assert answer == {"endpoint": [], "endpoint_config": gone, "model": gone}
    assert names(swept) == ({ENDPOINT}, set(CONFIGS[2:5]), set(CONFIGS[2:5]))
    assert run(swept, context) == {"endpoint": [], "endpoint_config": [], "model": []}


@pytest.mark.case("OP-02")
@pytest.mark.parametrize(
    "tagged", [[], tags(stack="driftwheel-two", model="flights"), tags(stack="driftwheel")]
)
def test_what_does_not_carry_our_tags_is_never_touched(
    swept: World, context: Context, tagged: list[dict[str, str]]
) -> None:
    make(swept, "driftwheel-flights-foreign", tagged)

    run(swept, context)

    assert all("driftwheel-flights-foreign" in found for found in names(swept)[1:])


@pytest.mark.case("OP-02")
def test_the_name_of_another_stack_that_begins_like_ours_is_not_ours(swept: World, context: Context) -> None:
    make(swept, "my-driftwheel-flights", OURS)

    run(swept, context)

    assert "my-driftwheel-flights" in names(swept)[1]


@pytest.mark.case("OP-02")
def test_what_is_young_stays(swept: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_AFTER_DAYS", "30")

    assert run(swept, context) == {"endpoint": [], "endpoint_config": [], "model": []}


@pytest.mark.case("OP-02")
def test_an_endpoint_no_champion_ever_served_at_is_deleted(swept: World, context: Context) -> None:
    tagged = tags(stack="driftwheel", model="never")
    make(swept, "driftwheel-never-1", tagged)
    swept.client("sagemaker").create_endpoint(
        EndpointName="driftwheel-never", EndpointConfigName="driftwheel-never-1", Tags=tagged
    )

    assert run(swept, context)["endpoint"] == ["driftwheel-never"]
    assert run(swept, context)["endpoint_config"] == ["driftwheel-never-1"]  # once the endpoint has gone


@pytest.mark.case("OP-02")
def test_nothing_of_a_model_goes_while_a_run_is_at_work_or_waits(swept: World, context: Context) -> None:
    Leases(swept.table).acquire("flights", "r9", now=0, seconds=2**33)
    assert run(swept, context)["model"] == []

    Leases(swept.table).release("flights", "r9", 1)
    wait = Parked("arn:e", "endpoint", "token", "flights", "r9", 1, "arn:x", "t", {})
    Tokens(swept.table).park(wait)
    assert run(swept, context)["model"] == []

    Tokens(swept.table).settle(wait)
    assert len(run(swept, context)["model"]) == 3


@pytest.mark.case("OP-02")
def test_without_a_registered_model_nothing_can_be_judged(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(world, CONFIGS[0], OURS)
    monkeypatch.setenv("SWEEP_AFTER_DAYS", "0")

    assert run(world, context)["model"] == []


@pytest.mark.case("OP-02")
def test_one_call_deletes_a_bounded_number(
    swept: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "AT_ONCE", 2)

    assert sum(map(len, run(swept, context).values())) == 2


@pytest.mark.parametrize(
    "endpoint",
    [
        SERVES | {"EndpointStatus": "Updating"},
        SERVES | {"EndpointStatus": "RollingBack"},
        SERVES | {"EndpointConfigName": "somebody-elses"},
    ],
)
def test_an_endpoint_that_moves_or_serves_another_config_keeps_all_of_its_model(
    endpoint: dict[str, Any],
) -> None:
    old = Made("endpoint_config", "m-0", "m")
    champions = ["m-4", "m-3", "m-2", "m-1", "m-0"]

    assert is_leftover(old, Standing(SERVES, champions, [], is_running=False))
    assert not is_leftover(old, Standing(endpoint, champions, [], is_running=False))
