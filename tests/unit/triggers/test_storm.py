"""A small turn of ``benchmarks/retraining_storm.py``: worlds that never stop asking stay within budgets."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def storm() -> ModuleType:
    path = ROOT / "benchmarks" / "retraining_storm.py"
    spec = importlib.util.spec_from_file_location("retraining_storm", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def month(storm: ModuleType, name: str, days: int = 2) -> Any:
    (world,) = (world for world in storm.WORLDS if world.name == name)
    return storm.simulate(world, days=days, seed=1)


@pytest.mark.case("DR-03")
def test_a_drifting_world_without_labels_trains_nothing_and_says_so_once_a_day(storm: ModuleType) -> None:
    found = month(storm, "drift, no labels")

    assert found.trainings.total() == 0
    assert set(found.answers) == {"unconfirmed", "waiting_for_labels"}
    assert found.decisions <= 4


@pytest.mark.case("DR-05")
@pytest.mark.parametrize("name", ["drift, useless labels", "drift, every training fails"])
def test_useless_labels_end_in_one_alert_and_ever_rarer_trainings(storm: ModuleType, name: str) -> None:
    found = month(storm, name, days=4)

    assert found.trainings.total() == 5
    assert found.trainings[3] <= 1
    assert found.alerts["cannot improve"] == 1
    assert found.alerts.total() == 3
    assert found.most_at_once == 1


def test_drift_that_flaps_every_hour_is_held_by_the_same_back_off(storm: ModuleType) -> None:
    found = month(storm, "flapping every hour, useless labels")

    assert 3 <= found.trainings.total() <= 4
    assert found.alerts["cannot improve"] == 1


def test_models_that_keep_winning_are_still_bounded_by_the_days_cost(storm: ModuleType) -> None:
    found = month(storm, "drift that every new model only moves")

    assert max(found.trainings.values()) == 6
    assert max(found.cost.values()) <= 0.5
    assert found.answers["budget_spent"] > 0


def test_files_that_pour_in_are_gathered_into_few_runs(storm: ModuleType) -> None:
    found = month(storm, "two useless files an hour, and drift", days=1)

    assert found.trainings.total() <= 7
    assert found.most_at_once == 1
