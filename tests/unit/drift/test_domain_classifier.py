"""The domain classifier: an AUC as others count it, silent on one population, awake to joint drift."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from driftwheel.drift.domain_classifier import compare_scores, judge
from driftwheel.jobs.domain_classifier import tell_apart
from driftwheel_cli.main import cli

KINDS = {"x": "number", "y": "number", "shop": "category"}


def rows(seed, n, correlation=0.0, gaps=0.0, shops=("A", "B", "C")):
    random = np.random.default_rng(seed)
    x, other = random.normal(size=n), random.normal(size=n)
    y = correlation * x + np.sqrt(1 - correlation**2) * other
    missing = random.random(n) < gaps
    return {
        "x": [None if gone else value for value, gone in zip(x.tolist(), missing, strict=True)],
        "y": y.tolist(),
        "shop": random.choice(shops, n).tolist(),
    }


@pytest.mark.parametrize("decimals", [12, 1, 0])
def test_auc_and_p_are_those_of_mann_and_whitney_with_ties_too(decimals):
    random = np.random.default_rng(1)
    before, now = random.normal(size=211).round(decimals), random.normal(0.2, 1, 347).round(decimals)

    found = compare_scores(before, now)

    known = stats.mannwhitneyu(now, before, alternative="greater", method="asymptotic", use_continuity=False)
    assert found.value == pytest.approx(known.statistic / (211 * 347))
    assert found.p_value == pytest.approx(known.pvalue)


def test_the_standard_error_is_what_repetition_shows():
    random = np.random.default_rng(2)
    found = [compare_scores(random.normal(size=150), random.normal(0.7, 1, 250)) for _ in range(400)]

    assert np.mean([one.error for one in found]) == pytest.approx(
        np.std([one.value for one in found]), rel=0.1
    )


def test_scores_that_are_all_equal_tell_nothing():
    found = judge([(np.full(50, 0.5), np.full(60, 0.5))], {"x": 0.0})

    assert (found.auc, found.verdict, found.importances) == (0.5, "none", {})
    assert "cannot be told apart" in found.sentence


def test_an_auc_below_the_threshold_is_no_drift_however_significant():
    random = np.random.default_rng(3)
    fold = (random.normal(size=50_000), random.normal(0.1, 1, 50_000))

    found = judge([fold], {"x": 1.0})

    assert found.p_value < 1e-10
    assert found.auc < 0.55
    assert found.verdict == "none"


def test_one_population_is_flagged_no_more_often_than_declared():
    found = [tell_apart(rows(seed, 500), rows(1_000 + seed, 500), KINDS) for seed in range(4)]

    assert [one.verdict for one in found] == ["none"] * 4
    assert 0.4 < np.mean([one.auc for one in found]) < 0.55


def test_drift_that_only_the_columns_together_show_is_found_and_explained():
    found = tell_apart(rows(1, 2_000), rows(2, 2_000, correlation=0.8), KINDS)

    assert found.verdict == "drift"
    assert found.low > 0.55
    assert set(list(found.importances)[:2]) == {"x", "y"}
    assert sum(found.importances.values()) == pytest.approx(1)


@pytest.mark.parametrize("change", [{"gaps": 0.3}, {"shops": ("A", "B", "D")}])
def test_gaps_and_new_categories_are_told_apart(change):
    found = tell_apart(rows(1, 1_000), rows(2, 1_000, **change), KINDS)

    assert found.verdict == "drift"
    assert next(iter(found.importances)) == ("x" if "gaps" in change else "shop")


def test_the_same_rows_give_the_same_answer_and_too_few_give_none():
    few = tell_apart(rows(1, 499), rows(2, 5_000), KINDS)

    assert (few.verdict, few.auc) == ("insufficient_data", None)
    assert "too few rows" in few.sentence
    assert tell_apart(rows(1, 600), rows(2, 600), KINDS) == tell_apart(rows(1, 600), rows(2, 600), KINDS)


def write(path: Path, columns: dict[str, list]) -> Path:
    lines = [
        "id,x,y,shop",
        *(f"r{n},{x},{y},{s}" for n, (x, y, s) in enumerate(zip(*columns.values(), strict=True))),
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_compare_asks_the_classifier_where_it_is_told_to(tmp_path):
    before, now = write(tmp_path / "a.csv", rows(1, 1_500)), write(tmp_path / "b.csv", rows(2, 1_500, 0.8))
    report = tmp_path / "report.json"

    told = CliRunner().invoke(
        cli, ["compare", str(before), str(now), "--domain-classifier", "--json", str(report)]
    )

    assert told.exit_code == 3, told.output
    assert "rows can be told apart, mostly by" in told.output
    found = json.loads(report.read_text())["domain_classifier"]
    by = [column["name"] for column in found["importances"]]
    assert set(by[:2]) == {"x", "y"}
    assert "id" not in by
