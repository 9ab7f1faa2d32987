import json

import pytest

from driftwheel_local.emf import EmfError, metric_data


def _line(
    metrics=({"Name": "Rows", "Unit": "Count"},),
    dimensions=(("model",),),
    timestamp=1_700_000_000_000,
    **values,
):
    directive = {"Namespace": "N", "Dimensions": dimensions, "Metrics": metrics}
    metadata = {"Timestamp": timestamp, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": metadata, "model": "flights"} | values)


def test_each_metric_is_given_once_per_set_of_dimensions():
    line = _line(
        metrics=[{"Name": "Rows", "Unit": "Count"}, {"Name": "Auc"}],
        dimensions=[["model"], ["model", "stage"], []],
        Rows=3,
        Auc=0.5,
        stage="gate",
    )

    data = metric_data(line)["N"]

    assert [(one["MetricName"], one["Value"], len(one["Dimensions"])) for one in data] == [
        ("Rows", 3.0, 1),
        ("Auc", 0.5, 1),
        ("Rows", 3.0, 2),
        ("Auc", 0.5, 2),
        ("Rows", 3.0, 0),
        ("Auc", 0.5, 0),
    ]
    assert data[0]["Unit"] == "Count"
    assert data[1]["Unit"] == "None"
    assert data[0]["Timestamp"].isoformat() == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize("line", ["hello", '{"a": 1}', 'text with "_aws" in it', '["_aws"]'])
def test_other_lines_are_no_metrics(line):
    assert metric_data(line) == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (_line(), "metric Rows: None is no number"),
        (_line(Rows="3"), "metric Rows: '3' is no number"),
        (_line(Rows=True), "metric Rows: True is no number"),
        (_line(Rows=[]), "metric Rows: 0 values"),
        (_line(Rows=[1] * 101), "metric Rows: 101 values"),
        (_line(Rows=1, model=3), "dimension model: 3 is no text"),
        (_line(Rows=1, dimensions=[["absent"]]), "dimension absent: None is no text"),
        (_line(Rows=1, timestamp="now"), "_aws.Timestamp"),
        (_line(Rows=1, metrics=[{"Unit": "Count"}]), r"_aws.CloudWatchMetrics.0.Metrics.0.Name"),
        (_line(Rows=1, dimensions=[["model"] * 31]), "_aws.CloudWatchMetrics.0.Dimensions.0"),
    ],
)
def test_a_broken_document_names_the_member_at_fault(line, fault):
    with pytest.raises(EmfError, match=fault):
        metric_data(line)
