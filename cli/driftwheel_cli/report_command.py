"""``report``: one run as a file to open, keep or send."""

from pathlib import Path

import click

from driftwheel_cli.connection import Options
from driftwheel_cli.rendering import print_line
from driftwheel_cli.report.page import write_report


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-o", "output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it."
)
@click.pass_obj
def report(options: Options, run_id: str, output: Path | None) -> None:
    """Write a finished run as one HTML page that opens offline.

    Example: driftwheel report ab12 -o run.html
    """
    stack = options.open()
    row = stack.run(run_id)
    path = output or Path(f"{row.model}-{row.run_id}.html")
    print_line(str(write_report(stack.objects, stack.names.artifact_bucket, row.model, row.run_id, path)))
