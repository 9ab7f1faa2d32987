"""Quality before labels: right while the label's relation to the inputs holds, blind when it changes."""

from typing import Any

import numpy as np
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.estimate import Estimate, calibration_of, cells_of, estimate, isotonic
from driftwheel.drift.limits import Limits
from driftwheel.drift.quality import auc, measure
from driftwheel.drift.window import WindowBuilder

EDGES = [number / 100 for number in range(101)]


def world(
    seed: int, rows: int, mean: float = 0.0, sd: float = 1.0, slope: float = 1.0
) -> tuple[Any, Any, Any]:
    """Inputs, an overconfident model's scores, and labels that follow the inputs with ``slope``."""
    dice = np.random.default_rng(seed)
    x = dice.normal(mean, sd, rows)
    labels = (dice.random(rows) < 1 / (1 + np.exp(-slope * x))).astype(float)
    return x, 1 / (1 + np.exp(-3 * x)), labels


def estimated(scores: Any, labels: Any, live: Any, metric: str = "auc") -> Estimate:
    known = calibration_of(scores, labels)
    assert known is not None
    return estimate(known, cells_of(live, known["edges"]), metric, minimum_rows=100)


def test_moved_inputs_move_the_estimate_to_what_labels_show() -> None:
    _, scores, labels = world(1, 20_000)
    _, live, truth = world(2, 5_000, mean=1.0, sd=0.4)
    shown, before = auc(live, truth)[0], auc(scores, labels)[0]
    assert shown is not None
    assert before is not None

    found = estimated(scores, labels, live)

    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= shown <= found.high
    assert abs(found.value - shown) < abs(before - shown) / 4


def test_a_changed_relation_is_not_seen() -> None:
    _, scores, labels = world(1, 20_000)
    _, live, truth = world(3, 5_000, slope=0.0)
    shown = auc(live, truth)[0]
    assert shown is not None

    found = estimated(scores, labels, live)

    assert found.low is not None
    assert shown < 0.55 < found.low


def test_the_interval_holds_what_labels_show_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(40):
        _, scores, labels = world(seed, 4_000)
        _, live, truth = world(1_000 + seed, 2_000, mean=0.7, sd=0.6)
        shown = auc(live, truth)[0]
        found = estimated(scores, labels, live)
        assert found.low is not None
        assert found.high is not None
        assert shown is not None
        held += found.low <= shown <= found.high

    assert held >= 34  # of 40: below it with probability 0.003 were the coverage 95 %


@pytest.mark.parametrize("metric", ["f1", "logloss"])
def test_other_metrics_are_those_of_the_expected_counts(metric: Any) -> None:
    _, scores, labels = world(4, 50_000)
    found = estimated(scores, labels, scores, metric)

    shown = measure(scores, labels, metric).value
    assert found.value is not None
    assert shown is not None
    assert abs(found.value / shown - 1) < 0.03


def test_shares_never_fall_and_pool_what_does() -> None:
    fitted = isotonic(np.array([3.0, 1.0, 0.0, 5.0]), np.array([4.0, 4.0, 0.0, 5.0]))

    assert fitted.tolist() == [0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("calibration", "rows", "metric", "reason"),
    [
        (None, 500, "auc", "no calibration"),
        (
            {"rows": [500] + [0] * 99, "positives": [10] + [0] * 99, "edges": EDGES},
            50,
            "auc",
            "fewer than 100",
        ),
        (
            {"rows": [500] + [0] * 99, "positives": [10] + [0] * 99, "edges": EDGES},
            500,
            "rmse",
            "not a classifier",
        ),
        ({"rows": [500] + [0] * 99, "positives": [0] * 100, "edges": EDGES}, 500, "auc", "one class only"),
    ],
)
def test_what_cannot_be_estimated_says_why(calibration: Any, rows: int, metric: str, reason: str) -> None:
    found = estimate(calibration, np.array([float(rows)] + [0.0] * 99), metric, minimum_rows=100)

    assert found.value is None
    assert reason in str(found.reason)


def test_regressions_and_scores_that_are_no_probabilities_have_no_calibration() -> None:
    assert calibration_of(np.array([0.2, 0.4]), np.array([1.5, 0.0])) is None
    assert calibration_of(np.array([2.0, -1.0]), np.array([1.0, 0.0])) is None


def checked(baseline: dict[str, Any]) -> Any:
    x, live, _ = world(2, 2_000)
    builder = WindowBuilder(baseline)
    builder.add({"x": x}, live)
    return check(baseline, builder.build(), Limits(minimum_rows=500))


def test_the_estimate_stands_beside_the_verdict_and_never_in_it() -> None:
    x, scores, labels = world(1, 20_000)
    baseline = build_baseline({"x": x}, {"x": "number"}, scores, labels, {"x": 1.0})
    edges = baseline["calibration"]["edges"]
    even = {"edges": edges, "rows": [200] * (len(edges) - 1), "positives": [100] * (len(edges) - 1)}
    hopeless = baseline | {"calibration": even}
    of_before = {name: value for name, value in baseline.items() if name != "calibration"}

    reports = [checked(each) for each in (baseline, hopeless, of_before)]

    assert [report.severity for report in reports] == ["none"] * 3
    assert [report.tests_made for report in reports] == [reports[0].tests_made] * 3
    assert reports[0].estimate["value"] > 0.7
    assert abs(reports[1].estimate["value"] - 0.5) < 0.01
    assert "no calibration" in reports[2].estimate["reason"]
