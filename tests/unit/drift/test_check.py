import json

import numpy as np
import pytest

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import LABEL, PREDICTION, check
from driftwheel.drift.limits import Limits
from driftwheel.drift.monitor_files import constraint_violations, constraints, statistics
from driftwheel.drift.quality_loss import QUALITY
from driftwheel.drift.window import WindowBuilder

KINDS = {"temp": "number", "humid": "number", "origin": "category", "time": "timestamp"}
IMPORTANCES = {"temp": 6.0, "humid": 3.0, "origin": 1.0}
ORIGINS = ["EWR", "JFK", "LGA"]


def rows(rng, count, *, temp=0.0, humid=0.0):
    return {
        "temp": rng.normal(60 + temp, 10, count),
        "humid": np.where(rng.random(count) < 0.05, np.nan, rng.normal(50 + humid, 15, count)),
        "origin": rng.choice(ORIGINS, count, p=[0.4, 0.35, 0.25]),
        "time": np.array(["2026-01-01"] * count),
    }


def answers(rng, count, skill=1.0, bias=0.0):
    labels = (rng.random(count) < 0.25).astype(float)
    return 1 / (1 + np.exp(-rng.normal(labels * skill + bias, 0.7))), labels


@pytest.fixture(scope="module")
def baseline():
    rng = np.random.default_rng(1)
    scores, labels = answers(rng, 3_000)
    made = build_baseline(rows(rng, 10_000), KINDS, scores, labels, IMPORTANCES)
    return json.loads(json.dumps(made))


def window(baseline, columns, *, bias=0.0, skill=1.0, labelled=False, seed=2):
    rng = np.random.default_rng(seed)
    count = len(columns["temp"])
    scores, labels = answers(rng, count, skill, bias)
    builder = WindowBuilder(baseline)
    half = count // 2
    for part in (slice(None, half), slice(half, None)):
        known = labels[part] if labelled else None
        builder.add({name: values[part] for name, values in columns.items()}, scores[part], known)
    return builder.build(since="then", until="now")


def judged(baseline, columns, spec=None, units=None, **traffic):
    return check(baseline, window(baseline, columns, **traffic), spec or Limits(), units)


def test_a_window_like_the_training_data_has_no_drift(baseline):
    report = judged(baseline, rows(np.random.default_rng(3), 2_000), labelled=True)

    assert (report.severity, report.blocks_retraining, report.findings) == ("none", False, [])
    assert {feature.status for feature in report.features} == {"stable"}
    assert report.window == {"since": "then", "until": "now"}


def test_too_few_rows_are_an_answer_of_their_own(baseline):
    report = judged(baseline, rows(np.random.default_rng(3), 499, temp=40))

    assert report.severity == "insufficient_data"
    assert report.sentence == "Not enough data: 499 rows, a verdict needs 500."
    assert judged(baseline, rows(np.random.default_rng(3), 0)).severity == "insufficient_data"


def test_strong_drift_of_what_the_model_rests_on_is_major(baseline):
    report = judged(baseline, rows(np.random.default_rng(4), 1_000, temp=15))

    finding = report.findings[0]
    assert report.severity == "major"
    assert report.drifted_weight == pytest.approx(0.6)
    assert (finding.feature, finding.kind, finding.magnitude, finding.weight) == (
        "temp",
        "drift",
        "strong",
        pytest.approx(0.6),
    )
    assert finding.sentence.startswith("temp drifted strongly: ")
    assert len(finding.moved) == 3
    assert finding.moved[0].now != finding.moved[0].before


def test_strong_drift_of_what_the_model_hardly_uses_is_minor(baseline):
    columns = rows(np.random.default_rng(5), 1_000)
    columns["origin"] = np.where(np.random.default_rng(5).random(1_000) < 0.5, "EWR", columns["origin"])

    report = judged(baseline, columns)

    assert (report.severity, report.drifted_weight) == ("minor", pytest.approx(0.1))
    assert judged(baseline, columns, Limits(major_share=0.05)).severity == "major"


def test_slight_drift_is_minor_and_weighs_nothing(baseline):
    report = judged(baseline, rows(np.random.default_rng(6), 5_000, temp=2.5))

    assert (report.severity, report.drifted_weight) == ("minor", 0.0)
    assert [f.magnitude for f in report.findings] == ["slight"]


