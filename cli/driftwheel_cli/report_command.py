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
@click.argument("name", metavar="RUN|MODEL")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; default: <model>-<run>.html here.",
)
@click.pass_obj
def report(options: Options, name: str, output: Path | None) -> None:
    """Write a finished run, or the last one of a model, as one HTML page that opens offline.

    Example: driftwheel report 3f2a91c0d4e5b6a7 --output run.html
    """
    stack = options.open()
    run = _last_of(stack, name) or stack.run(name)
    if not run.ended_at:
        raise CommandFailed(
            f"run {run.run_id} is still at work: driftwheel run {run.run_id} shows how far it is"
        )
    print_line(str(report_of(stack, run, output or Path(f"{run.model}-{run.run_id}.html"))))


def _last_of(stack: Stack, model: str) -> RunRow | None:
    ended = [run for run in stack.ledger.runs.of_model(model) if run.ended_at]
    return max(ended, key=lambda run: run.ended_at, default=None)


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
