"""``replay``: after model.yaml was mended, what lies in quarantine goes through again."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from driftwheel.digest import digest
from driftwheel.layout import S3Uri
from driftwheel.ledger.decisions import Decision
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.quarantine import (
    TODO,
    WORDS,
    RefusedFile,
    RejectedRows,
    quarantined_copy,
    refused_files,
    rejected_rows,
)
from driftwheel_cli.rendering import print_json, print_line, print_table


@click.command()
@click.argument("model")
@click.option("--run", "run_id", metavar="RUN", help="Only what this run set aside.")
@click.option("--file", "key", metavar="KEY", help="Only this file, such as data/flights/may.csv.")
@click.option("--all", "everything", is_flag=True, help="Everything in the model's quarantine.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def replay(
    options: Options,
    model: str,
    run_id: str | None,
    key: str | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put quarantined data through again.

    First mend model.yaml and register it. Refused files then return to pending, and one run is asked for,
    as by retrain; it reads every file of its window again, so rejected rows come back by themselves. What
    was refused under the model.yaml that counts now would be refused again and stays where it is. Twice is
    once. Without --run, --file or --all it only says what there is.

    Exit codes: 0 done, or nothing to do; 1 not possible now; 2 wrong usage.

    Example: driftwheel replay flights --file data/flights/may.csv
    """
    if sum(map(bool, (run_id, key, everything))) > 1:
        raise click.UsageError("choose one of --run, --file and --all")
    stack = options.open()
    spec = stack.spec(model)
    files, rows = _selected(stack, spec, run_id, key)
    todo = [file for file in files if file.way in TODO]
    reread = [found for found in rows if found.way in TODO]
    idle = dry_run or not (run_id or key or everything)
    done = 0
    if (todo or reread) and not idle:
        done = _put_through(stack, spec, todo, reread)
    if as_json:
        print_json(_document(files, rows, done=done, dry_run=idle))
        return
    _print(model, files, rows)
    print_line(_last_word(model, files, rows, idle=idle, done=done, chosen=bool(run_id or key or everything)))


def _selected(
    stack: Stack, spec: ModelSpec, run_id: str | None, key: str | None
) -> tuple[list[RefusedFile], list[RejectedRows]]:
    run = stack.run(run_id) if run_id else None
    if run is not None and run.model != spec.model:
        raise CommandFailed(f"run {run.run_id} is of {run.model}, not of {spec.model}")
    files, rows = refused_files(stack, spec), rejected_rows(stack, spec, run)
    if run is not None:
        files = [file for file in files if file.row.run_id == run.run_id]
    if key:
        if not stack.ledger.objects.of_key(spec.model, key):
            raise CommandFailed(
                f"no file {key} was delivered for {spec.model}; driftwheel objects {spec.model} lists them"
            )
        files = [file for file in files if file.row.key == key]
        rows = [found for found in rows if found.key == key]
    return files, rows


def _put_through(stack: Stack, spec: ModelSpec, todo: list[RefusedFile], reread: list[RejectedRows]) -> int:
    """Write the decisions, return the files, wake the trigger; count what was returned.

    In this order a crash leaves files that are pending, which the trigger's tick finds, or nothing done.
    Raises CommandFailed while a run is at work.
    """
    lease = stack.ledger.leases.get(spec.model)
    if lease is not None and lease.expires_at > time.time():
        raise CommandFailed(f"run {lease.run_id} of {spec.model} is at work; replay when it has ended")
    now = datetime.now(UTC)
    if todo:
        names = [file.row.sk for file in todo]
        stack.ledger.decisions.record(_decision(spec, "refused file", names, len(todo), now))
    if reread:
        count, names = sum(found.count for found in reread), [found.run_id for found in reread]
        stack.ledger.decisions.record(_decision(spec, "rejected row", names, count, now))
    reopened = sum(stack.ledger.objects.reopen(file.row) for file in todo if file.way == "reopen")
    restored = sum(_restore(stack, file) for file in todo if file.way == "restore")
    if reopened or reread:
        stack.client("sqs").send_message(
            QueueUrl=stack.names.arrival_queue_url,
            MessageBody=json.dumps({"kind": "manual", "model": spec.model}),
        )
    return reopened + restored


def _restore(stack: Stack, file: RefusedFile) -> bool:
    """Deliver the quarantined copy under the file's own key: S3 announces it like any other delivery."""
    row, kept = file.row, quarantined_copy(stack, file.row)
    if not stack.objects.copy(kept.bucket, kept.key, "", S3Uri(row.bucket, row.key)):
        return False
    head = stack.client("s3").head_object(Bucket=row.bucket, Key=row.key)
    return stack.ledger.objects.supersede(row, str(head.get("VersionId", "")))


def _decision(spec: ModelSpec, what: str, names: list[str], count: int, now: datetime) -> Decision:
    """Word a decision; its key is what is replayed under which model.yaml, so that twice is once."""
    return Decision(
        model=spec.model,
        at=now.isoformat()[:10],
        id=f"replay-{digest(what, sorted(set(names)), spec.model_dump(mode='json'))}",
        step="replay",
        outcome="replayed",
        reason=f"a person put {_counted(count, what)} through again",
        numbers={"count": count, "at": now.isoformat()},
    )


def _print(model: str, files: list[RefusedFile], rows: list[RejectedRows]) -> None:
    lines: list[tuple[Any, ...]] = [
        ("file", file.code, 1, file.row.key, file.row.run_id, WORDS[file.way]) for file in files
    ]
    lines += [("rows", one.code, one.count, one.key, one.run_id, WORDS[one.way]) for one in rows]
    columns = ("what", "reason", "count", "file", "set aside by", "what replay does")
    print_table(f"quarantine of {model}", columns, lines, empty="nothing is set aside")


def _last_word(
    model: str, files: list[RefusedFile], rows: list[RejectedRows], *, idle: bool, done: int, chosen: bool
) -> str:
    todo = [file for file in files if file.way in TODO]
    count = sum(found.count for found in rows if found.way in TODO)
    what = f"{_counted(len(todo), 'refused file')} and {_counted(count, 'rejected row')}"
    if not todo and not count:
        stuck = "unchanged" in {*(file.way for file in files), *(found.way for found in rows)}
        hint = ": mend model.yaml and register it first" if stuck else ""
        return f"nothing to do{hint}"
    if idle:
        how = "" if chosen else "; choose with --run, --file or --all"
        return f"{what} would go through again{how}"
    return (
        f"{_counted(done, 'file')} returned, {_counted(count, 'rejected row')} will be read again; "
        f"driftwheel status {model} shows the run"
    )


def _document(
    files: list[RefusedFile], rows: list[RejectedRows], *, done: int, dry_run: bool
) -> dict[str, Any]:
    return {
        "files": [
            {"key": f.row.key, "version": f.row.version, "run_id": f.row.run_id, "code": f.code, "way": f.way}
            for f in files
        ],
        "rows": [asdict(found) for found in rows],
        "returned": done,
        "dry_run": dry_run,
    }


def _counted(count: int, noun: str) -> str:
    """Count a noun.

    >>> _counted(1, "file"), _counted(1200, "row")
    ('1 file', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


COMMANDS = (replay,)
