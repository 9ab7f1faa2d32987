"""Every drift test, found in the list of all, held to the same checks: there is no exemption list."""

import doctest
import importlib
import re
from typing import get_args

import numpy as np
import pytest

from driftwheel.drift.battery import TESTS, battery
from driftwheel.drift.limits import DriftTestName, Limits
from driftwheel.drift.pair import Pair
from driftwheel.drift.summaries import Summary, summarise, summarise_column
from driftwheel.spec import Drift


def samples(kind, seed, rows=4_000, *, changed=False):
    rng = np.random.default_rng(seed)
    if kind == "number":
        values = rng.normal(3 if changed else 0, 1, rows)
        values[rng.random(rows) < (0.5 if changed else 0.1)] = np.nan
        return values.tolist()
    shares = [0.1, 0.6, 0.0, 0.3] if changed else [0.5, 0.3, 0.2, 0.0]
    values = rng.choice(["a", "b", "c", "new"], rows, p=shares).astype(object)
    values[rng.random(rows) < (0.5 if changed else 0.1)] = None
    return values.tolist()


def summary(kind, seed, rows=4_000, *, changed=False, like=None):
    if kind != "joint":
        return summarise_column(samples(kind, seed, rows, changed=changed), kind, like=like)
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(0, 1, (2, rows))
    columns = {"x": x, "y": (-0.6 if changed else 0.6) * x + 0.8 * noise, "z": rng.exponential(1, rows)}
    columns["z"][rng.random(rows) < 0.1] = np.nan
    numbers = dict.fromkeys(columns, "number")
    if like is None:
        return summarise(columns, numbers).joint
    return summarise(columns, numbers, like=Summary(0, {}, like)).joint


def pair(kind, *, changed):
    before = summary(kind, 1)
    return Pair(before, summary(kind, 2, changed=changed, like=before))


CASES = [(test, kind) for test in TESTS for kind in sorted(test.kinds)]


def test_the_list_and_the_spec_name_the_same_tests():
    assert sorted(test().kind for test in TESTS) == sorted(get_args(DriftTestName))
    assert {test.kind for test in battery(Limits())} == set(Limits().tests)


def test_a_model_that_declares_nothing_has_the_limits_of_two_files():
    assert Drift().limits == Limits()


@pytest.mark.parametrize("test", TESTS)
def test_it_says_its_formula_range_meaning_reference_and_an_example(test):
    said = " ".join(test.__doc__.split(">>>")[0].split())

    assert re.search(r"=|\|r - r'\||[Dd]ifference of|[Ss]hare (of|that)|√|sqrt\(", said), "the formula"
    assert re.search(r"\b0 (\(.*?\) )?to (\(?\d|infinity|√)", said), "the range"
    assert re.search(r"[(, ](18|19|20)\d\d\b", said), "the reference, with its year"
    meaning = rf"\b{test().strong:g}\b|thresholds are those of PSI|Strong is that of PSI|0\.5 large"
    assert re.search(meaning, said), "what its larger threshold means"
    assert test().strong > test().slight > 0
    assert ">>>" in test.__doc__, "a worked example, which test_examples runs"


@pytest.mark.parametrize(("test", "kind"), CASES)
def test_one_population_is_stable(test, kind):
    score = test().score(pair(kind, changed=False))

    assert score.effect < test().slight
    assert score.p_value > 0.01


@pytest.mark.parametrize(("test", "kind"), CASES)
def test_a_changed_population_is_a_strong_and_sure_effect(test, kind):
    score = test().score(pair(kind, changed=True))

    assert score.effect >= test().strong
    assert score.p_value < 1e-9


@pytest.mark.parametrize(("test", "kind"), CASES)
def test_the_noise_floor_sinks_with_the_rows_and_rises_with_the_certainty(test, kind):
    few = summary(kind, 3, rows=300)
    many = summary(kind, 3, rows=30_000)

    small, large = Pair(few, few), Pair(many, many)

    assert 0 < test().noise(large, 0.01) < test().noise(small, 0.01) <= test().noise(small, 1e-6)


@pytest.mark.parametrize("test", TESTS)
def test_a_docstring_says_formula_range_and_reference_and_its_example_runs(test):
    module = importlib.import_module(test.__module__)

    results = doctest.testmod(module)

    assert results.attempted > 0
    assert results.failed == 0
    assert " 0 " in f" {test.__doc__} " or "0 to" in test.__doc__
    assert any(year in test.__doc__ for year in map(str, range(1900, 2027))) or "SageMaker" in test.__doc__


@pytest.mark.parametrize("test", TESTS)
def test_a_slight_effect_is_smaller_than_a_strong_one(test):
    assert 0 < test().slight < test().strong


def test_the_declared_psi_threshold_is_what_counts_as_strong():
    psi = next(test for test in battery(Limits(psi_threshold=0.3)) if test.kind == "psi")

    assert (psi.strong, psi.slight) == (0.3, pytest.approx(0.03))


def test_kolmogorov_smirnov_is_scipys_to_a_cell():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    one, other = rng.normal(0, 1, 3_000), rng.normal(0.1, 1.1, 2_000)
    before = summarise_column(one, "number")
    test = next(t for t in TESTS if t().kind == "kolmogorov_smirnov")()

    score = test.score(Pair(before, summarise_column(other, "number", like=before)))
    exact = stats.ks_2samp(one, other)

    assert score.effect == pytest.approx(exact.statistic, abs=0.005)
    assert score.effect <= exact.statistic + 1e-12
    assert score.p_value == pytest.approx(exact.pvalue, rel=0.3)


def test_chi_square_is_scipys_where_no_value_is_rare():
    stats = pytest.importorskip("scipy.stats")
    before = summarise_column(["a"] * 300 + ["b"] * 500 + ["c"] * 200, "category")
    now = summarise_column(["a"] * 40 + ["b"] * 45 + ["c"] * 15, "category")
    test = next(t for t in TESTS if t().kind == "chi_square")()

    expected = stats.chi2_contingency([[300, 500, 200], [40, 45, 15]], correction=False).pvalue

    assert test.score(Pair(before, now)).p_value == pytest.approx(expected, rel=1e-9)