def test_a_broken_column_is_a_fault_and_blocks_retraining_whatever_else_drifted(baseline):
    columns = rows(np.random.default_rng(7), 1_000, humid=40)
    columns["temp"] = (columns["temp"] - 32) / 1.8

    report = judged(baseline, columns, units={"temp": "degF"})

    assert (report.severity, report.blocks_retraining) == ("fault", True)
    assert report.findings[0].code == "unit_change"
    assert next(f for f in report.features if f.name == "temp").tests == []
    assert next(f for f in report.features if f.name == "humid").status == "drifted"
    assert report.sentence == "Broken data in temp: retraining waits until it is mended."


def test_a_field_no_request_has_any_more_is_a_fault(baseline):
    columns = rows(np.random.default_rng(8), 600)
    del columns["humid"]

    assert [f.code for f in judged(baseline, columns).findings] == ["missing_column"]


def test_a_feature_with_few_values_is_insufficient_not_stable():
    rng = np.random.default_rng(9)
    gappy = {"x": np.where(rng.random(5_000) < 0.9, np.nan, rng.normal(0, 1, 5_000))}
    made = build_baseline(gappy, {"x": "number"}, [0.5], [1.0], {})
    builder = WindowBuilder(made)
    now = np.where(rng.random(1_000) < 0.9, np.nan, rng.normal(9, 1, 1_000))
    builder.add({"x": now}, rng.random(1_000))

    report = check(made, builder.build(), Limits())

    assert next(f for f in report.features if f.name == "x").status == "insufficient_data"
    assert report.severity == "none"


def test_what_the_model_answers_is_watched_too(baseline):
    report = judged(baseline, rows(np.random.default_rng(10), 1_000), bias=0.8)

    assert [(f.feature, f.code) for f in report.findings] == [(PREDICTION, "distribution")]
    assert report.findings[0].sentence.startswith("What the model answers drifted strongly")
    assert report.severity == "minor"


def test_a_model_that_got_worse_is_major_though_no_input_moved(baseline):
    report = judged(baseline, rows(np.random.default_rng(11), 4_000), skill=0.2, labelled=True)

    finding = next(f for f in report.findings if f.feature == QUALITY)
    assert report.severity == "major"
    assert finding.numbers["before"] > finding.numbers["value"]
    assert report.quality["coverage"] == 1.0


def test_the_share_of_labels_is_compared_when_labels_came(baseline):
    traffic = window(baseline, rows(np.random.default_rng(12), 3_000))
    builder = WindowBuilder(baseline)
    rng = np.random.default_rng(12)
    scores, _ = answers(rng, 3_000)
    builder.add(rows(rng, 3_000), scores, (rng.random(3_000) < 0.4).astype(float))

    assert traffic.label is None
    report = check(baseline, builder.build(), Limits())
    assert LABEL in {f.feature for f in report.findings}


def test_a_report_is_json_and_its_headline_fits_an_event(baseline):
    report = judged(baseline, rows(np.random.default_rng(13), 1_000, temp=30, humid=30), labelled=True)

    document = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert document["severity"] == "major"
    assert {test["kind"] for feature in document["features"] for test in feature["tests"]} >= set(
        Limits().tests
    )
    assert len(json.dumps(report.headline())) < 4_000
    assert report.headline(findings=1)["findings"][0]["feature"] == "temp"


def test_the_window_does_not_depend_on_its_batches(baseline):
    columns = rows(np.random.default_rng(14), 1_000)
    scores, labels = answers(np.random.default_rng(14), 1_000)
    whole, parts = WindowBuilder(baseline), WindowBuilder(baseline)
    whole.add(columns, scores, labels)
    for start in range(0, 1_000, 130):
        part = slice(start, start + 130)
        parts.add({n: v[part] for n, v in columns.items()}, scores[part], labels[part])

    one, other = whole.build(), parts.build()

    assert one.summary.dumps() == other.summary.dumps()
    assert one.prediction.to_json() == other.prediction.to_json()
    assert one.quality == other.quality


def test_columns_and_labels_of_other_lengths_are_refused(baseline):
    builder = WindowBuilder(baseline)

    with pytest.raises(ValueError, match="columns of other lengths"):
        builder.add({"temp": [1.0, 2.0]}, [0.5])
    with pytest.raises(ValueError, match="1 scores but 2 labels"):
        builder.add({}, [0.5], [1.0, 0.0])


