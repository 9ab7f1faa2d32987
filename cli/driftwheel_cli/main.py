"""The operator's command: what is asked of a stack, here or in the cloud, through AWS's own APIs."""

from pathlib import Path
from typing import Any

import click

from driftwheel_cli import (
    compare_command,
    deliveries,
    doctor_command,
    hours_command,
    inspection,
    local_stack,
    logs,
    plan_command,
    profile_command,
    replay_command,
    report_command,
    serving,
    traffic,
    verdicts,
)
from driftwheel_cli.connection import Options
from driftwheel_cli.failures import failure_of, known


class Commands(click.Group):
    """A group whose known faults are one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except known() as error:
            raise failure_of(error, ctx.params.get("local")) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--stack",
    envvar="DRIFTWHEEL_STACK",
    metavar="NAME",
    help="The stack's name (default: driftwheel, or what the local stack is called).",
)
@click.option(
    "--local",
    envvar="DRIFTWHEEL_LOCAL",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of a local stack; without it AWS is asked, with your own credentials and region.",
)
@click.version_option(package_name="driftwheel")
@click.pass_context
def cli(ctx: click.Context, stack: str | None, local: Path | None) -> None:
    """Machine learning that keeps its own models fresh: deliver data, see what became of it, and why.

    \b
    A local stack, from nothing to a served model:
      driftwheel up
      export DRIFTWHEEL_LOCAL=.driftwheel
      driftwheel register examples/flights/model.yaml
      driftwheel drop flights-2013-01.csv --model flights --wait
      driftwheel status flights

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
    """  # noqa: D301  # \b is click's own mark
    ctx.obj = Options(stack, local)


for family in (
    local_stack,
    doctor_command,
    profile_command,
    plan_command,
    compare_command,
    deliveries,
    inspection,
    report_command,
    traffic,
    serving,
    verdicts,
    replay_command,
    hours_command,
    logs,
):
    for command in family.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command line."""
    cli(prog_name="driftwheel")
