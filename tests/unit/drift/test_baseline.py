import json

import pytest

from driftwheel.drift.baseline import build_baseline, column_weights
from driftwheel.drift.summaries import summary_from_json


def test_a_baseline_is_json_and_its_columns_read_back():
    baseline = build_baseline(
        {"temp": [30.0, None, 50.0], "origin": ["JFK", "LGA", "JFK"], "secret": [1, 2, 3]},
        {"temp": "number", "origin": "category"},
        predictions=[0.2, 0.9],
        labels=[0.0, 1.0],
        importances={"temp": 3, "origin": 1},
    )

    again = summary_from_json(json.loads(json.dumps(baseline, allow_nan=False)))

    assert again.rows == 3
    assert set(again.columns) == {"temp", "origin"}
    assert (baseline["label"]["rate"], baseline["label"]["n"]) == (0.5, 2)
    assert baseline["weights"] == {"origin": 0.25, "temp": 0.75}


def test_predictions_and_labels_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="3 predictions but 1 labels"):
        build_baseline({}, {}, [0.1, 0.2, 0.3], [1.0], {})


def test_without_importances_every_column_weighs_the_same():
    assert column_weights({"a": "number", "b": "number"}, {}, {}) == {"a": 0.5, "b": 0.5}
    assert column_weights({}, {"x": 1.0}, {}) == {}
