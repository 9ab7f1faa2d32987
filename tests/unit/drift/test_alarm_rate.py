"""No drift must stay silent at any window size; each planted change must be found."""

from typing import get_args

import numpy as np
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.limits import DriftTestName, Limits
from driftwheel.drift.significance import poisson_at_least
from driftwheel.drift.summaries import summarise
from driftwheel.drift.window import Window, WindowBuilder

EVERY_TEST = Limits(tests=list(get_args(DriftTestName)))
WINDOWS = 300


def frame(world, summary):
    """Wrap a drawn summary as a baseline; scores and labels play no part here."""
    empty = build_baseline({}, {}, [0.2, 0.8], [0.0, 1.0], {})
    names = summary.columns
    return empty | summary.to_json() | {"kinds": world.kinds, "weights": dict.fromkeys(names, 1 / len(names))}


@pytest.mark.parametrize("rows", [500, 2_000, 20_000])
def test_windows_without_drift_alarm_no_more_often_than_declared(world, rows):
    rng = np.random.default_rng(rows)
    alarms = []

    for number in range(WINDOWS):
        if number % 10 == 0:
            baseline = frame(world, world.draw(rng, world.population, 20_000))
        report = check(baseline, Window(world.draw(rng, world.population, rows)), EVERY_TEST)
        if report.severity != "none":
            alarms.append(report.sentence)

    # Fails where so many alarms would be a one-in-a-thousand chance at the declared rate.
    assert poisson_at_least(len(alarms), EVERY_TEST.significance * WINDOWS) > 0.001, alarms


def test_p_values_are_as_small_as_chance_makes_them(world):
    rng = np.random.default_rng(5)
    p_values: dict[str, list[float]] = {}

    for _ in range(100):
        baseline = frame(world, world.draw(rng, world.population, 20_000))
        report = check(baseline, Window(world.draw(rng, world.population, 1_000)), EVERY_TEST)
        for feature in report.features:
            for test in feature.tests:
                p_values.setdefault(test.kind, []).append(test.p_value)

    for kind, values in p_values.items():
        below = np.mean(np.array(values) < 0.05)
        assert below <= 0.08, kind
        if kind in {"psi", "jensen_shannon", "chi_square"}:
            assert below >= 0.02, kind


def planted(rng, columns):
    """Change nine things as a world would, and one by too little to matter."""
    rows = len(columns["num_0"])
    changed = dict(columns)
    changed["num_0"] = columns["num_0"] + 0.01 * 10
    changed["num_1"] = columns["num_1"] + 0.2
    changed["num_8"] = np.where(rng.random(rows) < 0.05, columns["num_8"] * 9 / 5 + 32, columns["num_8"])
    changed["num_9"] = columns["num_9"] * np.sqrt(1.3)
    changed["num_5"] = np.where(rng.random(rows) < 1 / 9, np.nan, columns["num_5"])
    shares = [0.392, 0.294, 0.196, 0.088, 0.03]
    changed["cat_1"] = rng.choice(["a", "b", "c", "d", "rare"], rows, p=shares)
    changed["cat_0"] = np.where(rng.random(rows) < 0.005, "BOS", columns["cat_0"])
    changed["cat_3"] = np.where(rng.random(rows) < 0.02, None, columns["cat_3"].astype(object))
    return changed


CHANGED = {"num_1", "num_5", "num_8", "num_9", "cat_1", "cat_0", "cat_3", "(label)"}


def test_every_planted_change_is_found_and_nothing_else(world):
    found: dict[str, int] = {}
    runs = 20
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        labels = (rng.random(20_000) < 0.229).astype(float)
        scores = rng.random(20_000)
        baseline = build_baseline(world.columns(rng, 20_000), world.kinds, scores, labels, {})
        window = WindowBuilder(baseline)
        now = planted(rng, world.columns(rng, 10_000))
        window.add(now, rng.random(10_000), (rng.random(10_000) < 0.285).astype(float))

        report = check(baseline, window.build(), Limits())

        for finding in report.findings:
            found[finding.feature] = found.get(finding.feature, 0) + 1

    assert {name for name, times in found.items() if times >= 0.95 * runs} == CHANGED
    assert sum(times for name, times in found.items() if name not in CHANGED) <= 1


def test_an_immaterial_shift_is_silent_however_many_rows_there_are():
    rng = np.random.default_rng(9)
    kinds = {"x": "number"}
    baseline = build_baseline({"x": rng.normal(0, 1, 1_000_000)}, kinds, [0.5], [1.0], {})
    window = WindowBuilder(baseline)
    window.add({"x": rng.normal(0.012, 1, 1_000_000)}, np.full(1_000_000, 0.5))

    report = check(baseline, window.build(), Limits())

    feature = next(f for f in report.features if f.name == "x")
    assert min(test.adjusted for test in feature.tests) < 0.01, "it is there, and surely"
    assert feature.status == "stable"


def test_a_baseline_made_of_summaries_equals_one_made_of_rows(world):
    names = list(world.kinds)
    table = world.columns(np.random.default_rng(1), 1_000)

    made = build_baseline(table, world.kinds, [], [], {})

    assert made["columns"] == summarise(table, world.kinds).to_json()["columns"]
    assert sorted(made["columns"]) == sorted(names)
