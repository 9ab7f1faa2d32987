"""``rollback``: the champion of before serves again."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from time import sleep

import click

from driftwheel.steps.rollback import Clients, Ledger, Waiter, roll_back, target_of
from driftwheel_cli.connection import Options
from driftwheel_cli.rendering import console, print_json, print_line


@click.command()
@click.argument("model")
@click.option(
    "--to", "run_id", default="", metavar="RUN", help="An earlier champion's run; default: the one before."
)
@click.option("--reason", default="", help="Why, for the decision ledger.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def rollback(options: Options, model: str, run_id: str, reason: str, as_json: bool) -> None:
    """Put an earlier champion back.

    The endpoint moves to its config and must answer its golden records. Refused while a run of the model
    is at work. Takes as long as the endpoint needs.

    Example: driftwheel rollback flights --reason "complaints since this morning"
    """
    stack = options.open()
    stack.spec(model)
    ledger = Ledger.of(stack.table)
    clients = Clients(stack.client("sagemaker"), stack.client("sagemaker-runtime"), stack.objects)
    wanted = stack.run(run_id).run_id if run_id else ""
    stands, target = target_of(model, ledger.champions, wanted)
    waiter = Waiter(lambda: datetime.now(UTC), sleep)
    with console(stderr=True).status(f"{stands.endpoint}: back to run {target.run_id}"):
        back = roll_back(stands, target, reason, stack.names.artifact_bucket, clients, ledger, waiter)
    # Whatever arrived while the lease was held is looked at now, not at the next tick.
    stack.client("sqs").send_message(
        QueueUrl=stack.names.arrival_queue_url, MessageBody=json.dumps({"kind": "reconsider", "model": model})
    )
    if as_json:
        print_json(asdict(back))
    else:
        print_line(
            f"{back.endpoint} serves run {back.run_id} again "
            f"(champion {back.sequence}, before: {stands.run_id})"
        )


COMMANDS = (rollback,)
