"""``approve``, ``reject`` and ``retrain``: a person decides."""

import json
import time
from datetime import UTC, datetime

import click

from driftwheel.deployment.registry import Approval, approval_request
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.tokens import Parked
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.following import BAD_ENDS, follow
from driftwheel_cli.inspection import decided_at
from driftwheel_cli.rendering import console, print_line

POLL_SECONDS = 0.5

wait_option = click.option(
    "--wait", is_flag=True, help="Follow the run to its end; exit 1 when it ends badly."
)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="", help="Why, for the registry and the run's record.")
@wait_option
@click.pass_obj
def approve(options: Options, run_id: str, reason: str, wait: bool) -> None:
    """Let a waiting run deploy its model.

    Example: driftwheel approve 3f2a91c0d4e5b6a7 --reason "checked with the airport"
    """
    _decide(options.open(), run_id, "Approved", reason, wait=wait)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="", help="Why, for the registry and the run's record.")
@wait_option
@click.pass_obj
def reject(options: Options, run_id: str, reason: str, wait: bool) -> None:
    """Keep the champion, refuse a waiting run.

    Example: driftwheel reject 3f2a91c0d4e5b6a7 --reason "trained on the strike week"
    """
    _decide(options.open(), run_id, "Rejected", reason, wait=wait)


@click.command()
@click.argument("model")
@wait_option
@click.option(
    "--timeout", type=click.IntRange(min=1), default=60, show_default=True, help="Seconds until a run starts."
)
@click.pass_obj
def retrain(options: Options, model: str, wait: bool, timeout: int) -> None:
    """Ask for a run now.

    Quiet period, cooldown and budget do not count, a run at work does. A data set that was trained on
    already is not trained on again: the answer is then the earlier run.

    Example: driftwheel retrain flights --wait
    """
    stack = options.open()
    stack.spec(model)
    lease = stack.ledger.leases.get(model)
    if lease is not None and lease.expires_at > time.time():
        raise CommandFailed(
            f"run {lease.run_id} of {model} is at work; two would judge each other's leavings"
        )
    known = {row.run_id for row in stack.ledger.runs.of_model(model)}
    asked_at = datetime.now(UTC).isoformat()
    stack.client("sqs").send_message(
        QueueUrl=stack.names.arrival_queue_url, MessageBody=json.dumps({"kind": "manual", "model": model})
    )
    if not wait:
        print_line(f"asked the trigger for a run of {model}; driftwheel status {model} shows it")
        return
    run = _new_run(stack, model, known, asked_at, timeout)
    _conclude(follow(stack, run))


def _decide(stack: Stack, run_id: str, approval: Approval, reason: str, *, wait: bool) -> None:
    run = stack.run(run_id)
    parked = _asked(stack, run)
    request = approval_request(
        package_arn=parked.arn, approval=approval, reason=reason or f"driftwheel {approval.lower()}"
    )
    stack.client("sagemaker").update_model_package(**request)
    print_line(f"run {run.run_id} of {run.model}: {approval.lower()} in the registry ({parked.arn})")
    if wait:
        ended = follow(stack, run)
        wanted = "promoted" if approval == "Approved" else "rejected"
        if ended.status != wanted:
            raise CommandFailed(f"run {ended.run_id} ended {ended.status}: {ended.outcome}")


def _asked(stack: Stack, run: RunRow) -> Parked:
    """Find the question a run waits for; raises CommandFailed when it asks none."""
    for parked in [] if run.ended_at else stack.tokens.all():
        if parked.kind == "model_package" and (parked.model, parked.run_id) == (run.model, run.run_id):
            return parked
    ended = f"it ended {run.status}: {run.outcome}" if run.ended_at else "it is still at work"
    raise CommandFailed(f"run {run.run_id} of {run.model} does not wait for a person; {ended}")


def _new_run(stack: Stack, model: str, known: set[str], asked_at: str, timeout: int) -> RunRow:
    deadline = time.monotonic() + timeout
    with console(stderr=True).status("waiting until the trigger has decided"):
        while time.monotonic() < deadline:
            for row in stack.ledger.runs.of_model(model):
                if row.run_id not in known or row.started_at > asked_at:
                    return row
            for decision in stack.ledger.decisions.of_model(model, limit=200):
                fresh = decision.step == "trigger" and decided_at(decision) > asked_at
                if fresh and decision.outcome != "start":
                    raise CommandFailed(f"no run: {decision.reason}")
            time.sleep(POLL_SECONDS)
    earlier = next(iter(stack.ledger.runs.of_model(model)), None)
    about = f"the last run, {earlier.run_id}, ended {earlier.status}" if earlier else "there was no run yet"
    raise CommandFailed(
        f"no run of {model} within {timeout} s: probably nothing changed since ({about}); "
        f"see driftwheel decisions {model}"
    )


def _conclude(run: RunRow) -> None:
    if run.status in BAD_ENDS:
        raise CommandFailed(f"run {run.run_id} ended {run.status}: {run.outcome}")
    print_line(f"run {run.run_id} ended {run.status}: {run.outcome}")


COMMANDS = (approve, reject, retrain)
