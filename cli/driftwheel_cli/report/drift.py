"""The page of one drift check, or of two files compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from driftwheel_cli.report.page import drifted, environment


def write_drift_report(report: Mapping[str, Any], title: str, about: Sequence[str], path: Path) -> Path:
    """Write a drift report (``DriftReport.to_json``) as one page that opens offline."""
    path.write_text(page_of(report, title, about), encoding="utf-8")
    return path


def page_of(report: Mapping[str, Any], title: str, about: Sequence[str]) -> str:
    """Lay it out as HTML: every value escaped, no script, nothing fetched."""
    columns = [feature | {"ratio": _ratio(feature)} for feature in report["features"]]
    return (
        environment()
        .get_template("drift.html")
        .render(
            title=title,
            about=about,
            drift=report,
            drifted=drifted(report),
            columns=sorted(columns, key=lambda column: (-(column["ratio"] or 0), column["name"])),
        )
    )


def _ratio(feature: Mapping[str, Any]) -> float | None:
    return max((test["effect"] / test["strong"] for test in feature["tests"]), default=None)
