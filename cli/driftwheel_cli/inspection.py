"""``status``, ``runs``, ``run``, ``objects`` and ``decisions``: what there is, what happened, and why."""

from dataclasses import asdict
from typing import Any

import click
from botocore.exceptions import ClientError

from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.decisions import Decision
from driftwheel.ledger.hours import HeldHour
from driftwheel.ledger.runs import RunRow
from driftwheel_cli.arrivals import run_document
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.drift_answer import page_beside
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.hours_command import why_of
from driftwheel_cli.rendering import print_facts, print_json, print_line, print_table, several, size, when
from driftwheel_cli.sections import refusal_sentence, refusals, section_name, sentence, verdict
from driftwheel_cli.situation import ModelStatus, status_of
from driftwheel_cli.stack_troubles import stack_troubles
from driftwheel_cli.troubles import Trouble
from driftwheel_cli.watching import StateEvent, progress_of, watch_run

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")

RUN_COLUMNS = ("run", "model", "started (UTC)", "why", "status", "outcome")


@click.command()
@click.argument("model", required=False)
@as_json
@click.pass_obj
def status(options: Options, model: str | None, as_json: bool) -> None:
    """Say how the models are.

    Champion, endpoint, run in flight, files waiting, last decision, last drift check, held hours of traffic.
    Lines that begin with an exclamation mark say what is wrong, the line below what to do.

    Example: driftwheel status flights
    """
    stack = options.open()
    every = [status_of(stack, spec) for spec in ([stack.spec(model)] if model else stack.models())]
    of_stack = stack_troubles(stack)
    if as_json:
        told = [asdict(one) for one in every]
        beside = {"stack_troubles": [asdict(one) for one in of_stack]}
        print_json(told[0] | beside if model else {"models": told} | beside)
        return
    if model:
        print_facts(model, _status_facts(every[0]))
    else:
        _list_models(every)
    print_troubles([*(trouble for one in every for trouble in one.troubles), *of_stack])


def _list_models(every: list[ModelStatus]) -> None:
    rows = [
        (
            one.model,
            one.champion["run_id"] if one.champion else "none yet",
            one.metrics.get(next(iter(one.metrics), ""), ""),
            one.endpoint["status"],
            one.in_flight["state"] or "starting" if one.in_flight else "",
            len(one.pending),
            one.drift["severity"] if one.drift and one.drift["of_this_champion"] else "",
        )
        for one in every
    ]
    columns = ("model", "champion", "metric", "endpoint", "in flight", "pending", "drift")
    print_table("models", columns, rows, empty="register one with driftwheel register model.yaml")


def print_troubles(troubles: list[Trouble]) -> None:
    """Print what is wrong, and under each thing what to do."""
    for trouble in troubles:
        # A line is ours to begin: what others wrote may not look like one.
        for line in (f"! {trouble.about}: {trouble.wrong}", f"  do: {trouble.do}"):
            print_line(line.replace("\n", "\\n"))


