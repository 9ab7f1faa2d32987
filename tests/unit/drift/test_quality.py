import numpy as np
import pytest

from driftwheel.drift.quality import measure
from driftwheel.drift.quality_loss import quality_loss


def sample(rng, rows, skill):
    labels = (rng.random(rows) < 0.3).astype(float)
    return rng.normal(labels * skill, 1), labels


def test_auc_counts_pairs_and_halves_ties():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 5, 200).astype(float)
    labels = (rng.random(200) < 0.4).astype(float)

    pairs = np.sign(scores[labels == 1][:, None] - scores[labels == 0][None, :])

    assert measure(scores, labels, "auc").value == pytest.approx(((pairs + 1) / 2).mean())


@pytest.mark.parametrize(("metric", "skill"), [("auc", 1.0), ("f1", 1.0), ("logloss", 0.5), ("rmse", 0.5)])
def test_an_interval_holds_the_truth_19_times_of_20(metric, skill):
    rng = np.random.default_rng(2)

    def measured(rows):
        scores, labels = sample(rng, rows, skill)
        if metric == "logloss":
            scores = 1 / (1 + np.exp(-scores))
        return measure(scores, labels, metric)

    truth = measured(400_000).value
    held = sum((m := measured(600)).low <= truth <= m.high for _ in range(300))

    assert 0.91 <= held / 300 <= 0.98


def test_rows_without_a_label_only_lower_the_coverage():
    scores = np.array([0.1, 0.9, 0.5, 0.3])
    labels = np.array([0.0, 1.0, np.nan, np.nan])

    quality = measure(scores, labels, "auc", predicted=10)

    assert (quality.value, quality.labelled, quality.predicted, quality.coverage) == (1.0, 2, 10, 0.2)


def test_a_metric_that_is_not_defined_is_not_known():
    ones = np.ones(5)

    assert measure(ones, ones, "auc").value is None
    assert measure(np.zeros(5), np.zeros(5), "f1").value is None
    assert measure(np.zeros(0), np.zeros(0), "rmse").value is None
    assert measure(ones, np.zeros(5), "mae").value == 1.0


def test_scores_and_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="join them by row id"):
        measure(np.ones(2), np.ones(3), "auc")


def test_a_clear_loss_of_quality_is_strong_and_sure():
    rng = np.random.default_rng(3)
    before = measure(*sample(rng, 5_000, 1.0), "auc").to_json()
    live = measure(*sample(rng, 5_000, 0.5), "auc")

    loss = quality_loss(before, live)

    assert loss.magnitude == "strong"
    assert loss.p_value < 1e-6
    assert "labelled rows" in loss.finding().sentence


def test_few_labels_and_equal_quality_prove_nothing():
    rng = np.random.default_rng(4)
    before = measure(*sample(rng, 5_000, 1.0), "auc").to_json()

    assert quality_loss(before, measure(*sample(rng, 100, 0.1), "auc")) is None
    assert quality_loss(before, None) is None
    assert quality_loss(before, measure(*sample(rng, 5_000, 1.0), "auc")).p_value > 0.01


def test_a_rising_error_is_a_loss_relative_to_what_it_was():
    rng = np.random.default_rng(5)
    truth = rng.normal(0, 10, 4_000)
    before = measure(truth + rng.normal(0, 1, 4_000), truth, "rmse").to_json()

    loss = quality_loss(before, measure(truth + rng.normal(0, 1.5, 4_000), truth, "rmse"))

    assert loss.magnitude == "strong"
    assert loss.loss == pytest.approx(0.5, abs=0.05)
