"""What a drift check leaves in S3: a page for people, the files Model Monitor's users know, the report.

The report is written last: whoever finds it finds the others. All are decided by the check's time and by what
it found, so a check that is repeated writes the same bytes under the same keys.
"""

from dataclasses import asdict
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.monitor_files import constraint_violations, statistics
from driftwheel.drift.page import page_of
from driftwheel.drift.window import Window
from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.findings import Finding
from driftwheel.steps.notice import Notice
from driftwheel.triggers.state import Answer

PAGE = "drift.html"


def document_of(
    report: DriftReport, champion: ChampionRow, finding: Finding, answer: Answer, notice: Notice
) -> dict[str, Any]:
    """Give the report with its history and what was decided: all that the page shows."""
    return report.to_json() | {
        "model": finding.model,
        "at": finding.at,
        "champion": champion.run_id,
        "windows": finding.windows,
        "history": finding.history,
        "since": finding.since,
        "decision": {
            "outcome": type(answer).__name__.lower(),
            "code": answer.code,
            "sentence": notice.reason,
        },
        "notice": asdict(notice),
    }


def statistics_of(window: Window, baseline: dict[str, Any]) -> dict[str, Any]:
    """Describe the window's columns as ``statistics.json`` does."""
    return statistics({"rows": window.summary.rows, "kinds": baseline["kinds"]} | window.summary.to_json())


def publish(
    objects: Objects, place: S3Uri, report: DriftReport, document: dict[str, Any], described: dict[str, Any]
) -> None:
    """Write the four under ``place``; ``described`` is the window's ``statistics.json``."""
    objects.write_json(place / "statistics.json", described)
    objects.write_json(place / "constraint_violations.json", constraint_violations(report))
    objects.write(place / PAGE, page_of(document).encode(), "text/html; charset=utf-8")
    objects.write_json(place / "report.json", document)
