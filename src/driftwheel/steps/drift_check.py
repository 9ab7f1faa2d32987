"""DriftCheck: the champion's newest live traffic, against what it learned from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from driftwheel.aws.objects import Objects
from driftwheel.drift.course import labelled_days
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.history import extend, found_since
from driftwheel.errors import DriftwheelError
from driftwheel.layout import S3Uri, drift_prefix
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.checks import Checks
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.domains import Domains
from driftwheel.ledger.findings import Finding, Findings
from driftwheel.ledger.hours import Hours
from driftwheel.ledger.models import Models
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from driftwheel.spec import Drift, ModelSpec
from driftwheel.steps.domain import DomainJobs, ask, read_answer, told
from driftwheel.steps.drift_report import PAGE, document_of, publish, statistics_of
from driftwheel.steps.drift_verdict import judge
from driftwheel.steps.hold import hours_to_hold, whole_until
from driftwheel.steps.notice import Notice, message, notice_of
from driftwheel.steps.trigger import Ledger as TriggerLedger
from driftwheel.steps.trigger import situation_of
from driftwheel.triggers.policy import decide
from driftwheel.triggers.windows import remember

UNCHECKED = "unchecked"
"""Outcome of a check that could not be made, because what it compares with cannot be read."""


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger a check reads and writes."""

    table: Table
    models: Models
    champions: Champions
    objects: ObjectLedger
    findings: Findings
    decisions: Decisions
    checks: Checks
    hours: Hours

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        rooms = (Models, Champions, ObjectLedger, Findings, Decisions, Checks, Hours)
        return cls(table, *(room(table) for room in rooms))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Due:
    """A model to look at, as of when, for which window of the schedule (empty: somebody asked).

    ``aside``: the answer is for who asked; nothing is recorded and nobody is told.
    """

    spec: ModelSpec
    champion: ChampionRow
    at: datetime
    window: str = ""
    aside: bool = False


@dataclass(frozen=True)
class Checked:
    """One check of one model; ``news``: a person is told, who was not told this of late."""

    model: str
    report: DriftReport
    report_uri: str
    page_uri: str
    news: bool
    notice: Notice
    aside: bool = False


@dataclass(frozen=True)
class Survey:
    """What one wake-up found, and which models could not be looked at and why."""

    checked: list[Checked]
    failed: list[str]


def survey(
    event: dict[str, Any],
    ledger: Ledger,
    objects: Objects,
    artifact_bucket: str,
    now: datetime,
    jobs: DomainJobs | None = None,
) -> Survey:
    """Look at every model that is due; one whose baseline cannot be read keeps no other unseen."""
    found = Survey([], [])
    for due in due_models(event, ledger, now):
        try:
            found.checked.append(look(due, ledger, objects, artifact_bucket, jobs))
        except DriftwheelError as error:
            found.failed.append(f"{due.spec.model}: {error}")
            ledger.checks.give_back(due.window)
            if not due.aside:
                ledger.decisions.record(_unchecked(due, str(error)))
        except Exception:
            ledger.checks.give_back(due.window)
            raise
    return found


def _unchecked(due: Due, reason: str) -> Decision:
    """Word that a check could not be made; its retry is the same decision."""
    at, run_id = due.at.isoformat(), due.champion.run_id
    return Decision(due.spec.model, at, "unchecked", "drift_check", UNCHECKED, reason, {}, run_id)


def due_models(event: dict[str, Any], ledger: Ledger, now: datetime) -> Iterator[Due]:
    """Name the live models to look at: the one asked for, all, or at a tick those whose window is new.

    A window is ``drift.every_minutes`` of scheduled time: however often its ticks are delivered, how late and
    in which order, it is checked once. ``window_hours`` of the event stands for the declared one: such a
    check answers who asked, and nobody else hears of it.
    """
    for spec in ledger.models.all():
        champion = ledger.champions.get(spec.model)
        if champion is None or event.get("model") not in {None, spec.model}:
            continue
        if event.get("kind") == "scheduled":
            window = _window(event, spec, champion)
            at = ledger.checks.take(window, now)
            if at is not None:
                yield Due(spec, champion, at, window)
        elif hours := event.get("window_hours"):
            drift = Drift.model_validate(spec.drift.model_dump() | {"window_hours": hours})
            yield Due(spec.model_copy(update={"drift": drift}), champion, now, aside=True)
        else:
            yield Due(spec, champion, now)


