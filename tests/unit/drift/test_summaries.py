import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftwheel.drift.cells import ZERO, cell_bounds, cell_middles, count_cells, exact_sum
from driftwheel.drift.column import CategorySummary, NumberSummary
from driftwheel.drift.summaries import CATEGORY_CAP, Summariser, merge, summarise, summary_from_json

finite = st.floats(allow_nan=False, allow_infinity=False)
cells = st.one_of(finite, st.sampled_from([None, math.nan, math.inf, -math.inf]))
KINDS = {"x": "number", "y": "number", "z": "integer", "c": "category", "t": "timestamp"}
rows = st.lists(
    st.tuples(
        cells,
        cells,
        st.one_of(st.integers(-3, 3), st.none()),
        st.sampled_from(["a", "b", None, "ü"]),
        st.sampled_from(["2013", None]),
    )
)


def columns(table):
    made = zip(*table, strict=True) if table else ((),) * len(KINDS)
    return {name: list(column) for name, column in zip(KINDS, made, strict=True)}


def numbers(values) -> NumberSummary:
    made = summarise({"x": values}, {"x": "number"}).columns["x"]
    assert isinstance(made, NumberSummary)
    return made


def categories(values) -> CategorySummary:
    made = summarise({"c": values}, {"c": "category"}).columns["c"]
    assert isinstance(made, CategorySummary)
    return made


@settings(max_examples=60, deadline=None)
@given(rows, rows)
def test_the_merge_of_two_parts_is_the_summary_of_the_whole_bit_for_bit(one, other):
    whole = summarise(columns(one + other), KINDS)

    parts = [summarise(columns(part), KINDS, like=whole) for part in (one, other)]

    assert merge(*parts).dumps() == whole.dumps()
    assert merge(*reversed(parts)).dumps() == whole.dumps()


@settings(max_examples=60, deadline=None)
@given(rows.filter(bool), rows, rows, st.booleans())
def test_parts_like_a_baseline_merge_bit_for_bit_however_far_their_numbers_are(first, one, other, older):
    """Numbers far beyond the baseline's are added unrounded, and beside an older one all of them are."""
    document = summarise(columns(first), KINDS).to_json()
    if older:
        for column in document["columns"].values():
            column.pop("grain", None)
    like = summary_from_json(document)
    whole = summarise(columns(one + other), KINDS, like)

    parts = [summarise(columns(part), KINDS, like) for part in (one, other)]
    bit_by_bit = Summariser(KINDS, like)
    for part in (one, other):
        bit_by_bit.add(columns(part))

    assert merge(*parts).dumps() == whole.dumps()
    assert bit_by_bit.build().dumps() == whole.dumps()


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=1), st.floats(1e-3, 1e6))
def test_sums_are_those_of_the_distances_each_rounded_once(values, spread):
    like = summarise({"x": [0.0, spread, 0.0]}, {"x": "number"})
    made = summarise({"x": values}, {"x": "number"}, like).columns["x"]
    grain = Fraction(2) ** made.grain

    rounded = [v if abs(v) >= grain * 2**48 else round(Fraction(v) / grain) * grain for v in values]

    assert Fraction(spread) < grain * 2**41
    assert made.total == sum(Fraction(max(-1e150, min(1e150, v))) for v in rounded)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_a_summary_survives_its_json(table):
    summary = summarise(columns(table), KINDS)

    again = summary_from_json(json.loads(summary.dumps()))

    assert again.dumps() == summary.dumps()


@settings(max_examples=60, deadline=None)
@given(st.lists(finite))
def test_an_exact_sum_is_what_fsum_says_before_rounding(values):
    total = exact_sum(np.array(values, dtype=np.float64))

    try:
        assert float(total) == math.fsum(values)
    except OverflowError:  # of the sum, or on the way to it
        assert total == sum(map(Fraction, values))


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e30, 1e30))
def test_a_value_lies_in_its_cell_and_the_cell_is_narrow(distance):
    cell = np.flatnonzero(count_cells(np.array([distance])))

    low, high = cell_bounds(cell)
    near = float(np.float32(distance))

    assert low[0] <= near <= high[0]
    if abs(near) > 1e-30:
        assert abs(float(cell_middles(cell)[0]) - near) <= abs(near) / 128


