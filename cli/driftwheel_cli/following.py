"""Live progress of runs: on stderr, so that stdout keeps the answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.text import Text

from driftwheel.ledger.runs import RunRow
from driftwheel_cli.connection import Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import console, printable
from driftwheel_cli.sections import sentence
from driftwheel_cli.watching import StateEvent, watch_run

POLL_SECONDS = 0.5

BAD_ENDS = frozenset({"refused", "rejected", "failed", "aborted"})

SETTLE_SECONDS = 30
"""After an execution ended without its last state, job_callback writes the run's end this soon."""


def follow(stack: Stack, run: RunRow, *, pause: Callable[[float], None] = time.sleep) -> RunRow:
    """Show a run's states until it ends and return its last row.

    Raises CommandFailed when the execution ended and nobody wrote down how.
    """
    out = console(stderr=True)
    out.print(Text(printable(f"run {run.run_id} of {run.model}: {run.reason}"), style="bold"))
    with _spinner(out) as status:
        for event in watch_run(
            stack.client("stepfunctions"), run.execution_arn, poll_seconds=POLL_SECONDS, pause=pause
        ):
            _show(out, status, event)
            if (event.kind, event.state) == ("entered", "Approval"):
                out.print(Text(f"          waits for a person: driftwheel approve {run.run_id}, or reject"))
    waited = 0.0
    while waited <= SETTLE_SECONDS:
        row = stack.ledger.runs.get(run.model, run.run_id)
        if row is not None and row.ended_at:
            return row
        pause(POLL_SECONDS)
        waited += POLL_SECONDS
    raise CommandFailed(
        f"the execution of run {run.run_id} ended, but the ledger still says running: "
        f"driftwheel run {run.run_id} shows how far it came"
    )


def _show(out: Console, status: Status | None, event: StateEvent) -> None:
    if event.kind == "entered":
        if status is not None:
            status.update(f"{event.state} …")
        return
    if event.kind == "fault":
        said = f"{event.error}: {event.cause}"
    elif event.kind == "exited":
        said = sentence(event.state, event.output)
        if not said:
            return
    else:
        said = event.error
    colour = {"fault": "red", "ended": "bold"}.get(event.kind, "")
    line = f"{event.at:%H:%M:%S}  {event.state:<15} {event.seconds:7.1f} s  {said}"
    out.print(Text(printable(line), style=colour), soft_wrap=True)


@contextmanager
def _spinner(out: Console) -> Iterator[Status | None]:
    if not out.is_terminal:
        yield None
        return
    with out.status("waiting for the first state …") as status:
        yield status
