"""``report``: one run as a file to open, keep or send."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftwheel.ledger.runs import RunRow
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_line
from driftwheel_cli.sections import sentence
from driftwheel_cli.watching import watch_run

if TYPE_CHECKING:
    from driftwheel_cli.report.page import State


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; default: <model>-<run>.html here.",
)
@click.pass_obj
def report(options: Options, run_id: str, output: Path | None) -> None:
    """Write a finished run as one HTML page that opens offline.

    Example: driftwheel report 3f2a91c0d4e5b6a7 --output run.html
    """
    stack = options.open()
    run = stack.run(run_id)
    if not run.ended_at:
        raise CommandFailed(
            f"run {run.run_id} is still at work: driftwheel run {run.run_id} shows how far it is"
        )
    print_line(str(report_of(stack, run, output or Path(f"{run.model}-{run.run_id}.html"))))


def report_of(stack: Stack, run: RunRow, path: Path) -> Path:
    """Write the page of an ended run."""
    # matplotlib takes half a second to import; every other command does without it.
    from driftwheel_cli.report import write_report  # noqa: PLC0415

    return write_report(
        stack.objects, stack.names.artifact_bucket, run.model, run.run_id, path, states=_states(stack, run)
    )


def _states(stack: Stack, run: RunRow) -> "list[State]":
    return [
        (event.state, event.seconds, sentence(event.state, event.output))
        for event in watch_run(stack.client("stepfunctions"), run.execution_arn, follow=False)
        if event.kind == "exited"
    ]


COMMANDS = (report,)
