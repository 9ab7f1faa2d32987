"""What DriftCheck tells CloudWatch, read as CloudWatch reads it: lines of the embedded metric format."""

from dataclasses import replace
from datetime import timedelta

import pytest

from driftwheel.ledger.champions import Champions
from driftwheel.ledger.findings import Findings
from driftwheel.steps.drift_check import Ledger, survey
from driftwheel.steps.drift_metrics import of_check, of_stack
from driftwheel_local.emf import metric_data

from .conftest import Context, World
from .test_drift_check import NOW, PROMOTED, capture, label, live, rides

__all__ = ["live"]  # the fixture

ASKED = {"kind": "manual", "model": "rides"}


def told(output: str) -> dict[tuple[str, str], dict[str, float]]:
    """Collect metrics by dimension and its value."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in output.splitlines():
        for namespace, data in metric_data(line).items():
            assert namespace == "Driftwheel"
            for datum in data:
                named = {each["Name"]: each["Value"] for each in datum["Dimensions"]}
                assert named.pop("stack") == "driftwheel"
                key = ("model", named["model"]) if named else ("stack", "driftwheel")
                found.setdefault(key, {})[datum["MetricName"]] = datum["Value"]
    return found


def test_a_check_tells_its_numbers_by_model_and_the_worst_of_all_models_by_stack(
    live: World, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    capture(live, rides(1_000, shift=15, seed=4))
    label(live, [f"i0/{n}" for n in range(100)])

    live.load("drift_check").handler(ASKED, context)

    found = told(capsys.readouterr().out)
    assert set(found) == {("model", "rides"), ("stack", "driftwheel")}
    by_model = found["model", "rides"]
    assert by_model["DriftedWeight"] == pytest.approx(0.8)
    assert by_model.pop("EstimatedQuality") == pytest.approx(0.5, abs=0.01)  # its labels are coins
    assert {k: v for k, v in by_model.items() if k != "DriftedWeight"} == {
        "WindowRows": 1_000,
        "LabelCoverage": 0.1,
        "DataFault": 0,
        "DriftedFeatures": 2,
        "DriftSeverity": 2,
    }
    assert found["stack", "driftwheel"] == {
        "DataFault": 0,
        "DriftSeverity": 2,
        "LabelCoverage": 0.1,
        "OverdueModels": 0,
    }


def test_a_fault_is_no_severity_and_too_few_rows_are_neither(
    live: World, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = live.load("drift_check").handler
    capture(live, rides(100, shift=30, seed=6))
    handler(ASKED, context)
    few = told(capsys.readouterr().out)["model", "rides"]
    capture(live, [ride | {"temp": 40.0} for ride in rides(1_000, shift=0, seed=5)])
    handler(ASKED, context)
    broken = told(capsys.readouterr().out)

    assert few == {"WindowRows": 100, "LabelCoverage": 0}
    assert broken["model", "rides"]["DataFault"] == 1
    assert "DriftSeverity" not in broken["model", "rides"]
    assert broken["stack", "driftwheel"]["DataFault"] == 1


def test_quality_is_told_where_labels_made_it_known(live: World) -> None:
    capture(live, rides(1_000, shift=0, seed=5))
    objects = live.load("drift_check").objects
    (checked,) = survey(ASKED, Ledger.of(live.table), objects, live.artifacts, NOW).checked
    known = replace(checked.report, quality={"value": 0.71})
    undefined = replace(checked.report, quality={"value": None})  # AUC of one class

    assert of_check(replace(checked, report=known))["Quality"] == 0.71
    assert "Quality" not in of_check(replace(checked, report=undefined))
    assert "Quality" not in of_check(checked)


def test_a_tick_without_a_model_that_is_due_still_tells_the_state_of_the_stack(
    live: World, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    live.load("drift_check").handler({"kind": "manual", "model": "nobody"}, context)

    assert set(told(capsys.readouterr().out)) == {("stack", "driftwheel")}


def test_a_model_is_overdue_when_three_of_its_own_intervals_brought_no_check(live: World) -> None:
    ledger = Ledger.of(live.table)
    assert Findings(live.table).get("rides") is None

    assert of_stack(ledger, PROMOTED + timedelta(hours=3))["OverdueModels"] == 0
    assert of_stack(ledger, PROMOTED + timedelta(hours=3, minutes=1))["OverdueModels"] == 1
    assert of_stack(ledger, NOW)["OverdueModels"] == 0
    assert Champions(live.table).get("rides") is not None
