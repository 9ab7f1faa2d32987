"""DriftCheck: the champion's live traffic since its promotion, against what it learned from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.monitor_files import constraint_violations
from driftwheel.layout import RunLayout, S3Uri, capture_prefix, drift_prefix
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.findings import Finding, Findings
from driftwheel.ledger.models import Models
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.objects import current
from driftwheel.ledger.table import Table
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import ModelSpec
from driftwheel.triggers.windows import remember

LONGEST_WINDOW = timedelta(days=30)
"""Older traffic says how the world was, not how it is."""


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger a check reads and writes."""

    table: Table
    models: Models
    champions: Champions
    objects: ObjectLedger
    findings: Findings
    decisions: Decisions

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        return cls(
            table, Models(table), Champions(table), ObjectLedger(table), Findings(table), Decisions(table)
        )


@dataclass(frozen=True)
class Checked:
    """One check of one model."""

    model: str
    report: DriftReport
    report_uri: str


def due(event: dict[str, Any], ledger: Ledger, now: datetime) -> list[tuple[ModelSpec, ChampionRow]]:
    """Name the live models to look at: the one asked for, or those whose interval has passed.

    A tick delivered twice is one check: its schedule and scheduled time are entered once.
    """
    if event.get("kind") == "scheduled":
        tick = {"pk": "CHECK", "sk": f"{event['schedule']}#{event['scheduled_time']}"}
        if not ledger.table.put_new(tick | {"expires": int(now.timestamp()) + 7 * 86_400}):
            return []
    live = []
    for spec in ledger.models.all():
        champion = ledger.champions.get(spec.model)
        if champion is None or event.get("model") not in {None, spec.model}:
            continue
        if event.get("model") == spec.model or not _early(
            ledger.findings.get(spec.model), spec, champion, now
        ):
            live.append((spec, champion))
    return live


def look(
    spec: ModelSpec,
    champion: ChampionRow,
    ledger: Ledger,
    objects: Objects,
    artifact_bucket: str,
    now: datetime,
) -> Checked:
    """Check one model, publish the report and make it the model's latest finding."""
    report = _report(spec, champion, ledger, objects, artifact_bucket, now)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    place = S3Uri(artifact_bucket, drift_prefix(spec.model, stamp))
    objects.write_json(place / "constraint_violations.json", constraint_violations(report))
    objects.write_json(place / "report.json", report.to_json())
    fault = report.sentence if report.blocks_retraining else ""
    severity = "none" if report.severity == "fault" else report.severity
    last = ledger.findings.get(spec.model)
    if last is not None and last.champion_sequence != champion.sequence:
        last = None
    every = spec.drift.every_minutes
    ledger.findings.record(
        Finding(
            model=spec.model,
            at=now.isoformat(),
            champion_sequence=champion.sequence,
            severity=severity,
            fault=fault,
            labelled_rows=int(report.window.get("labelled_rows", 0)),
            report_uri=str(place / "report.json"),
            windows=remember(last.windows if last else [], now.isoformat(), report.severity, every),
        )
    )
    ledger.decisions.record(
        Decision(
            model=spec.model,
            at=now.isoformat(),
            id=f"drift-{stamp}",
            step="drift_check",
            outcome=report.severity,
            reason=report.sentence,
            numbers={"rows": report.rows, "drifted_weight": report.drifted_weight},
            run_id=champion.run_id,
        )
    )
    return Checked(spec.model, report, str(place / "report.json"))


def drift_event(checked: Checked, stack: str) -> dict[str, str] | None:
    """Word ``Drift Detected`` for EventBridge; None when there is nothing to tell."""
    if checked.report.severity in {"none", "insufficient_data"}:
        return None
    headline = checked.report.headline()
    detail = {"stack": stack, "model": checked.model, "report_uri": checked.report_uri} | headline
    return {"Source": "driftwheel", "DetailType": "Drift Detected", "Detail": Objects.text(detail)}


def _early(last: Finding | None, spec: ModelSpec, champion: ChampionRow, now: datetime) -> bool:
    if last is None or last.champion_sequence != champion.sequence:
        return False
    return datetime.fromisoformat(last.at) + timedelta(minutes=spec.drift.every_minutes) > now


def _report(
    spec: ModelSpec,
    champion: ChampionRow,
    ledger: Ledger,
    objects: Objects,
    artifact_bucket: str,
    now: datetime,
) -> DriftReport:
    learned = RunLayout(artifact_bucket, spec.model, champion.run_id).step("preprocessing")
    recipe = load_recipe(
        objects.read_json(learned / "recipe.json"), objects.read_json(learned / "params.json")
    )
    baseline = objects.read_json(S3Uri.parse(champion.baseline_uri))
    labels = LabelReader()
    rows = [row for row in current(ledger.objects.of_model(spec.model)) if row.role == "labels"]
    for row in sorted(rows, key=lambda row: row.received):
        labels.read(objects.stream(row.bucket, row.key, row.version), row.key)
    since = max(datetime.fromisoformat(champion.promoted_at), now - LONGEST_WINDOW)
    captures = _captures(objects, artifact_bucket, spec.model, since)
    window = read_window(baseline, recipe, captures, labels, since=since.strftime("%Y-%m-%dT%H:%M:%SZ"))
    units = {name: column.unit for name, column in spec.columns.items() if column.unit}
    return check(baseline, window, spec.drift, units)


def _captures(
    objects: Objects, bucket: str, model: str, since: datetime
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Open captured files from the hour of ``since`` on; the hour is part of the key."""
    hour = since.strftime("%Y/%m/%d/%H")
    for entry in objects.list(bucket, f"{capture_prefix(model)}/"):
        if "/".join(entry["Key"].split("/")[-5:-1]) >= hour:
            yield entry["Key"], objects.stream(bucket, entry["Key"])
