"""What the demo promised, whether it held, and where the time went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memory import PeakMemory
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from driftwheel.ledger.runs import RunRow
from driftwheel_cli.connection import Stack
from driftwheel_cli.rendering import console, printable
from driftwheel_cli.watching import watch_run

ALL = "in all"
COLUMNS = ("run", "why", "ended", "states entered", "Lambda calls", "seconds", "longest states")


@dataclass
class Claims:
    """What the demo promises, and whether it held."""

    rows: list[tuple[bool, str, str]] = field(default_factory=list)

    def check(self, held: object, claim: str, evidence: str) -> None:
        """Write one down."""
        self.rows.append((bool(held), claim, evidence))

    @property
    def hold(self) -> bool:
        """Whether every one held."""
        return all(held for held, _, _ in self.rows)


def show(
    stack: Stack, claims: Claims, runs: Sequence[RunRow], seconds: Mapping[str, float], peak: PeakMemory
) -> None:
    """Say whether every claim held, what each run cost in transitions and calls, and where the time went."""
    out = console()
    out.print()
    table = Table(box=None, show_header=False, pad_edge=False)
    for held, claim, evidence in claims.rows:
        mark = Text("✓", style="green") if held else Text("✗", style="bold red")
        table.add_row(mark, printable(claim), Text(printable(evidence), style="dim"))
    out.print(Panel(table, title="what was promised", title_align="left"))
    states = Table(*COLUMNS, box=None, pad_edge=False)
    for run in runs:
        states.add_row(*map(printable, steps(stack, run)))
    out.print(states)
    out.print()
    for title, spent in seconds.items():
        memory = (
            f", peak memory of all processes {peak.megabytes:,.0f} MB"
            if title == ALL and peak.megabytes
            else ""
        )
        out.print(Text(f"{spent:6.1f} s  {title}{memory}", style="bold" if title == ALL else ""))


def steps(stack: Stack, run: RunRow) -> tuple[str, ...]:
    """Count a run's transitions and calls, and name where it spent its time."""
    states = stack.client("stepfunctions")
    events = list(watch_run(states, run.execution_arn, follow=False))
    pages = states.get_paginator("get_execution_history").paginate(executionArn=run.execution_arn)
    calls = sum(
        event["type"] in {"LambdaFunctionScheduled", "TaskScheduled"}
        for page in pages
        for event in page["events"]
    )
    spent = sorted(((e.seconds, e.state) for e in events if e.kind == "exited"), reverse=True)[:3]
    entered = sum(event.kind == "entered" for event in events)
    total = next(event.seconds for event in events if event.kind == "ended")
    longest = ", ".join(f"{state} {seconds:.1f}" for seconds, state in spent)
    return run.run_id, run.kind, run.status, str(entered), str(calls), f"{total:.1f}", longest
