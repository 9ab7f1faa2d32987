"""Our statistics beside scipy's, whose answers are written down here: scipy is no dependency.

The values are those of scipy 1.17.1, each by the command above it.
"""

import math

import pytest

from driftwheel.drift.g_test import GTest
from driftwheel.drift.pair import Pair
from driftwheel.drift.significance import chi_square_survival
from driftwheel.drift.summaries import summarise_column
from driftwheel.drift.vanished_categories import VanishedCategories
from driftwheel.drift.wasserstein import Wasserstein

BEFORE = [3, 5, 6, 8, 9, 12, 15, 20, 21, 30]
NOW = [4, 6, 9, 11, 14, 18, 22, 25, 31, 40, 44, 50]


def numbers(before, now):
    one = summarise_column(before, "number")
    return Pair(one, summarise_column(now, "number", like=one))


def categories(before, now):
    made = [
        summarise_column([name for name, times in counts.items() for _ in range(times)], "category")
        for counts in (before, now)
    ]
    return Pair(*made)


def test_wasserstein_is_scipys_to_a_cell():
    # By scipy.stats.wasserstein_distance(BEFORE, NOW) / numpy.std(BEFORE):
    expected = 9.933333333333332 / 8.129575634681062

    assert Wasserstein().score(numbers(BEFORE, NOW)).effect == pytest.approx(expected, rel=0.01)


def test_wasserstein_of_a_plain_shift_is_the_shift():
    far = [value + 16 for value in BEFORE]

    effect = Wasserstein().score(numbers(BEFORE, far)).effect

    assert effect == pytest.approx(16 / 8.129575634681062, rel=0.01)


def test_wasserstein_has_an_answer_for_a_baseline_that_never_moved():
    still = Wasserstein().score(numbers([7.0] * 50, [7.0] * 40))
    moved = Wasserstein().score(numbers([7.0] * 500, [9.0] * 500))

    assert (still.effect, still.p_value) == (0.0, 1.0)
    assert moved.effect == pytest.approx(2.0, rel=0.01)
    assert moved.p_value < 1e-9
    assert Wasserstein().noise(numbers([7.0] * 50, [7.0] * 40), 0.01) == 0.0


def test_one_enormous_value_in_a_small_window_is_no_sure_drift():
    ordinary = [float(n % 100) for n in range(20_000)]

    score = Wasserstein().score(numbers(ordinary, [*ordinary[:499], 1e6]))

    assert score.effect > 1, "the mean has moved far"
    assert score.p_value > 0.1, "by a single row"


def test_the_g_test_is_scipys_where_no_value_is_rare():
    pair = categories({"a": 300, "b": 500, "c": 200}, {"a": 40, "b": 45, "c": 15})

    score = GTest().score(pair)

    # scipy.stats.chi2_contingency([[300, 500, 200], [40, 45, 15]], correction=False,
    #                              lambda_="log-likelihood") -> 4.441542192189042, 0.1085253930459169
    assert score.p_value == pytest.approx(0.1085253930459169, rel=1e-9)
    assert chi_square_survival(4.441542192189042, 2) == pytest.approx(0.1085253930459169, rel=1e-9)


def test_the_effect_of_the_g_test_has_the_end_its_range_says():
    effect = GTest().score(categories({"a": 10**5}, {"b": 10**5})).effect

    assert effect == pytest.approx(math.sqrt(8 * math.log(2)), abs=0.01)


def test_a_vanished_value_is_as_surprising_as_the_hypergeometric_zero():
    pair = categories({"a": 70, "b": 6}, {"a": 40})

    # scipy.stats.hypergeom(116, 6, 40).pmf(0), twice for two values
    assert VanishedCategories().score(pair).p_value == pytest.approx(2 * 0.07367839468382117, rel=1e-9)


def test_a_value_that_may_hide_behind_the_cap_has_not_vanished():
    window = summarise_column(["a"] * 500 + ["x" * 300], "category")
    before = summarise_column(["a"] * 500 + ["b"] * 500, "category")

    assert VanishedCategories().score(Pair(before, window)).p_value == 1.0