def test_cells_are_in_the_order_of_their_values():
    values = np.sort(np.random.default_rng(1).standard_cauchy(2000))

    of_each = [int(np.flatnonzero(count_cells(np.array([value])))[0]) for value in values]

    assert of_each == sorted(of_each)
    assert int(np.flatnonzero(count_cells(np.array([0.0])))[0]) == ZERO


def test_moments_of_numbers_far_from_zero_do_not_cancel():
    values = 1e9 + np.random.default_rng(2).normal(0, 1e-3, 10_000)

    summary = numbers(values)

    assert summary.mean == pytest.approx(values.mean(), rel=1e-15)
    assert summary.sd == pytest.approx(values.std(), rel=1e-6)


def test_quantiles_are_right_to_the_width_of_a_cell():
    values = np.random.default_rng(3).normal(60, 10, 50_000)

    summary = numbers(values)

    for share in (0.01, 0.25, 0.5, 0.9):
        assert summary.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.2)


def test_missing_and_impossible_numbers_are_counted_apart():
    summary = numbers([1.0, None, math.nan, "3.5", "warm", math.inf, 10**400])

    assert (summary.count, summary.nulls, summary.invalid) == (2, 2, 3)
    assert (summary.minimum, summary.maximum) == (1.0, 3.5)


def test_numbers_beyond_float32_stay_countable():
    summary = numbers([0.0, 1e300, -1e300])

    assert (summary.count, summary.minimum, summary.maximum) == (3, -1e300, 1e300)
    assert len(summary.cells) == 3


def test_a_column_without_any_value_has_no_mean():
    summary = numbers([None, None])

    assert (summary.nulls, summary.mean, summary.sd, summary.quantile(0.5)) == (2, None, None, None)


def test_an_empty_part_merges_into_anything():
    whole = summarise({"x": [5.0, 6.0]}, {"x": "number"})
    nothing = summarise({"x": []}, {"x": "number"})

    assert merge(whole, nothing).dumps() == whole.dumps()
    assert merge(nothing, whole).dumps() == whole.dumps()


def test_booleans_are_the_same_category_however_they_were_stored():
    stored = ([True, False, None], ["true", "false", None], [1.0, 0.0, None], np.array([1.0, 0.0, math.nan]))

    made = [summarise({"b": list(values)}, {"b": "boolean"}).dumps() for values in stored]

    assert set(made) == {made[0]}
    assert '"false":1,"true":1' in made[0]


def test_the_rarest_categories_beyond_the_cap_are_counted_together():
    values = [f"v{n}" for n in range(CATEGORY_CAP + 10) for _ in range(1 + (n < 5))]

    summary = categories(values)

    assert len(summary.values) == CATEGORY_CAP
    assert summary.other == 10
    assert summary.count == len(values)
    assert summary.values["v0"] == 2


def test_an_enormous_category_value_is_counted_but_not_kept():
    summary = categories(["a", "x" * 10_000])

    assert (summary.values, summary.other) == ({"a": 1}, 1)


def test_summaries_around_other_centres_refuse_to_merge():
    one, other = (summarise({"x": [value]}, {"x": "number"}) for value in (1.0, 2.0))

    with pytest.raises(ValueError, match=r"around 1\.0 and around 2\.0"):
        merge(one, other)


def test_columns_that_do_not_fit_together_are_refused_by_name():
    with pytest.raises(ValueError, match=r"\['y'\]"):
        summarise({"x": [1]}, {"x": "number", "y": "number"})
    with pytest.raises(ValueError, match="differ in length"):
        summarise({"x": [1], "y": []}, {"x": "number", "y": "number"})
    with pytest.raises(ValueError, match="colour"):
        summarise({"x": [1]}, {"x": "colour"})
