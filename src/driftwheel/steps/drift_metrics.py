"""What drift_check tells CloudWatch: numbers of each check by model, and the state of all models by stack.

Embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
CloudWatch_Embedded_Metric_Format_Specification.html. The only dimensions are ``stack`` and ``model``, so that
two stacks may each have a model of one name: at most eight metrics a model and four a stack, however many
columns, runs and windows there are.

An alarm cannot search for models that are registered later, so the template's alarms watch the stack's
metrics. Those are told at every tick, from the latest finding of each model: one model's good news does not
end another's alarm, and silence is an alarm of its own.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from driftwheel.steps.drift_check import Checked, Ledger

NAMESPACE = "Driftwheel"
SEVERITIES = {"none": 0, "minor": 1, "major": 2}
MISSED = 3
"""Checks of ``drift.every_minutes`` that may be missed: one may fail and one may be late."""

COUNTS = frozenset({"DriftedFeatures", "WindowRows", "OverdueModels", "DataFault"})

Metrics = dict[str, float]


def of_check(checked: Checked) -> Metrics:
    """Give the numbers of one check; what it does not know (too few rows, no label) it does not say."""
    report = checked.report
    found: Metrics = {"WindowRows": report.rows}
    if (coverage := report.label_coverage()) is not None:
        found["LabelCoverage"] = coverage
    if report.quality is not None and report.quality["value"] is not None:
        found["Quality"] = report.quality["value"]
    if report.estimate is not None and report.estimate["value"] is not None:
        found["EstimatedQuality"] = report.estimate["value"]
    if report.severity == "insufficient_data":
        return found
    found |= {
        "DataFault": int(report.blocks_retraining),
        "DriftedFeatures": sum(feature.status == "drifted" for feature in report.features),
        "DriftedWeight": report.drifted_weight,
    }
    if report.severity in SEVERITIES:  # broken data says nothing about the world
        found["DriftSeverity"] = SEVERITIES[report.severity]
    return found


def of_stack(ledger: Ledger, now: datetime) -> Metrics:
    """Give the worst of every live model's latest finding, and how many models were not checked of late."""
    worst = {"DataFault": 0.0, "DriftSeverity": 0.0, "OverdueModels": 0.0}
    coverage = []
    for spec in ledger.models.all():
        champion, finding = ledger.champions.get(spec.model), ledger.findings.get(spec.model)
        if champion is None:
            continue
        last = champion.promoted_at
        if finding is not None and finding.champion_sequence == champion.sequence:
            last = finding.at
            worst["DataFault"] = max(worst["DataFault"], float(bool(finding.fault)))
            worst["DriftSeverity"] = max(worst["DriftSeverity"], SEVERITIES.get(finding.severity, 0))
            coverage += [float(one["coverage"]) for one in finding.history[-1:]]
        patience = timedelta(minutes=MISSED * spec.drift.every_minutes)
        worst["OverdueModels"] += datetime.fromisoformat(last) + patience < now
    return worst | ({"LabelCoverage": min(coverage)} if coverage else {})


def emf(metrics: Metrics, dimensions: Mapping[str, str], now: datetime) -> str:
    """Write metrics of one thing, named by its dimensions, as a line of the embedded metric format."""
    named = [{"Name": name, "Unit": "Count" if name in COUNTS else "None"} for name in metrics]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": named}
    about: dict[str, Any] = {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    # First in the line: readers of logs tell metrics by it.
    return json.dumps({"_aws": about, **dimensions, **metrics}, separators=(",", ":"))