def test_statistics_have_the_shape_that_model_monitor_users_know(baseline):
    document = statistics(baseline)

    by_name = {feature["name"]: feature for feature in document["features"]}
    numbers = by_name["temp"]["numerical_statistics"]
    kll = numbers["distribution"]["kll"]
    assert document["dataset"]["item_count"] == 10_000
    assert sum(bucket["count"] for bucket in kll["buckets"]) == 10_000
    assert len(kll["buckets"]) == 10
    weights = sum(len(level) << i for i, level in enumerate(kll["sketch"]["data"]))
    assert weights == 10_000
    assert max(len(level) for level in kll["sketch"]["data"]) <= kll["sketch"]["parameters"]["k"]
    assert numbers["mean"] == pytest.approx(60, abs=0.5)
    assert by_name["humid"]["numerical_statistics"]["common"]["num_missing"] > 300
    categorical = by_name["origin"]["string_statistics"]["distribution"]["categorical"]["buckets"]
    assert [bucket["value"] for bucket in categorical] == ORIGINS
    assert by_name["time"]["string_statistics"]["common"] == {"num_present": 10_000, "num_missing": 0}


def test_constraints_are_what_the_training_data_kept_to(baseline):
    document = constraints(baseline)

    by_name = {feature["name"]: feature for feature in document["features"]}
    assert by_name["origin"]["string_constraints"] == {"domains": ORIGINS}
    assert by_name["temp"]["inferred_type"] == "Fractional"
    assert by_name["humid"]["completeness"] == pytest.approx(0.95, abs=0.02)
    assert document["monitoring_config"]["distribution_constraints"]["comparison_method"] == "Robust"


def test_violations_carry_the_types_that_model_monitor_knows(baseline):
    columns = rows(np.random.default_rng(15), 1_000, temp=30)
    columns["origin"] = np.where(np.random.default_rng(15).random(1_000) < 0.03, "BOS", columns["origin"])
    del columns["humid"]

    violations = constraint_violations(judged(baseline, columns))["violations"]

    kinds = {violation["feature_name"]: violation["constraint_check_type"] for violation in violations}
    assert kinds["humid"] == "missing_column_check"
    assert kinds["temp"] == "baseline_drift_check"
    assert kinds["origin"] == "categorical_values_check"
    assert all(set(v) == {"feature_name", "constraint_check_type", "description"} for v in violations)


def test_an_empty_or_constant_column_still_makes_statistics():
    made = build_baseline({"e": [None] * 3, "c": [7] * 3}, {"e": "number", "c": "integer"}, [], [], {})

    features = {f["name"]: f["numerical_statistics"] for f in statistics(made)["features"]}

    assert features["e"] == {"common": {"num_present": 0, "num_missing": 3}}
    assert sum(b["count"] for b in features["c"]["distribution"]["kll"]["buckets"]) == 3


def celsius(columns, rng):
    columns["temp"] = (columns["temp"] - 32) / 1.8


def euros(columns, rng):
    columns["humid"] = columns["humid"] / 100


def cents(columns, rng):
    columns["humid"] = columns["humid"] * 100


def nulls(columns, rng):
    columns["temp"] = np.where(rng.random(1_000) < 0.4, np.nan, columns["temp"])


def spelling(columns, rng):
    columns["origin"] = np.char.lower(columns["origin"])


def renaming(columns, rng):
    columns["origin"] = np.where(columns["origin"] == "JFK", "KJFK2", columns["origin"])


def dead(columns, rng):
    columns["temp"] = np.full(1_000, 60.0)


def dropped(columns, rng):
    del columns["humid"]


def text(columns, rng):
    columns["temp"] = np.where(rng.random(1_000) < 0.1, "warm", columns["temp"].astype(object))


@pytest.mark.parametrize(
    ("breaks", "column", "code", "cause"),
    [
        (celsius, "temp", "unit_change", "degF to degC"),
        (euros, "humid", "unit_change", "divided by 100"),
        (cents, "humid", "unit_change", "times 100"),
        (nulls, "temp", "null_burst", "its source stopped"),
        (spelling, "origin", "respelt_category", "'jfk' for 'JFK'"),
        (renaming, "origin", "renamed_category", "'KJFK2' for 'JFK'"),
        (dead, "temp", "constant", "dead sensor"),
        (dropped, "humid", "missing_column", "renamed or dropped field"),
        (text, "temp", "wrong_type", "text among numbers"),
    ],
)
def test_broken_data_is_a_fault_with_its_likely_cause_and_blocks_retraining(
    baseline, breaks, column, code, cause
):
    rng = np.random.default_rng(16)
    columns = rows(rng, 1_000)
    breaks(columns, rng)

    report = judged(baseline, columns, units={"temp": "degF"})

    assert (report.severity, report.blocks_retraining) == ("fault", True)
    assert [(f.feature, f.kind, f.code) for f in report.findings] == [(column, "fault", code)]
    assert cause in report.findings[0].sentence
    assert "retraining waits" in report.sentence
