"""What becomes of delivered files: followed from the ledger, through the runs that take them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.following import BAD_ENDS, follow
from driftwheel_cli.rendering import console
from driftwheel_cli.sections import refusal_sentence, refusals

POLL_SECONDS = 0.5

BAD_STATES = frozenset({"quarantined", "ignored"})


@dataclass(frozen=True)
class Dropped:
    """A file as it was delivered."""

    file: str
    key: str
    version: str


@dataclass(frozen=True)
class Fate:
    """The end of a delivered file: its state in the ledger, the run that took it and how that ended.

    ``refused`` says file, column, row and remedy of everything the run set aside.
    """

    file: str
    key: str
    version: str
    state: str
    reason: str
    run_id: str = ""
    run_status: str = ""
    refused: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether a person should look."""
        return self.state in BAD_STATES or self.run_status in BAD_ENDS


def follow_arrivals(
    stack: Stack,
    spec: ModelSpec,
    dropped: list[Dropped],
    *,
    timeout_seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> list[Fate]:
    """Wait until every file has come to its end, showing the runs that take them.

    A file ends when its ledger state is terminal, or when the run that read it refused or failed and left it
    pending. Raises CommandFailed when ``timeout_seconds`` pass first, saying what it waits for.
    """
    followed: dict[str, RunRow] = {}
    waited = 0.0
    began = time.monotonic()
    out = console(stderr=True)
    while True:
        fates = [_fate(stack, spec.model, one, followed) for one in dropped]
        if all(fate is not None for fate in fates):
            return [fate for fate in fates if fate is not None]
        run = _next_run(stack, spec.model, dropped, followed)
        if run is not None:
            followed[run.run_id] = follow(stack, run, pause=pause)
            continue
        if max(waited, time.monotonic() - began) > timeout_seconds:
            raise CommandFailed(f"not at an end after {timeout_seconds:.0f} s: {_why_waiting(stack, spec)}")
        with out.status(f"waiting for a run: {_why_waiting(stack, spec)}"):
            pause(POLL_SECONDS)
        waited += POLL_SECONDS


def run_document(stack: Stack, run: RunRow) -> dict[str, Any]:
    """Read the record an ended run left; empty when it could not write one."""
    try:
        document: dict[str, Any] = stack.objects.read_json(stack.layout(run).record)
    except ArtifactInvalid:
        return {}
    return document


def _fate(stack: Stack, model: str, one: Dropped, followed: dict[str, RunRow]) -> Fate | None:
    row = _row(stack, model, one)
    if row is None:
        return None
    took = [run for run in followed.values() if _reads(stack, run, [one])]
    run = followed.get(row.run_id) or (took[-1] if took else None)
    if row.state == "pending" and (run is None or run.status not in BAD_ENDS):
        return None
    if run is None and row.run_id:
        run = stack.ledger.runs.get(model, row.run_id)
    if run is not None and not run.ended_at:
        return None  # set aside already, but the run that did it still says why
    aside: tuple[str, ...] = ()
    if run is not None and run.status != "promoted":
        aside = tuple(refusal_sentence(r) for r in refusals(run_document(stack, run)))
    elif row.state == "quarantined" and run is not None:
        found = refusals(run_document(stack, run))
        aside = tuple(refusal_sentence(r) for r in found if r.get("key") in {None, one.key})
    reason = row.reason or (run.outcome if run is not None else "")
    if run is not None and run.status in BAD_ENDS and row.state != "quarantined":
        reason = "; ".join(aside) or run.outcome
    elif row.state == "quarantined":
        reason = "; ".join(a for a in aside if one.key in a) or reason
    return Fate(
        one.file,
        one.key,
        one.version,
        row.state,
        reason,
        run.run_id if run is not None else "",
        run.status if run is not None else "",
        aside,
    )


def _row(stack: Stack, model: str, one: Dropped) -> ObjectRow | None:
    rows = stack.ledger.objects.of_key(model, one.key)
    return next((row for row in rows if row.version == one.version), None)


def _next_run(stack: Stack, model: str, dropped: list[Dropped], followed: dict[str, RunRow]) -> RunRow | None:
    """Find a run that reads one of the files and was not followed yet, oldest first."""
    for run in reversed(stack.ledger.runs.of_model(model)):
        if run.run_id not in followed and _reads(stack, run, dropped):
            return run
    return None


def _reads(stack: Stack, run: RunRow, dropped: list[Dropped]) -> bool:
    try:
        frozen = stack.objects.read_json(stack.layout(run).data_manifest)
    except ArtifactInvalid:
        return False
    wanted = {(one.key, one.version) for one in dropped}
    return any((entry["key"], entry["version"]) in wanted for entry in frozen["objects"])


def _why_waiting(stack: Stack, spec: ModelSpec) -> str:
    lease = stack.ledger.leases.get(spec.model)
    if lease is not None and lease.expires_at > time.time():
        return f"{lease.run_id} is at work"
    quiet = f"a run starts when no file came for {spec.triggers.quiet_seconds} s"
    found = stack.ledger.decisions.of_model(spec.model, limit=200)
    answers = [d for d in found if d.step == "trigger"]
    if not answers:
        return quiet
    latest = max(answers, key=lambda d: str(d.numbers.get("at", d.at)))
    return f"{quiet}; the last answer was {latest.outcome}: {latest.reason}"
