"""What a window is compared with: the training data, the last accepted window, or the matching season."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from driftwheel.drift.check import check
from driftwheel.drift.column import NumberSummary, column_from_json
from driftwheel.drift.finding import DriftReport, Finding
from driftwheel.drift.summaries import Summary, merge, summary_from_json
from driftwheel.drift.window import Window

if TYPE_CHECKING:
    from driftwheel.spec import Drift

RANKS = ("insufficient_data", "none", "minor", "major", "fault")

WEEKS_BACK = timedelta(weeks=8)
YEAR_BACK = timedelta(days=400)
"""How far back a season is looked for: eight like weeks, or the like months of the last year."""


@dataclass(frozen=True)
class Reference:
    """Earlier traffic, summarised like the baseline. ``prediction`` is None where another model answered."""

    summary: Summary
    prediction: NumberSummary | None
    since: str
    until: str

    def to_json(self) -> dict[str, Any]:
        """Give the reference as JSON values."""
        return {
            "summary": self.summary.to_json(),
            "prediction": self.prediction.to_json() if self.prediction else None,
            "since": self.since,
            "until": self.until,
        }


def reference_from_json(document: Mapping[str, Any]) -> Reference:
    """Read what ``Reference.to_json`` gave."""
    said = document["prediction"]
    prediction = column_from_json(said) if said else None
    assert prediction is None or isinstance(prediction, NumberSummary)
    return Reference(summary_from_json(document["summary"]), prediction, document["since"], document["until"])


def merge_references(one: Reference, other: Reference) -> Reference:
    """Add up two; what the model said counts only where both know it."""
    said = None
    if one.prediction and other.prediction:
        parts = [
            Summary(part.prediction.rows, {"said": part.prediction})
            for part in (one, other)
            if part.prediction
        ]
        said = merge(*parts).columns["said"]
    assert said is None or isinstance(said, NumberSummary)
    return Reference(
        merge(one.summary, other.summary),
        said,
        min(one.since, other.since),
        max(one.until, other.until),
    )


def matching_hours(
    hours: Iterable[datetime], since: datetime, until: datetime, season: Iterable[str]
) -> list[datetime]:
    """Choose from ``hours`` those before ``since`` that match an hour of the window in all of ``season``.

    >>> at = datetime.fromisoformat
    >>> monday = at("2026-11-23T08:00:00+00:00")
    >>> week_ago, day_ago = monday - timedelta(days=7), monday - timedelta(days=1)
    >>> matching_hours([week_ago, day_ago], monday, monday + timedelta(hours=1), ["hour", "weekday"])
    [datetime.datetime(2026, 11, 16, 8, 0, tzinfo=datetime.timezone.utc)]
    """
    parts = sorted(season)
    count = math.ceil((until - since) / timedelta(hours=1))
    slots = {_slot(since + timedelta(hours=n), parts) for n in range(count)}
    back = YEAR_BACK if "month" in parts else WEEKS_BACK
    return sorted(hour for hour in hours if since - back <= hour < since and _slot(hour, parts) in slots)


def check_against(
    baseline: Mapping[str, Any],
    reference: Reference | None,
    window: Window,
    spec: "Drift",
    units: Mapping[str, str] | None = None,
) -> DriftReport:
    """Compare a window with the declared reference, and always with the training data too.

    The training data does not move with the world: a drift of 1 % a window, too small to be seen from one
    window to the next, is seen there. Beside the last accepted window the worse verdict counts. Beside a
    season, major drift from training counts as minor: it is told, but winter alone retrains nothing. A fault
    is a fault against either. Each of two comparisons gets half of ``significance``, so that both together
    keep to it (Bonferroni). With no reference, or one of too few rows, training alone decides, and the report
    says so.
    """
    rows = reference.summary.rows if reference else 0
    both = spec.reference != "training" and rows >= spec.minimum_rows
    limits = replace(spec.limits, significance=spec.significance / (2 if both else 1))
    fixed = check(baseline, window, limits, units)
    if spec.reference == "training":
        return replace(fixed, reference={"declared": "training", "used": "training"})
    about: dict[str, Any] = {"declared": spec.reference, "rows": rows}
    if reference is None or not both:
        why = f"No {_title(spec)} of {spec.minimum_rows:,} rows yet ({rows:,}): compared with training alone."
        return replace(
            fixed, sentence=f"{fixed.sentence} {why}", reference=about | {"used": "training", "why": why}
        )
    about |= {"used": spec.reference, "since": reference.since, "until": reference.until}
    nearer = dict(baseline) | reference.summary.to_json()
    said = window.prediction if reference.prediction else None
    if reference.prediction:
        nearer["prediction"] = reference.prediction.to_json()
    declared = check(nearer, replace(window, prediction=said), limits, units)
    about["against_training"] = {
        "severity": fixed.severity,
        "sentence": fixed.sentence,
        "drifted_weight": fixed.drifted_weight,
        "features": [finding.feature for finding in fixed.findings],
    }
    return _joined(declared, fixed, spec, about)


def _joined(declared: DriftReport, fixed: DriftReport, spec: "Drift", about: dict[str, Any]) -> DriftReport:
    counts = fixed.severity
    if spec.reference == "season" and fixed.severity in {"minor", "major"}:
        counts = "minor" if fixed.severity == "major" else "none"
    sentence = f"Against the {_title(spec)}: {declared.sentence} Against training: {fixed.sentence}"
    if RANKS.index(counts) <= RANKS.index(declared.severity):
        return replace(declared, sentence=sentence, reference=about)
    known = {(finding.feature, finding.code) for finding in declared.findings}
    findings: list[Finding] = [
        *declared.findings,
        *(finding for finding in fixed.findings if (finding.feature, finding.code) not in known),
    ]
    return replace(
        fixed,
        severity=counts,
        sentence=sentence,
        findings=sorted(findings, key=lambda finding: finding.kind != "fault"),
        reference=about,
    )


def _title(spec: "Drift") -> str:
    if spec.reference == "season":
        return f"matching season (same {', '.join(spec.season)})"
    return "last accepted window"


def _slot(hour: datetime, season: list[str]) -> tuple[int, ...]:
    known = {"hour": hour.hour, "weekday": hour.weekday(), "month": hour.month}
    return tuple(known[part] for part in season)
