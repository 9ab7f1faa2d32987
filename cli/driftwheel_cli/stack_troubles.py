"""What is wrong with a stack rather than with one of its models, and what to do about it."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from driftwheel.layout import MODELS
from driftwheel.ledger.outbox import Outbox
from driftwheel.steps.trigger import NOBODY
from driftwheel_cli.checkup import blind, dead_letters, ringing
from driftwheel_cli.connection import Stack
from driftwheel_cli.rendering import several
from driftwheel_cli.troubles import Trouble


def stack_troubles(stack: Stack) -> list[Trouble]:
    """List what is wrong beside the models: dead letters, alarms, what is nobody's, what nobody was told."""
    endpoints = {stack.endpoint_of(spec.model) for spec in stack.models()}
    asked = (
        dead_letters(stack.client, stack.names),
        ringing(stack.client, stack.names, endpoints),
        blind(stack.client, stack.names, endpoints, stack.now()),
    )
    found = [(f"{look.check}: {look.found}", look.remedy) for look in asked if look.state != "ok"]
    for look in (_nobodys_files, _refused_models, _untold):
        try:
            found += look(stack)
        except ClientError as error:  # an operator with fewer rights sees the rest
            found.append((f"not looked at: {error}", "allow this read, or look yourself"))
    return [Trouble(stack.names.stack, wrong, do) for wrong, do in found]


def _nobodys_files(stack: Stack) -> Iterator[tuple[str, str]]:
    keys = [row.key for row in stack.ledger.objects.of_model(NOBODY) if row.state == "pending"]
    if keys:
        yield (
            f"no registered model watches {several(keys)}",
            ("register the model whose prefix they lie under; they are then its own"),
        )


def _refused_models(stack: Stack) -> Iterator[tuple[str, str]]:
    """Declarations of models that have none which counts."""
    known = {spec.model for spec in stack.models()}
    keys = [entry["Key"] for entry in stack.objects.list(stack.names.landing_bucket, MODELS)]
    names = {key.removeprefix(MODELS).removesuffix("/model.yaml") for key in keys}
    for name in sorted(names - known):
        refused = [d for d in stack.ledger.decisions.of_model(name) if d.outcome == "spec_refused"]
        if refused:
            yield (
                f"{name} is not registered: {refused[0].reason}",
                "mend its model.yaml and register it again",
            )


def _untold(stack: Stack) -> Iterator[tuple[str, str]]:
    untold = [alert.subject for alert in Outbox(stack.table).untold()]
    findings = [stack.ledger.findings.get(spec.model) for spec in stack.models()]
    untold += [f"{finding.model}: drift or broken data" for finding in findings if finding and finding.untold]
    if untold:
        do = "nothing: it is tried again; if it stays, look at the alert topic's policy and key"
        yield f"people were not told yet: {several(untold)}", do
