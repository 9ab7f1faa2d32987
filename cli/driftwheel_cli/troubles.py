"""What is wrong with a model and what to do: each fact in the words of the step that knows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from driftwheel.aws.sagemaker import existing
from driftwheel.errors import ArtifactInvalid
from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.decisions import Decision
from driftwheel.ledger.findings import Finding
from driftwheel.ledger.objects import STANDING, ObjectRow, padded
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.tokens import Parked
from driftwheel.spec import ModelSpec
from driftwheel.steps.drift_check import UNCHECKED
from driftwheel.steps.notice import ACTIONS
from driftwheel.steps.restoration import fault_of, remedy, wrong
from driftwheel.steps.rollback import HOLDER
from driftwheel.steps.trigger import situation_of
from driftwheel.triggers.policy import decide
from driftwheel.triggers.state import Wait
from driftwheel_cli.connection import Stack
from driftwheel_cli.rendering import several, when
from driftwheel_cli.watching import Progress

UNHEARD = timedelta(minutes=15)
"""Three turns of the schedules that look again: what nobody has heard by then is not heard by itself."""

UNASKED = timedelta(days=1)
"""Checks that found no row for so long are worth a word: those of a quiet night are not."""

SCHEDULES = "driftwheel doctor says whether the schedules are on"

CALM = frozenset({"asked", "drift", "new_files", "nothing_new", "quiet_period", "run_in_flight"})
"""Answers of the policy that leave nothing wrong."""

Words = Iterator[tuple[str, str]]
"""Pairs: what is wrong, what to do."""


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong: with which model or stack, in a sentence, and what to do."""

    about: str
    wrong: str
    do: str


@dataclass(frozen=True)
class Known:
    """What was read about a model at one moment.

    ``in_flight`` is the run that holds the lease, ``until`` that (epoch seconds); empty when none does.
    ``progress`` and ``waits`` are that run's, ``described`` is DescribeEndpoint's answer.
    """

    spec: ModelSpec
    now: datetime
    champion: ChampionRow | None
    endpoint: str
    described: dict[str, Any] | None
    in_flight: str
    until: int
    progress: Progress
    waits: list[Parked]
    runs: list[RunRow]
    rows: list[ObjectRow]
    decisions: list[Decision]
    finding: Finding | None


def troubles_of(stack: Stack, known: Known) -> Words:
    """Say what is wrong with a model beside its runs."""
    yield from _registration(stack, known)
    yield from _endpoint(stack, known)
    yield from _files(known)
    yield from _policy(stack, known)
    yield from _drift(known)


def _registration(stack: Stack, known: Known) -> Words:
    since = stack.ledger.models.registered_at(known.spec.model)
    refused = [d for d in known.decisions if d.outcome == "spec_refused" and d.at > since]
    if refused:
        reason = max(refused, key=lambda d: d.at).reason
        yield f"a later model.yaml was refused: {reason}", "mend it and register it again"


def _endpoint(stack: Stack, known: Known) -> Words:
    name, described, champion = known.endpoint, known.described or {}, known.champion
    fault = fault_of(champion, known.described)
    deploying = any(wait.kind == "endpoint" for wait in known.waits) or known.in_flight.startswith(HOLDER)
    if fault == "other_config" and deploying:
        return  # what is at work puts it right: see run_troubles
    if fault is not None:
        config = {"EndpointConfigName": champion.endpoint_config if champion else name}
        has_config = existing(stack.client("sagemaker"), "endpoint_config", config) is not None
        why = f": {described['FailureReason']}" if described.get("FailureReason") else ""
        soon = f"when {known.in_flight} has ended" if known.in_flight else "within minutes"
        do = remedy(known.spec, fault, has_config=has_config) or f"nothing: it is put right {soon}"
        yield wrong(champion, fault, name) + why, do
    elif described and described["EndpointStatus"] != "InService" and not known.waits:
        since = described.get("LastModifiedTime", known.now)
        if (known.now - since).total_seconds() > known.spec.deployment.limit_seconds:
            do = f"aws sagemaker describe-endpoint --endpoint-name {name}; if it stays so, ask AWS support"
            yield f"endpoint {name} is {described['EndpointStatus']} since {at(since)}", do
    stopped = described.get("DataCaptureConfig", {}).get("CaptureStatus") == "Stopped"
    if stopped and known.spec.deployment.captured_by == "endpoint" and known.spec.deployment.capture:
        do = f"driftwheel retrain {known.spec.model}: a new champion's config captures again"
        yield f"endpoint {name} captures nothing: no drift is seen", do


