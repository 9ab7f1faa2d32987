"""``doctor``: check an account before a stack is deployed to it, and a stack that is deployed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config

from driftwheel.recipe.declare import read_model
from driftwheel_cli.capturing import of_callers
from driftwheel_cli.checkup import Client, Finding, before_deployment, of_stack
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed, no_credentials
from driftwheel_cli.rendering import print_json, print_line, print_table


@click.command()
@click.argument(
    "models",
    metavar="[MODEL.YAML]...",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def doctor(options: Options, models: tuple[Path, ...], *, as_json: bool) -> None:
    """Check an account before `sam deploy`, and the stack once it is there; nothing is changed.

    Before: credentials, rights to deploy, names, the images of each model's algorithm and Spark job in this
    region, Lambda concurrency and the SageMaker quotas of the instances each MODEL.YAML names. After:
    EventBridge on the landing bucket, rules and schedules, no rule that matches our own outputs, empty
    dead-letter queues, captured traffic where callers are to capture.
    Exit code 1 when something is wrong; what may not be read is 'unknown' and does not fail.

    Example: driftwheel doctor examples/flights/model.yaml
    """
    specs = [read_model(path.read_bytes(), str(path)) for path in models]
    stack, absent = _stack(options)
    found: list[Finding] = []
    if options.local is None:
        session = boto3.Session()
        if session.region_name is None:
            raise CommandFailed(no_credentials("no region is configured"))
        name = options.stack or "driftwheel"
        found += before_deployment(_clients(session), session.region_name, name, specs)
    if stack is not None:
        found += [*of_stack(stack.client, stack.names), *of_callers(stack)]
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        _show(found, absent)
    if any(finding.state == "wrong" for finding in found):
        raise click.exceptions.Exit(1)


def _clients(session: Any) -> Client:
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})
    return lambda service: session.client(service, config=config)


def _stack(options: Options) -> tuple[Stack | None, str]:
    """Open the stack if there is one; before the first deployment there is none, and that is well."""
    try:
        return options.open(), ""
    except CommandFailed as error:
        if options.local is not None:
            raise
        return None, error.message


def _show(found: list[Finding], absent: str) -> None:
    rows = [(finding.check, finding.state, finding.found) for finding in found]
    print_table("checkup", ["check", "state", "found"], rows)
    for finding in found:
        if finding.state != "ok" and finding.remedy:
            print_line(f"{finding.check}: {finding.remedy}")
    if absent:
        print_line(f"not checked, because it is not deployed yet: {absent}")


COMMANDS = (doctor,)
