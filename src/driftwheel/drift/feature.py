"""One column of a drift report: how it stands, and in which words."""

from typing import Any

import numpy as np

from driftwheel.drift.column import CategorySummary, ColumnSummary, NumberSummary
from driftwheel.drift.correlation import changes
from driftwheel.drift.finding import FeatureReport, Finding, Moved, Status, Tested
from driftwheel.drift.joint import JointSummary
from driftwheel.drift.pair import Pair
from driftwheel.drift.shape import shape_of

PREDICTION = "(prediction)"
LABEL = "(label)"
CORRELATIONS = "(correlations)"
"""Names no column can have."""

MOST_MOVED = 3

NAMED = {"missingness", "unseen_categories", "vanished_categories", "correlation"}
"""Tests whose finding is called by their own name; what the others find is a changed distribution."""


def report_feature(
    name: str, pair: Pair, weight: float, tested: list[Tested], *, faulty: bool
) -> FeatureReport:
    """Say how a column stands: its status, statistics then and now, and what moved most."""
    compared = [test for test in tested if test.kind != "missingness"] or pair.baseline.kind == "opaque"
    if faulty:
        status: Status = "fault"
    elif any(test.magnitude != "none" for test in tested):
        status = "drifted"
    else:
        status = "stable" if compared else "insufficient_data"
    moved = _most_moved(pair) if pair.window.count and pair.baseline.count else []
    return FeatureReport(
        name, pair.baseline.kind, status, weight, tested, _statistics(pair), moved, shape_of(pair)
    )


def _statistics(pair: Pair) -> dict[str, Any]:
    return {"before": _describe(pair.baseline), "now": _describe(pair.window)}


def _describe(summary: ColumnSummary | JointSummary) -> dict[str, Any]:
    described: dict[str, Any] = {
        "rows": summary.rows,
        "missing": summary.nulls / summary.rows if summary.rows else None,
    }
    match summary:
        case NumberSummary():
            described |= {
                "mean": summary.mean,
                "sd": summary.sd,
                "min": summary.minimum,
                "max": summary.maximum,
            }
        case CategorySummary():
            described |= {"distinct": len(summary.values)}
        case JointSummary():
            described |= {"pairs": len(summary.pairs)}
    return described


def _most_moved(pair: Pair) -> list[Moved]:
    """Name the bins that add most to PSI, with their shares; of columns together, pairs with correlations."""
    if isinstance(pair.baseline, JointSummary):
        return [Moved(" and ".join(c.pair), c.before, c.now) for c in changes(pair)[:MOST_MOVED]]
    bins = pair.bins
    if not bins.names or not bins.window.sum():
        return []
    before, now = bins.baseline / bins.baseline.sum(), bins.window / bins.window.sum()
    p, q = bins.shares()
    order = np.argsort(-(q - p) * np.log(q / p), kind="stable")[:MOST_MOVED]
    return [Moved(bins.names[i], float(before[i]), float(now[i])) for i in order]


def drift_finding(feature: FeatureReport) -> Finding:
    """Put a drifted column into one finding, in the words of its clearest test."""
    found = [test for test in feature.tests if test.magnitude != "none"]
    # The test that is furthest beyond its own threshold speaks for the feature.
    best = max(found, key=lambda test: (test.magnitude == "strong", test.effect / test.strong))
    code = best.kind if best.kind in NAMED else "distribution"
    numbers = {test.kind: {"effect": test.effect, "adjusted_p": test.adjusted} for test in found}
    return Finding(
        feature=feature.name,
        kind="drift",
        code=code,
        magnitude=best.magnitude,
        weight=feature.weight,
        sentence=_drift_sentence(feature, best),
        numbers=numbers | {"statistics": feature.statistics},
        moved=feature.moved,
    )


def _drift_sentence(feature: FeatureReport, test: Tested) -> str:
    how = "drifted strongly" if test.magnitude == "strong" else "drifted slightly"
    names = {
        PREDICTION: "What the model answers",
        LABEL: "The share of labels",
        CORRELATIONS: "How columns go together",
    }
    before, now = feature.statistics["before"], feature.statistics["now"]
    sentence = (
        f"{names.get(feature.name, feature.name)} {how}: {TITLES[test.kind]} {test.effect:.3g} "
        f"(slight from {test.slight:g}, strong from {test.strong:g}; p {_p(test.adjusted)})"
    )
    if test.kind == "missingness":
        return f"{sentence}; missing {before['missing']:.1%} → {now['missing']:.1%}."
    if test.kind == "correlation":
        pairs = (f"{moved.name} {moved.before:.2f} → {moved.now:.2f}" for moved in feature.moved)
        return f"{sentence}; {', '.join(pairs)}."
    if now.get("mean") is not None and before.get("mean") is not None:
        sentence += f"; mean {before['mean']:.4g} → {now['mean']:.4g}"
    if feature.moved:
        most = feature.moved[0]
        sentence += f"; '{most.name}' {most.before:.1%} → {most.now:.1%}"
    return sentence + "."


TITLES = {
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon distance",
    "wasserstein": "Wasserstein distance in standard deviations",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov D",
    "chi_square": "Cohen's w",
    "g_test": "G-test's effect",
    "l_infinity": "largest change of a share",
    "missingness": "change of the missing share",
    "unseen_categories": "share of unseen categories",
    "correlation": "change of a rank correlation",
    "vanished_categories": "share that a vanished category had",
}


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