def _window(event: dict[str, Any], spec: ModelSpec, champion: ChampionRow) -> str:
    seconds = spec.drift.every_minutes * 60
    scheduled = datetime.fromisoformat(event["scheduled_time"]).timestamp()
    window = datetime.fromtimestamp(scheduled // seconds * seconds, UTC).isoformat()
    return f"{event['schedule']}#{spec.model}#{champion.sequence}#{window}"


def look(
    due: Due, ledger: Ledger, objects: Objects, artifact_bucket: str, jobs: DomainJobs | None = None
) -> Checked:
    """Check one model, publish page and report, and make it the model's latest finding."""
    spec, champion, now = due.spec, due.champion, due.at
    stamp, at = now.strftime("%Y%m%dT%H%M%SZ") + ("-asked" if due.aside else ""), now.isoformat()
    place = S3Uri(artifact_bucket, drift_prefix(spec.model, stamp))
    held = frozenset(ledger.hours.held_names(spec.model))
    judged = judge(
        spec, champion, ledger.objects, objects, artifact_bucket, now, accept=not due.aside, held=held
    )
    report, labelled = judged.report, labelled_days(judged.report)
    last = ledger.findings.get(spec.model)
    if last is not None and last.champion_sequence != champion.sequence:
        last = None
    if judged.broken is not None:
        found = hours_to_hold(spec.model, judged, last, at, str(place / "report.json"))
        ledger.hours.hold(spec.model, found)
        held = frozenset(ledger.hours.held_names(spec.model))
    every = spec.drift.every_minutes
    known = {window.partition(" ")[2] for window in last.windows} if last else set()
    broke = last is not None and report.sentence not in {"", last.fault} and report.blocks_retraining
    untold = last is not None and last.untold and last.severity == _severity(report)
    news = _tells(report) and (report.severity not in known or broke or untold)
    finding = Finding(
        model=spec.model,
        at=at,
        champion_sequence=champion.sequence,
        severity=_severity(report),
        fault=_fault(report, last),
        labelled_rows=sum(labelled.values()),
        labelled_days=labelled,
        held_labelled={hour: rows for hour, rows in judged.labelled.items() if rows and hour in held},
        whole_until=whole_until(judged, last, now),
        report_uri=str(place / "report.json"),
        windows=remember(last.windows if last else [], at, report.severity, every),
        history=extend(last.history if last else [], report, at, every),
        since=found_since(last.since if last else {}, report, at),
        untold=news,
    )
    # The same policy on the same state as the trigger, which decides again when it hears of this.
    answer = decide(situation_of(spec, TriggerLedger.of(ledger.table), now, finding), spec)
    notice = notice_of(spec, report, answer, finding.since, finding.windows)
    domains = Domains(ledger.table)
    asks = jobs if spec.drift.domain_classifier else None
    last_job = read_answer(spec.model, domains, asks) if asks else None
    document = document_of(report, champion, finding, answer, notice) | {"domain_classifier": told(last_job)}
    publish(objects, place, report, document, statistics_of(judged.window, judged.baseline))
    checked = Checked(
        spec.model, report, str(place / "report.json"), str(place / PAGE), news, notice, due.aside
    )
    if due.aside:
        return checked
    ledger.findings.record(finding)
    ledger.decisions.record(
        Decision(
            model=spec.model,
            at=at,
            id=f"drift-{stamp}",
            step="drift_check",
            outcome=report.severity,
            reason=report.sentence,
            numbers={"rows": report.rows, "drifted_weight": report.drifted_weight}
            | ({"held_hours": len(held)} if report.blocks_retraining else {}),
            run_id=champion.run_id,
        )
    )
    if asks and judged.sample and report.rows >= spec.drift.minimum_rows:
        ask(spec, champion.run_id, now, (judged.baseline["kinds"], judged.sample), domains, asks)
    return checked


def _fault(report: DriftReport, last: Finding | None) -> str:
    """Word what blocks retraining; a window of too few rows takes nothing back."""
    if report.severity == "insufficient_data" and last is not None:
        return last.fault
    return report.sentence if report.blocks_retraining else ""


def _severity(report: DriftReport) -> Literal["none", "minor", "major", "insufficient_data"]:
    return "none" if report.severity == "fault" else report.severity


def _tells(report: DriftReport) -> bool:
    return report.severity not in {"none", "insufficient_data"}


def drift_event(checked: Checked, stack: str) -> dict[str, str] | None:
    """Word ``Drift Detected`` for EventBridge; None when there is nothing to tell, or only who asked."""
    if checked.aside or not _tells(checked.report):
        return None
    headline = checked.report.headline()
    detail = {"stack": stack, "model": checked.model, "report_uri": checked.report_uri} | headline
    return {"Source": "driftwheel", "DetailType": "Drift Detected", "Detail": Objects.text(detail)}


def locations(checked: Checked) -> dict[str, str]:
    """Say where the report and its page are."""
    return {"report_uri": checked.report_uri, "page_uri": checked.page_uri}


def message_of(checked: Checked) -> str:
    """Word the notification of a check."""
    return message(checked.model, checked.report, checked.notice, checked.page_uri, checked.report_uri)
