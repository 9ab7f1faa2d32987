"""The three JSON files that users of SageMaker Model Monitor know, written from our own summaries.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html, …-byoc-constraints.html,
model-monitor-interpreting-violations.html
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from driftwheel.drift.column import CategorySummary, ColumnSummary, NumberSummary, column_from_json
from driftwheel.drift.finding import DriftReport, Finding

BUCKETS = 10
SKETCH_ITEMS = 2048
"""Model Monitor's KLL sketches keep k = 2048 items."""

MOST_CATEGORIES = 100

CHECKS = {
    "wrong_type": "data_type_check",
    "missing_column": "missing_column_check",
    "schema_break": "missing_column_check",
    "null_burst": "completeness_check",
    "missingness": "completeness_check",
    "unseen_categories": "categorical_values_check",
    "respelt_category": "categorical_values_check",
    "renamed_category": "categorical_values_check",
}
"""Our finding → ``constraint_check_type``; everything else is a ``baseline_drift_check``."""


def statistics(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``statistics.json`` from a baseline; buckets and sketch are exact to the width of a cell."""
    features = [
        _statistics(name, column_from_json(column), baseline["kinds"][name])
        for name, column in baseline["columns"].items()
    ]
    return {"version": 0, "dataset": {"item_count": baseline["rows"]}, "features": features}


def constraints(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``constraints.json``: completeness, sign and known values as found in the training data."""
    features = []
    for name, document in baseline["columns"].items():
        column = column_from_json(document)
        feature: dict[str, Any] = {
            "name": name,
            "inferred_type": _inferred_type(column, baseline["kinds"][name]),
            "completeness": column.count / column.rows if column.rows else 0.0,
        }
        match column:
            case NumberSummary():
                feature["num_constraints"] = {"is_non_negative": (column.minimum or 0.0) >= 0}
            case CategorySummary(other=0):
                feature["string_constraints"] = {"domains": sorted(column.values)}
        features.append(feature)
    return {
        "version": 0,
        "features": features,
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 0.1,
            "domain_content_threshold": 0.1,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": 0.1,
                "categorical_drift_method": "LInfinity",
            },
        },
    }


def constraint_violations(report: DriftReport) -> dict[str, Any]:
    """Write ``constraint_violations.json``: one violation per finding, in our sentences."""
    return {"violations": [_violation(finding) for finding in report.findings]}


def _violation(finding: Finding) -> dict[str, str]:
    return {
        "feature_name": finding.feature,
        "constraint_check_type": CHECKS.get(finding.code, "baseline_drift_check"),
        "description": finding.sentence,
    }


def _inferred_type(column: ColumnSummary, kind: str) -> str:
    if isinstance(column, NumberSummary):
        return "Integral" if kind == "integer" else "Fractional"
    return "String"


def _statistics(name: str, column: ColumnSummary, kind: str) -> dict[str, Any]:
    common = {"num_present": column.count, "num_missing": column.rows - column.count}
    feature: dict[str, Any] = {"name": name, "inferred_type": _inferred_type(column, kind)}
    match column:
        case NumberSummary():
            feature["numerical_statistics"] = {"common": common} | _number_statistics(column)
        case CategorySummary():
            common_first = sorted(column.values.items(), key=lambda pair: (-pair[1], pair[0]))
            feature["string_statistics"] = {
                "common": common,
                "distinct_count": len(column.values),
                "distribution": {
                    "categorical": {
                        "buckets": [{"value": v, "count": n} for v, n in common_first[:MOST_CATEGORIES]]
                    }
                },
            }
        case _:
            feature["string_statistics"] = {"common": common}
    return feature


def _number_statistics(column: NumberSummary) -> dict[str, Any]:
    if column.minimum is None or column.maximum is None or column.mean is None:
        return {}
    edges = np.linspace(column.minimum, column.maximum, BUCKETS + 1)
    # Like Model Monitor's, a bucket is [lower, upper) and the last one holds the maximum.
    at = np.clip(np.searchsorted(edges, column.values, side="right") - 1, 0, BUCKETS - 1)
    counts = np.bincount(at, weights=column.counts, minlength=BUCKETS)
    buckets = [
        {"lower_bound": float(low), "upper_bound": float(high), "count": float(count)}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    return {
        "mean": column.mean,
        "sum": column.mean * column.count,
        "std_dev": column.sd,
        "min": column.minimum,
        "max": column.maximum,
        "distribution": {
            "kll": {
                "buckets": buckets,
                "sketch": {"parameters": {"c": 0.64, "k": float(SKETCH_ITEMS)}, "data": _sketch(column)},
            }
        },
    }


def _sketch(column: NumberSummary) -> list[list[float]]:
    """Give the levels of a KLL sketch: an item of level i stands for 2**i values, all together for all.

    The top level holds evenly spaced quantiles; of the rest, each binary digit is one median.
    """
    top = max(0, (column.count // SKETCH_ITEMS).bit_length())
    items = column.count >> top
    shares = (np.arange(items) + 0.5) / items if items else np.zeros(0)
    at = np.searchsorted(np.cumsum(column.counts), shares * column.count)
    median = column.quantile(0.5)
    rest = column.count - (items << top)
    levels = [[median] if median is not None and rest >> level & 1 else [] for level in range(top)]
    return [*levels, [float(value) for value in column.values[at]]]