@click.command()
@click.argument("model", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Newest so many.")
@as_json
@click.pass_obj
def runs(options: Options, model: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first.

    Given a run's id instead of a model, show that run.

    Example: driftwheel runs flights --limit 5
    """
    stack = options.open()
    names = [spec.model for spec in stack.models()]
    if model is not None and model not in names:
        _show_run(stack, _found(stack, model), as_json=as_json)
        return
    rows = [row for name in names if model in {None, name} for row in stack.ledger.runs.of_model(name)]
    rows = sorted(rows, key=lambda row: row.started_at, reverse=True)[:limit]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    lines = [
        (row.run_id, row.model, when(row.started_at), f"{row.kind}: {row.reason}", row.status, row.outcome)
        for row in rows
    ]
    print_table("runs", RUN_COLUMNS, lines)


@click.command()
@click.argument("run_id")
@as_json
@click.pass_obj
def run(options: Options, run_id: str, as_json: bool) -> None:
    """Show one run: states, reasons, numbers, files.

    Example: driftwheel run 3f2a91c0d4e5b6a7
    """
    stack = options.open()
    _show_run(stack, stack.run(run_id), as_json=as_json)


@click.command()
@click.argument("model")
@click.option("--state", help="Only files in this state, such as quarantined.")
@as_json
@click.pass_obj
def objects(options: Options, model: str, state: str | None, as_json: bool) -> None:
    """List files and what became of them.

    Example: driftwheel objects flights --state quarantined
    """
    stack = options.open()
    stack.spec(model)
    rows = [row for row in stack.ledger.objects.of_model(model) if state in {None, row.state}]
    rows.sort(key=lambda row: row.received)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    lines = [
        (
            row.key,
            row.version[:8],
            row.role,
            size(row.size),
            when(row.received),
            row.state,
            row.run_id,
            row.reason,
        )
        for row in rows
    ]
    columns = ("key", "version", "role", "size", "received (UTC)", "state", "run", "reason")
    print_table(f"files of {model}", columns, lines)


@click.command()
@click.argument("model")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Newest so many.")
@as_json
@click.pass_obj
def decisions(options: Options, model: str, limit: int, as_json: bool) -> None:
    """List what was decided, and why.

    Example: driftwheel decisions flights
    """
    stack = options.open()
    rows = stack.ledger.decisions.of_model(model, limit=max(200, limit))
    if not rows:
        stack.spec(model)  # a refused model.yaml leaves a decision without a registered model
    rows = sorted(rows, key=decided_at, reverse=True)[:limit]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    lines = [(when(decided_at(row)), row.step, row.outcome, row.reason, row.run_id) for row in rows]
    print_table(f"decisions about {model}", ("at (UTC)", "step", "outcome", "reason", "run"), lines)


def decided_at(decision: Decision) -> str:
    """Say when a decision was taken; one keyed by its day or run keeps the moment in its numbers."""
    return str(decision.numbers.get("at") or decision.at)


def _found(stack: Stack, name: str) -> RunRow:
    try:
        return stack.run(name)
    except CommandFailed as error:
        known = ", ".join(spec.model for spec in stack.models()) or "none"
        raise CommandFailed(
            f"'{name}' is neither a registered model (there are: {known}) nor a run"
        ) from error


def _show_run(stack: Stack, row: RunRow, *, as_json: bool) -> None:
    states = stack.client("stepfunctions")
    document = run_document(stack, row) if row.ended_at else {}
    try:
        document = document or progress_of(states, row.execution_arn).document
        events = list(watch_run(states, row.execution_arn, follow=False))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        events = []  # Step Functions forgets executions 90 days after their end; run.json stays
    files = _files(stack, row)
    if as_json:
        history = [
            {
                "kind": e.kind,
                "state": e.state,
                "at": e.at,
                "seconds": e.seconds,
                "error": e.error,
                "cause": e.cause,
            }
            for e in events
        ]
        print_json({"run": asdict(row), "document": document, "files": files, "states": history})
        return
    facts: dict[str, Any] = {
        "status": row.status,
        "outcome": row.outcome,
        "why": f"{row.kind}: {row.reason}",
        "started": when(row.started_at),
        "ended": when(row.ended_at) if row.ended_at else "",
        "execution": row.execution_arn,
    }
    facts |= verdict(document.get("evaluation_gate") or {})
    print_facts(f"run {row.run_id} of {row.model}", {k: v for k, v in facts.items() if v})
    print_table("states", ("state", "seconds", "what it left"), _state_rows(events))
    if document.get("evaluation_gate"):
        reasons = document["evaluation_gate"].get("reasons", [])
        print_table("reasons", ("code", "sentence"), [(r.get("code"), r.get("sentence")) for r in reasons])
    print_table(
        "files",
        ("key", "version", "role", "size"),
        [(f["key"], f["version"], f["role"], size(f["size"])) for f in files],
    )
    aside = refusals(document)
    if aside:
        print_table("set aside", ("code", "why"), [(r.get("code"), refusal_sentence(r)) for r in aside])


def _state_rows(events: list[StateEvent]) -> list[tuple[str, str, str]]:
    rows, begun = [], ""
    for event in events:
        if event.kind == "entered":
            begun = event.state
        elif event.kind == "exited":
            begun = ""
            has_section = section_name(event.state) in (event.output or {})
            if has_section:
                rows.append((event.state, f"{event.seconds:.1f}", sentence(event.state, event.output)))
        elif event.kind == "fault":
            rows.append((event.state, f"{event.seconds:.1f}", f"{event.error}: {event.cause}"))
        else:
            begun = ""
            rows.append((event.state, f"{event.seconds:.1f}", event.error))
    return [*rows, *([(begun, "", "at work")] if begun else [])]


def _files(stack: Stack, row: RunRow) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = stack.objects.read_json(stack.layout(row).data_manifest)["objects"]
    except ArtifactInvalid:
        return []
    return found


def _status_facts(found: ModelStatus) -> dict[str, Any]:
    champion, flight, decision, drift = found.champion, found.in_flight, found.decision, found.drift
    serving = found.endpoint
    facts: dict[str, Any] = {"champion": "none yet"}
    if champion:
        facts["champion"] = f"run {champion['run_id']}, number {champion['sequence']}"
        facts["since"] = f"{when(champion['promoted_at'])} UTC: {champion['reason']}"
    facts |= found.metrics
    facts["endpoint"] = serving["name"]
    facts["endpoint status"] = serving["status"]
    if serving.get("config"):
        facts["serves"] = serving["config"] + (
            "" if serving["as_wanted"] or not champion else "  NOT the champion's config"
        )
    if serving.get("reason"):
        facts["endpoint says"] = serving["reason"]
    facts["in flight"] = "nothing"
    if flight:
        why = f": {flight['reason']}" if flight["reason"] else ""
        facts["in flight"] = f"{flight['run_id']}, {flight['state'] or 'starting'}{why}"
        for wait in flight["waits_for"]:
            facts["waits for"] = f"{wait['arn'].rpartition(':')[2]} since {when(wait['since'])} UTC"
    facts["pending files"] = ", ".join(found.pending[:5]) or "none"
    if len(found.pending) > 5:
        facts["pending files"] += f" and {len(found.pending) - 5} more"
    if decision:
        facts["last decision"] = f"{when(decision['at'])} {decision['outcome']}: {decision['reason']}"
    if drift:
        facts["last drift check"] = (
            f"{when(drift['at'])} {drift['fault'].rstrip('.') or drift['severity']}, "
            f"{drift['labelled_rows']:,} labelled rows"
            + ("" if drift["of_this_champion"] else " (of an earlier champion)")
        )
        facts["its page"] = page_beside(drift["report_uri"])
    if found.held_hours:
        held = [HeldHour(**row) for row in found.held_hours]
        facts["held hours"] = (
            f"{len(held):,} since {held[0].hour} UTC ({several([*dict.fromkeys(map(why_of, held))])})"
        )
        facts["look and release"] = f"driftwheel hours {found.model}"
    return facts


COMMANDS = (status, runs, run, objects, decisions)
