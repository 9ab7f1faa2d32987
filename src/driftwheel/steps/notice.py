"""What a person is told of a drift check: what was found, since when, what happens next, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from driftwheel.drift.figures import short
from driftwheel.drift.finding import DriftReport, Finding
from driftwheel.drift.quality_loss import QUALITY
from driftwheel.spec import ModelSpec
from driftwheel.triggers.state import Answer, Start, Wait

LONGEST_SUBJECT = 100
"""SNS refuses a longer subject, one that is not ASCII and one with a line break:
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html."""

MOST_TOLD = 5

ACTIONS = {
    "data_fault": "Mend the source of {names}; `driftwheel drift {model}` then checks again.",
    "run_in_flight": "Nothing: `driftwheel runs {model}` follows the run.",
    "budget_spent": "Nothing, or raise triggers.runs_per_day or cost_per_day in model.yaml.",
    "unconfirmed": "Look at the page; nothing else yet.",
    "cannot_improve": "Look for new inputs or better labels: training on these again did not help.",
    "cooldown": "Nothing.",
    "waiting_for_labels": "Deliver labels: `driftwheel label {model} FILE`.",
    "quiet_period": "Nothing.",
    "no_source": "Drop a source file: `driftwheel drop FILE --model {model}`.",
    "new_files": "Nothing: the new model must beat the champion before it serves.",
    "drift": "Nothing: the new model must beat the champion before it serves.",
    "nothing_new": "Look at the page; `driftwheel retrain {model}` asks for a run now.",
}
"""The policy's codes → what is left to a person."""


@dataclass(frozen=True)
class Notice:
    """``subject`` fits an e-mail; ``reason`` is the decision's; the other parts are sentences."""

    subject: str
    reason: str
    since: str
    next: str
    do: str


def notice_of(
    spec: ModelSpec, report: DriftReport, answer: Answer, since: dict[str, str], windows: Sequence[str]
) -> Notice:
    """Word a check: ``answer`` is the policy's to this finding, ``since`` and ``windows`` its history."""
    faults = [finding for finding in report.findings if finding.kind == "fault"]
    reason = _reason(spec, report, answer)
    if report.severity == "none":
        do = "Nothing."
    elif report.severity == "insufficient_data":
        do = "Nothing; drift.minimum_rows in model.yaml says how many rows a verdict needs."
    else:
        do = ACTIONS[answer.code].format(names=named(faults or report.findings), model=spec.model)
    return Notice(
        _subject(spec.model, report, answer), reason, _since(since, windows), _next(spec, answer, reason), do
    )


def message(model: str, report: DriftReport, notice: Notice, page_uri: str, report_uri: str) -> str:
    """Write the notification: everything in the first line, then the findings and where the page is."""
    faults = [finding for finding in report.findings if finding.kind == "fault"]
    first = [f"{model}: {report.sentence}", *(finding.sentence for finding in faults[:1])]
    first += [f"Since {notice.since}." if notice.since else "", f"Next: {notice.next}", f"You: {notice.do}"]
    others = [f for f in report.findings if f not in faults[:1]]
    lines = [f"- {short(finding.feature)}: {short(finding.sentence, 400)}" for finding in others[:MOST_TOLD]]
    if len(others) > MOST_TOLD:
        lines.append(f"- and {len(others) - MOST_TOLD} more")
    parts = [short(" ".join(part for part in first if part), 1_500)]
    return "\n\n".join(
        [*parts, *(["\n".join(lines)] if lines else []), f"Page: {page_uri}\nReport: {report_uri}"]
    )


def named(findings: Sequence[Finding], most: int = 3) -> str:
    """Name the columns of findings as in a sentence."""
    names = [short(finding.feature, 32) for finding in findings]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _subject(model: str, report: DriftReport, answer: Answer) -> str:
    faults = [finding for finding in report.findings if finding.kind == "fault"]
    others = [finding for finding in report.findings if finding.feature != QUALITY]
    if faults:
        said = f"data fault in {named(faults)}"
    elif len(others) < len(report.findings):
        said = "quality loss" + (f" and drift in {named(others)}" if others else "")
    elif report.severity in {"none", "insufficient_data"}:
        said = "no drift" if report.severity == "none" else "not enough data"
    else:
        said = f"{report.severity} drift in {named(others)}"
    # The end is what a long list of names must not push out.
    end = ", cannot improve" if answer.code == "cannot_improve" else ""
    plain = "".join(c if " " <= c <= "~" else "?" for c in f"{model}: {said}")
    room = LONGEST_SUBJECT - len(end)
    return (plain if len(plain) <= room else f"{plain[: room - 3]}...") + end


def _since(since: dict[str, str], windows: Sequence[str]) -> str:
    if not since:
        return ""
    first = datetime.fromisoformat(min(since.values()))
    found = sum(window.partition(" ")[2] != "none" for window in windows)
    of = f", in {found} of the last {len(windows)} windows" if len(windows) > 1 else ""
    return f"the check of {first:%Y-%m-%d %H:%M} UTC{of}"


def _reason(spec: ModelSpec, report: DriftReport, answer: Answer) -> str:
    if answer.code != "nothing_new":
        return answer.sentence
    if report.severity == "insufficient_data":
        return f"a verdict needs {spec.drift.minimum_rows:,} rows, there are {report.rows:,}"
    if report.severity == "none":
        return "nothing was found"
    return f"{report.severity} drift does not retrain: drift.retrain_at is {spec.drift.retrain_at}"


def _next(spec: ModelSpec, answer: Answer, reason: str) -> str:
    if isinstance(answer, Start):
        return f"Driftwheel retrains now ({reason})."
    if isinstance(answer, Wait):
        until = datetime.fromtimestamp(answer.until, UTC) if answer.until else None
        again = f" It decides again at {until:%Y-%m-%d %H:%M} UTC." if until else ""
        return f"Driftwheel does not retrain yet: {reason}.{again}"
    if answer.code == "data_fault":
        return (
            "Driftwheel does not retrain on broken data; the champion keeps serving. "
            f"`driftwheel hours {spec.model}` lists the hours that data sets leave out."
        )
    return f"The champion keeps serving ({reason}); the next check is in {spec.drift.every_minutes} minutes."
