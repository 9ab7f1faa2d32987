import numpy as np
import pytest

from driftwheel.gate.comparison import POISSON, compare
from driftwheel.gate.metrics import METRICS


@pytest.fixture
def rows():
    generator = np.random.default_rng(3)
    labels = (generator.random(400) < 0.3).astype(float)
    scores = np.round(np.clip(0.3 * labels + generator.random(400) * 0.7, 0, 1), 2)
    return labels, scores


def slow_auc(labels, scores, weights):
    won = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = weights[i] * weights[j]
            total += pair
            won += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return won / total


def test_auc_counts_a_tie_as_half_a_win():
    labels = np.array([1.0, 1, 0, 0])

    assert METRICS["auc"].value(labels, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert METRICS["auc"].value(labels, np.array([0.9, 0.5, 0.5, 0.1])) == 0.875
    assert METRICS["auc"].value(labels, np.array([0.9, 0.8, 0.2, 0.1])) == 1.0
    assert METRICS["auc"].value(labels, np.array([0.1, 0.2, 0.8, 0.9])) == 0.0


def test_weighted_auc_with_many_ties_is_the_pairwise_definition(rows):
    labels, scores = rows
    weights = POISSON[np.random.default_rng(1).integers(0, 65_536, size=(3, 400), dtype=np.uint16)]

    found = METRICS["auc"].prepare(labels, scores)(weights)

    assert len(np.unique(scores)) < 101
    np.testing.assert_allclose(found, [slow_auc(labels, scores, row) for row in weights], rtol=1e-6)


def test_the_metrics_of_unit_weights_are_their_textbook_formulas(rows):
    labels, scores = rows
    said = scores >= 0.5
    sure = np.clip(scores, 1e-15, 1 - 1e-15)
    expected = {
        "logloss": -np.mean(labels * np.log(sure) + (1 - labels) * np.log(1 - sure)),
        "f1": 2 * np.sum(said & (labels == 1)) / (np.sum(said) + np.sum(labels)),
        "rmse": np.sqrt(np.mean((labels - scores) ** 2)),
        "mae": np.mean(np.abs(labels - scores)),
    }

    for name, value in expected.items():
        assert METRICS[name].value(labels, scores) == pytest.approx(value, rel=1e-6)


def test_weighting_a_row_twice_is_the_same_as_having_it_twice(rows):
    labels, scores = rows
    weights = np.ones((1, 400), dtype=np.float32)
    weights[0, :50] = 2
    doubled = np.r_[labels, labels[:50]], np.r_[scores, scores[:50]]

    for metric in METRICS.values():
        assert metric.prepare(labels, scores)(weights)[0] == pytest.approx(metric.value(*doubled), rel=1e-6)


def test_gain_is_positive_when_better_whatever_the_direction():
    assert METRICS["auc"].gain(0.8, 0.7) > 0
    assert METRICS["rmse"].gain(0.8, 0.7) < 0


def test_bootstrap_weights_are_poisson_with_mean_and_variance_one():
    assert POISSON.mean() == pytest.approx(1, abs=1e-3)
    assert POISSON.var() == pytest.approx(1, abs=1e-2)


def test_the_interval_of_a_mean_has_the_width_theory_gives():
    errors = np.random.default_rng(5).normal(size=2_000)

    found = compare(METRICS["mae"], np.zeros(2_000), errors, None, tail=0.05, seed=1).challenger

    standard_error = np.abs(errors).std() / np.sqrt(2_000)
    assert found.value - found.low == pytest.approx(1.645 * standard_error, rel=0.15)
    assert found.high - found.value == pytest.approx(1.645 * standard_error, rel=0.15)


def test_pairing_makes_the_gain_of_similar_models_far_surer_than_each_value(rows):
    labels, scores = rows
    nudged = np.clip(scores + np.random.default_rng(2).normal(scale=0.005, size=400), 0, 1)

    found = compare(METRICS["logloss"], labels, nudged, scores, tail=0.05, seed=1)

    assert found.gain.high - found.gain.low < (found.champion.high - found.champion.low) / 3


def test_the_same_model_gains_exactly_nothing_in_every_replicate(rows):
    labels, scores = rows

    for metric in METRICS.values():
        gain = compare(metric, labels, scores, scores, tail=0.05, seed=1).gain
        assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_one_sided_bounds_miss_the_truth_as_rarely_as_declared():
    missed = 0
    for seed in range(200):
        errors = np.random.default_rng(seed).normal(size=300)
        bounds = compare(METRICS["mae"], np.zeros(300), errors, None, tail=0.05, seed=seed, replicates=400)
        missed += bounds.challenger.low > np.sqrt(2 / np.pi)

    assert missed / 200 == pytest.approx(0.05, abs=0.04)
