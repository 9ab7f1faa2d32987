"""What becomes of delivered files: followed from the ledger, through the runs that take them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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

BAD_STATES = frozenset({"quarantined", "rejected", "ignored"})


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
    followed = _Followed(stack, spec.model, dropped)
    waited = 0.0
    began = time.monotonic()
    out = console(stderr=True)
    while True:
        run = followed.next_run()
        if run is not None:
            followed.runs[run.run_id] = follow(stack, run, pause=pause)
            continue
        fates = [followed.fate(one) for one in dropped]
        if all(fate is not None for fate in fates):
            return [fate for fate in fates if fate is not None]
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


class _Followed:
    """The files and the runs that took them; a run's list of files is frozen, so it is read once."""

    def __init__(self, stack: Stack, model: str, dropped: list[Dropped]) -> None:
        self.runs: dict[str, RunRow] = {}
        self._stack = stack
        self._model = model
        self._dropped = dropped
        self._reads: dict[str, set[tuple[str, str]]] = {}

    def next_run(self) -> RunRow | None:
        """Find a run that reads one of the files and was not followed yet, oldest first."""
        rows = [row for one in self._dropped if (row := self._row(one)) is not None]
        if not rows:
            return None
        received = min(row.received for row in rows)
        wanted = {(one.key, one.version) for one in self._dropped}
        for run in reversed(self._stack.ledger.runs.of_model(self._model)):
            new = run.run_id not in self.runs and run.started_at >= received
            if new and wanted & self._files_of(run):
                return run
        return None

    def fate(self, one: Dropped) -> Fate | None:
        """Say how a file ended; None while it has not."""
        row = self._row(one)
        if row is None:
            return None
        took = [run for run in self.runs.values() if (one.key, one.version) in self._files_of(run)]
        run = took[-1] if took else None
        if row.state == "pending" and (run is None or run.status not in BAD_ENDS):
            return None
        if run is None and row.run_id:
            run = self._stack.ledger.runs.get(self._model, row.run_id)
        ended = Fate(one.file, one.key, one.version, row.state, row.reason)
        return ended if run is None else self._of_run(ended, run)

    def _of_run(self, fate: Fate, run: RunRow) -> Fate:
        """Add what the run says: of a refused one everything it set aside, else what concerns the file."""
        found = refusals(run_document(self._stack, run))
        about = [r for r in found if r.get("key") in {None, fate.key}]
        about = about or (found if run.status == "refused" else [])
        aside = tuple(refusal_sentence(r) for r in about)
        reason = fate.reason
        if fate.state == "quarantined" or run.status == "refused":
            reason = "; ".join(aside) or reason or run.outcome
        elif run.status in BAD_ENDS or not reason:
            reason = run.outcome
        return replace(fate, reason=reason, run_id=run.run_id, run_status=run.status, refused=aside)

    def _row(self, one: Dropped) -> ObjectRow | None:
        rows = self._stack.ledger.objects.of_key(self._model, one.key)
        return next((row for row in rows if row.version == one.version), None)

    def _files_of(self, run: RunRow) -> set[tuple[str, str]]:
        if run.run_id not in self._reads:
            try:
                frozen = self._stack.objects.read_json(self._stack.layout(run).data_manifest)
            except ArtifactInvalid:
                return set()
            self._reads[run.run_id] = {(entry["key"], entry["version"]) for entry in frozen["objects"]}
        return self._reads[run.run_id]


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
