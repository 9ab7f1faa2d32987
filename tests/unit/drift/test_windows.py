"""A small turn of ``benchmarks/windows.py``: how often calm windows alarm, how soon changed ones do."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.bench.size import FULL

from driftwheel.drift.significance import poisson_at_least
from driftwheel.spec import Drift, Triggers

ROOT = Path(__file__).parents[3]
ROWS = 500


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("windows_benchmark", ROOT / "benchmarks" / "windows.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.case("DR-01")
def test_calm_windows_alarm_no_more_often_than_declared_and_start_nothing(bench: ModuleType) -> None:
    windows = 1_000 if FULL else 80

    calm = bench.stationary(windows, ROWS, Drift(), Triggers(), seed=3)

    assert calm.windows == windows
    assert poisson_at_least(calm.alarms, Drift().significance * calm.windows) > 0.001
    assert calm.starts == 0
    # Where minor drift starts a run, two alarms among three windows do: three pairs of them.
    by_chance = 3 * Drift().significance ** 2 * windows
    assert poisson_at_least(calm.starts_at_minor, by_chance) > 0.01


@pytest.mark.case("DR-02")
@pytest.mark.parametrize(
    "name", ["0.5 sd", "1 sd", "2 sd", "a new category, 3 % of rows", "0 → 20 % missing"]
)
def test_a_change_is_seen_in_its_first_window(bench: ModuleType, name: str) -> None:
    found = list(bench.delays(bench.CHANGES[name], 2, ROWS, Drift(), Triggers(), seed=3))

    assert [alarm for alarm, _ in found] == [1] * 2
    if name in {"1 sd", "2 sd"}:
        assert [start for _, start in found] == [2] * 2


def test_a_share_is_given_with_its_exact_interval(bench: ModuleType) -> None:
    # Clopper and Pearson's bounds for 5 of 100: the beta quantiles B(0.025; 5, 96) and B(0.975; 6, 95).
    assert bench.clopper_pearson(5, 100) == pytest.approx((0.016432, 0.112835), abs=1e-6)
    assert bench.clopper_pearson(0, 100) == pytest.approx((0.0, 1 - 0.025**0.01), abs=1e-9)
    assert bench.clopper_pearson(100, 100)[1] == 1.0
    assert not math.isnan(bench.clopper_pearson(1, 2)[0])
