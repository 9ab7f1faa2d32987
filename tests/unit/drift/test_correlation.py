"""How columns go together: ranks, sums that merge, and a change that no single column shows."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.cells import codes_of
from driftwheel.drift.check import check
from driftwheel.drift.correlation import changes
from driftwheel.drift.feature import CORRELATIONS
from driftwheel.drift.joint import GRADE, PAIRS, summarise_joint_like
from driftwheel.drift.limits import Limits
from driftwheel.drift.pair import Pair
from driftwheel.drift.summaries import merge, summarise, summary_from_json
from driftwheel.drift.window import WindowBuilder

XY = {"x": "number", "y": "number"}


def normal(rng, rows, rho):
    x, noise = rng.normal(0, 1, (2, rows))
    return {"x": x, "y": rho * x + np.sqrt(1 - rho * rho) * noise}


def rho(columns):
    (found,) = summarise(columns, XY).joint.correlations
    return found


def judged(before, now, weights=None):
    kinds = dict.fromkeys(before, "number")
    baseline = build_baseline(before, kinds, [0.2, 0.8] * 300, [0.0, 1.0] * 300, weights or {})
    window = WindowBuilder(baseline)
    window.add(now, np.tile([0.2, 0.8], len(now["x"]) // 2))
    return check(json.loads(json.dumps(baseline)), window.build(), Limits())


def test_the_rank_correlation_is_scipys():
    # By scipy.stats.spearmanr(x, y).statistic of scipy 1.17.1:
    few = {"x": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "y": [2, 1, 4, 3, 7, 8, 6, 10, 9, 5]}
    assert rho(few) == pytest.approx(0.7454545454545454, abs=0.005)

    # The same of u and 0.6 u + 0.8 e, then of u and a Poisson variable of mean exp(u / 2):
    rng = np.random.default_rng(12)
    u = rng.normal(0, 1, 2_000)
    v = 0.6 * u + 0.8 * rng.normal(0, 1, 2_000)
    w = rng.poisson(np.exp(0.5 * u)).astype(float)
    assert rho({"x": u, "y": v}) == pytest.approx(0.5906809746702437, abs=0.002)
    assert rho({"x": u, "y": w}) == pytest.approx(0.4460148530623129, abs=0.002)


def test_fishers_z_is_as_wide_as_samples_of_one_population_are():
    rng = np.random.default_rng(3)

    def rains(rows):
        """Two columns that are mostly zero, and not zero together: ranks with heavy tails."""
        wet = rng.random(rows) < 0.1
        return {
            "x": np.where(wet, rng.exponential(1, rows), 0.0),
            "y": np.where(wet & (rng.random(rows) < 0.8), rng.exponential(1, rows), 0.0),
        }

    for draw in (lambda rows: normal(rng, rows, 0.5), rains):
        p_values = []
        for _ in range(12):
            before = summarise(draw(5_000), XY)
            for _ in range(15):
                now = summarise(draw(1_000), XY, like=before)
                p_values.append(changes(Pair(before.joint, now.joint))[0].p_value)
        assert 0.005 <= np.mean(np.array(p_values) < 0.05) <= 0.11


def test_columns_that_part_company_are_found_though_none_has_moved():
    rng = np.random.default_rng(1)
    others = {f"n{n}": rng.gamma(2, 1, 10_000) for n in range(6)}

    report = judged(normal(rng, 10_000, 0.6) | others, normal(rng, 10_000, -0.6) | others)

    (finding,) = report.findings
    assert (finding.feature, finding.code, finding.magnitude) == (CORRELATIONS, "correlation", "strong")
    assert finding.moved[0].name == "x and y"
    assert (finding.moved[0].before, finding.moved[0].now) == pytest.approx((0.58, -0.58), abs=0.03)
    assert "x and y 0.5" in finding.sentence
    assert finding.weight == pytest.approx(2 / 8)


def test_a_column_that_drifts_by_itself_keeps_its_company():
    rng = np.random.default_rng(2)
    now = normal(rng, 4_000, 0.6)
    now["x"] = now["x"] + 0.6

    report = judged(normal(rng, 10_000, 0.6), now)

    assert [finding.feature for finding in report.findings] == ["x"]


def test_a_model_that_rests_on_a_pair_counts_its_columns_once():
    rng = np.random.default_rng(2)
    now = normal(rng, 4_000, -0.6)
    now["x"] = now["x"] + 1

    report = judged(normal(rng, 10_000, 0.6), now, {"x": 0.7, "y": 0.3})

    assert {finding.feature for finding in report.findings} == {"x", CORRELATIONS}
    assert report.drifted_weight == pytest.approx(1.0)


def test_a_broken_column_says_nothing_of_its_company():
    rng = np.random.default_rng(4)

    report = judged(normal(rng, 10_000, 0.9), normal(rng, 4_000, 0.9) | {"x": np.full(4_000, 1.0)})

    assert [finding.code for finding in report.findings] == ["constant"]


def test_a_wide_table_is_watched_by_its_strongest_pairs():
    rng = np.random.default_rng(5)
    table = {f"n{n}": rng.normal(0, 1, 400) for n in range(40)}
    table["last"] = -table["n17"] + rng.normal(0, 0.1, 400)

    joint = summarise(table, dict.fromkeys(table, "number")).joint

    assert len(joint.pairs) == PAIRS
    assert ("n17", "last") in joint.pairs


def test_parts_of_any_size_add_up_to_the_whole_bit_for_bit():
    rng = np.random.default_rng(6)
    table = normal(rng, 70_000, 0.4)
    table["y"][rng.random(70_000) < 0.1] = np.nan
    whole = summarise(table, XY)
    ends = [0, 1, 7, 66_000, 66_001, 70_000]

    parts = [
        summarise({name: column[a:b] for name, column in table.items()}, XY, like=whole)
        for a, b in pairwise(ends)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)

    assert total.dumps() == whole.dumps()


@pytest.mark.parametrize("furthest", [GRADE, 512])
def test_products_add_up_exactly_as_far_out_as_grades_go(furthest):
    # Baselines of before have grades to 512: their products leave float32.
    rng = np.random.default_rng(11)
    high = rng.choice([False, True], 20_000)
    first = summarise({"x": high * 1.0, "y": high * 1.0}, XY)
    grades = (1 - furthest, furthest)
    scales = {name: replace(scale, grades=grades) for name, scale in first.joint.scales.items()}
    codes = codes_of(high - first.columns["x"].centre)
    given = dict.fromkeys(XY, (codes, np.ones(len(high), dtype=np.bool_)))

    (sums,) = summarise_joint_like(given, replace(first.joint, scales=scales)).sums.tolist()

    graded = np.where(high, furthest, 1 - furthest).tolist()
    assert sums == [len(high), sum(graded), sum(graded), *[sum(grade * grade for grade in graded)] * 3]


def test_correlations_with_other_ranks_refuse_to_merge():
    rng = np.random.default_rng(7)
    one = summarise({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]}, XY)
    other = summarise({"x": [1.0, 2.0, 2.0, 3.0], "y": [1.0, 2.0, 2.0, 2.5]}, XY)

    with pytest.raises(ValueError, match="other ranks"):
        merge(one, other)
    assert len(summarise({"x": rng.normal(0, 1, 50), "y": [1.0] * 50}, XY).joint.pairs) == 0


def test_a_baseline_from_before_correlations_is_still_judged():
    rng = np.random.default_rng(8)
    baseline = build_baseline(normal(rng, 2_000, 0.5), XY, [0.2, 0.8], [0.0, 1.0], {})
    del baseline["joint"]

    assert summary_from_json(baseline).joint is None
    window = WindowBuilder(baseline)
    window.add(normal(rng, 2_000, -0.5), [0.2] * 2_000)
    report = check(baseline, window.build(), Limits())

    assert CORRELATIONS not in {feature.name for feature in report.features}
