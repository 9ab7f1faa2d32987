import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftwheel.drift.significance import (
    benjamini_hochberg,
    chi_square_quantile,
    chi_square_survival,
    gamma_lower,
    gamma_upper,
    kolmogorov_survival,
    normal_two_sided,
    poisson_at_least,
    two_proportions,
)

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")


@given(st.floats(0.5, 2_000), st.floats(0, 5_000))
def test_the_incomplete_gamma_functions_are_scipys(a, x):
    assert gamma_upper(a, x) == pytest.approx(special.gammaincc(a, x), rel=1e-8, abs=1e-12)
    assert gamma_lower(a, x) == pytest.approx(special.gammainc(a, x), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 3, 11, 100, 499])
def test_chi_square_tails_are_right_far_out(degrees):
    for tail in (0.5, 0.01, 1e-6, 1e-12):
        statistic = stats.chi2.isf(tail, degrees)

        assert chi_square_survival(statistic, degrees) == pytest.approx(tail, rel=1e-6)
        assert chi_square_quantile(tail, degrees) == pytest.approx(statistic, rel=1e-6)


@pytest.mark.parametrize("x", [0.05, 0.2, 0.3, 0.5, 0.828, 1.2, 1.95, 4.0])
def test_the_kolmogorov_series_is_scipys(x):
    assert kolmogorov_survival(x) == pytest.approx(special.kolmogorov(x), abs=1e-9)


@pytest.mark.parametrize(("count", "mean"), [(0, 1.0), (1, 0.01), (5, 2.5), (40, 20.0), (300, 290.0)])
def test_poisson_tails_are_scipys(count, mean):
    assert poisson_at_least(count, mean) == pytest.approx(stats.poisson.sf(count - 1, mean), rel=1e-9)


@pytest.mark.parametrize(
    ("one", "of_one", "other", "of_other"),
    [(0, 500, 3, 500), (3, 500, 0, 20_000), (9, 10, 2, 40), (1, 1_000, 1_000, 1_000_000), (0, 50, 50, 50)],
)
def test_rare_counts_are_judged_exactly(one, of_one, other, of_other):
    rows, hits = of_one + of_other, one + other
    null = stats.hypergeom(rows, hits, of_one)
    expected = min(1.0, 2 * min(null.cdf(one), null.sf(one - 1)))

    assert two_proportions(one, of_one, other, of_other) == pytest.approx(expected, rel=1e-6)


def test_common_counts_are_judged_by_the_pooled_z_test():
    table = [[300, 700], [250, 750]]

    expected = stats.chi2_contingency(table, correction=False).pvalue

    assert two_proportions(300, 1_000, 250, 1_000) == pytest.approx(expected, rel=1e-9)


def test_samples_without_rows_or_without_a_difference_prove_nothing():
    assert two_proportions(0, 0, 5, 10) == 1.0
    assert two_proportions(0, 10, 0, 10) == two_proportions(10, 10, 5, 5) == 1.0
    assert chi_square_survival(5.0, 0) == chi_square_survival(0.0, 3) == 1.0
    assert normal_two_sided(0) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_corrected_p_values_are_scipys(p_values):
    expected = stats.false_discovery_control(p_values, method="bh")

    np.testing.assert_allclose(benjamini_hochberg(p_values), expected, rtol=1e-12)


def test_no_p_value_is_corrected_to_less_than_it_was():
    assert benjamini_hochberg([]) == []
    assert benjamini_hochberg([0.2]) == [0.2]
    assert all(math.isclose(p, 1.0) for p in benjamini_hochberg([1.0, 1.0]))