def _files(known: Known) -> Words:
    latest: dict[str, ObjectRow] = {}
    for row in sorted(known.rows, key=lambda row: padded(row.sequencer)):
        if row.state in {*STANDING, "quarantined", "rejected", "ignored"}:
            latest[row.key] = row
    newest = sorted(latest.values(), key=lambda row: row.received, reverse=True)
    aside = [row.reason for row in newest if row.state == "quarantined"]
    if aside:
        replay = f"driftwheel replay {known.spec.model}"
        yield f"quarantined: {several(aside)}", f"drop it mended; or mend model.yaml, then: {replay}"
    lost = [row.reason for row in newest if row.state == "ignored" and row.run_id]
    if lost:
        yield f"left out: {several(lost)}", "drop the file again"


def _policy(stack: Stack, known: Known) -> Words:
    """What keeps a run from starting: the trigger's own answer to the situation now."""
    model = known.spec.model
    situation = situation_of(known.spec, stack.ledger, known.now, known.finding)
    answer = decide(situation, known.spec)
    if answer.code not in CALM:
        ends = isinstance(answer, Wait) and answer.until
        until = f"; it decides again at {at(datetime.fromtimestamp(ends, UTC))}" if ends else ""
        do = ACTIONS[answer.code].format(names="the live data", model=model).rstrip(".")
        what = _broken(stack, known) if answer.code == "data_fault" else ""
        yield f"no run starts: {answer.sentence}{what}{until}", do[0].lower() + do[1:]
    quiet = known.now.timestamp() - situation.newest_arrival - known.spec.triggers.quiet_seconds
    at_work = any(run.status == "running" for run in known.runs)
    if answer.code != "new_files" or at_work or quiet <= UNHEARD.total_seconds():
        return
    said = [d for d in known.decisions if d.id.startswith("already_decided-")]
    if said:
        do = f"drop another file, or once that is mended: driftwheel retrain {model}"
        yield f"{answer.sentence}: {max(said, key=_said_at).reason}", do
    else:
        yield f"{answer.sentence}, and no run has started", f"{SCHEDULES}; driftwheel logs trigger says more"


def _broken(stack: Stack, known: Known) -> str:
    """Say what the last drift check found broken, where its report can still be read."""
    if known.finding is None:
        return ""
    try:
        report = stack.objects.read_json(S3Uri.parse(known.finding.report_uri))
    except ArtifactInvalid:
        return ""
    faults = [found["sentence"].rstrip(".") for found in report["findings"] if found["kind"] == "fault"]
    return f" ({several(faults)})" if faults else ""


def _drift(known: Known) -> Words:
    champion, finding, model = known.champion, known.finding, known.spec.model
    if champion is None:
        return
    checked = champion.promoted_at
    if finding is not None and finding.champion_sequence == champion.sequence:
        checked = max(checked, finding.at)
    failed = [d for d in known.decisions if d.outcome == UNCHECKED and d.at > checked]
    minutes = known.spec.drift.every_minutes
    if failed:
        reason = max(failed, key=lambda d: d.at).reason
        do = f"driftwheel retrain {model}: a new champion brings a baseline of its own"
        yield f"drift could not be checked: {reason}", do
    elif known.now - datetime.fromisoformat(checked) > timedelta(minutes=2 * minutes) + UNHEARD:
        since = f"drift was not checked since {when(checked)} UTC, every {minutes} minutes it should be"
        yield since, f"{SCHEDULES}; driftwheel drift {model} asks now"
    elif _unseen(known):
        mode, name = known.spec.deployment, known.endpoint
        look = f"aws sagemaker describe-endpoint --endpoint-name {name} shows its DataCaptureConfig"
        if mode.captured_by == "writer":
            look = "its callers ask through CapturingRuntime (docs/deploying.md)"
        yield (
            f"no drift check of a day found a row: {name} is not asked, not captured, or not in a known form",
            f"if it is asked: {look}; driftwheel drift {model} says what could not be read",
        )


def _unseen(known: Known) -> bool:
    """Whether a champion that should be captured was checked for a day, and no check found a row."""
    mode, champion, now = known.spec.deployment, known.champion, known.now
    stopped = (known.described or {}).get("DataCaptureConfig", {}).get("CaptureStatus") == "Stopped"
    if champion is None or (mode.captured_by == "endpoint" and (stopped or not mode.capture)):
        return False
    lately = [
        check
        for check in known.decisions
        if check.step == "drift_check" and check.run_id == champion.run_id and "rows" in check.numbers
        if now - datetime.fromisoformat(check.at) < UNASKED
    ]
    began = datetime.fromisoformat(champion.promoted_at)
    late_enough = any(datetime.fromisoformat(check.at) - began > UNASKED for check in lately)
    return late_enough and not any(check.numbers["rows"] for check in lately)


def at(moment: datetime) -> str:
    """Write a moment in a sentence."""
    return f"{when(moment.isoformat())} UTC"


def _said_at(decision: Decision) -> str:
    return str(decision.numbers.get("at", decision.at))
