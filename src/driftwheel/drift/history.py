"""What earlier checks of a champion found: since when each thing, and of how many rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from driftwheel.drift.finding import DriftReport

KEPT = 48
"""Checks: two days of hourly ones fit one picture, and one ledger row many times over."""

DIGITS = 6


def found_since(earlier: Mapping[str, str], report: DriftReport, at: str) -> dict[str, str]:
    """Say since which check each thing that is found now has been found in every one.

    ``insufficient_data`` is no word: what was found before stays found.
    """
    if report.severity == "insufficient_data":
        return dict(earlier)
    return {finding.feature: earlier.get(finding.feature, at) for finding in report.findings}


def extend(
    earlier: Sequence[Mapping[str, Any]], report: DriftReport, at: str, every_minutes: int
) -> list[dict[str, Any]]:
    """Add a check to those known, oldest first; within ``every_minutes`` of the latest it replaces that one.

    Like ``triggers/windows.py``, so that both tell of the same windows.
    """
    if report.severity == "insufficient_data":
        return [dict(one) for one in earlier]
    kept, said = [dict(one) for one in earlier], _said(report, at)
    if kept and datetime.fromisoformat(at) < datetime.fromisoformat(kept[-1]["at"]) + timedelta(
        minutes=every_minutes
    ):
        return [*kept[:-1], said | {"at": kept[-1]["at"]}]
    return [*kept, said][-KEPT:]


def _said(report: DriftReport, at: str) -> dict[str, Any]:
    coverage = round(report.label_coverage() or 0.0, DIGITS)
    return {"at": at, "severity": report.severity, "rows": report.rows, "coverage": coverage}
