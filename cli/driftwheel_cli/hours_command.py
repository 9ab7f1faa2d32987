"""``hours``: the hours of live traffic that no data set learns from, and the person who lets it."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from driftwheel.digest import digest
from driftwheel.hours import is_hour
from driftwheel.ledger.decisions import Decision
from driftwheel.ledger.hours import HeldHour
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_json, print_line, print_table, when

NAMED = 5


@click.command()
@click.argument("model")
@click.option(
    "--release",
    nargs=2,
    metavar="FROM TO",
    help="Let data sets learn from these hours again: 2026-11-29T08 2026-11-29T10 (UTC, both included).",
)
@click.option("--seen", default="", metavar="TIME", help="Only hours in which no later check found more.")
@click.option("--release-all", is_flag=True, help="Let data sets learn from every held hour again.")
@click.option("--reason", default="", help="Why, for the decision ledger.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def hours(
    options: Options,
    model: str,
    release: tuple[str, str] | None,
    seen: str,
    release_all: bool,
    reason: str,
    as_json: bool,
) -> None:
    """List held hours of traffic, or release them.

    A drift check that finds live traffic broken holds its hours: the next data sets leave out what was asked
    in them, also when the source was mended. Release those whose rows are good after all, or became so (a
    new spelling was declared under canonical). They stay released, whatever a later check finds in them;
    only an hour that was not over yet can be held again. Twice is once.

    Example: driftwheel hours flights --release 2026-11-29T08 2026-11-29T10 --reason "spelling declared"
    """
    if release and release_all:
        raise click.UsageError("choose one of --release and --release-all")
    stack = options.open()
    stack.spec(model)
    held = stack.ledger.hours.held(model)
    asked = held if release_all else _between(held, *release) if release else []
    chosen = [row for row in asked if not seen or row.at <= seen]
    released = _release(stack, model, chosen, reason) if chosen else []
    left = stack.ledger.hours.held(model) if asked else held
    kept = [row.hour for row in left if row.hour in {each.hour for each in asked}]
    if as_json:
        print_json({"held": [asdict(row) for row in left], "released": released})
        _refuse(kept)
        return
    lines = [(row.hour, why_of(row), when(row.at), row.report_uri) for row in left]
    columns = ("hour (UTC)", "what was broken", "found at (UTC)", "report")
    print_table(f"held hours of {model}", columns, lines, empty="no hour is held")
    if released:
        asks = f"driftwheel retrain {model} asks for one now"
        print_line(f"{len(released)} released: the next data set learns from them; {asks}")
    elif (release or release_all) and not asked:
        print_line("nothing to release")
    elif not asked and held:
        print_line(f"to learn from them after all, or from some: {release_command(model, held)}")
    _refuse(kept)


def _refuse(kept: list[str]) -> None:
    if kept:
        names = ", ".join(kept[:NAMED]) + (" and more" if len(kept) > NAMED else "")
        raise CommandFailed(
            f"{names}: more was found broken since the hours were listed; look again, then release"
        )


def why_of(row: HeldHour) -> str:
    """Say what was found broken in an hour."""
    return "; ".join(f"{column}: {codes}" for column, codes in row.causes.items())


def release_command(model: str, held: list[HeldHour]) -> str:
    """Name the command that releases these hours, as they are listed now."""
    seen = max(row.at for row in held)
    return f"driftwheel hours {model} --release {held[0].hour} {held[-1].hour} --seen {seen}"


def _between(held: list[HeldHour], first: str, last: str) -> list[HeldHour]:
    if wrong := [name for name in (first, last) if not is_hour(name)]:
        raise CommandFailed(f"'{wrong[0]}' is no hour: write it as 2026-11-29T08 (UTC)")
    if first > last:
        raise CommandFailed(f"{first} is after {last}: give the earlier hour first")
    return [row for row in held if first <= row.hour <= last]


def _release(stack: Stack, model: str, chosen: list[HeldHour], reason: str) -> list[str]:
    """Write the decision, then release: who repeats what died in between does the rest."""
    now = datetime.now(UTC).isoformat()
    stack.ledger.decisions.record(release_decision(model, chosen, reason, now))
    rows = [row for row in chosen if stack.ledger.hours.release(row, at=now, reason=reason)]
    return [row.hour for row in rows]


def release_decision(model: str, chosen: list[HeldHour], reason: str, now: str) -> Decision:
    """Word a release; its key is what is released, so that twice is once."""
    count = f"{len(chosen):,} held {'hour' if len(chosen) == 1 else 'hours'} of traffic"
    span = f"{chosen[0].hour} to {chosen[-1].hour}"
    return Decision(
        model=model,
        at=now[:10],
        id=f"hours-{digest([(row.hour, row.at) for row in chosen])}",
        step="hours",
        outcome="released",
        reason=f"a person released {count} ({span}): {reason or 'no reason given'}",
        numbers={"hours": [row.hour for row in chosen], "at": now},
    )


COMMANDS = (hours,)
