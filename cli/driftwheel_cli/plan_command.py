"""``plan``: what a run on these files would start and cost at most, before any money is spent."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError

from driftwheel.recipe.declare import read_model
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Options
from driftwheel_cli.costs import Ceiling, Cost, ceiling, prices_text, read_prices
from driftwheel_cli.failures import CommandFailed, failure_of
from driftwheel_cli.rendering import console, print_facts, print_json, print_line, print_table, size

if TYPE_CHECKING:
    from driftwheel.dataset.prepare import DataFile, Prepared

MEMORY_MB = 1800
"""What the preprocessing function gives DuckDB (PREPROCESSING_MEMORY_MB in template.yaml)."""

existing_file = click.Path(path_type=Path, exists=True, dir_okay=False)


def _print_prices(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(prices_text(), nl=False)
        context.exit()


@click.command()
@click.argument("model")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=existing_file)
@click.option(
    "--with",
    "joined",
    metavar="ROLE FILE",
    type=(str, existing_file),
    multiple=True,
    help="A file of a joined source, such as: --with enrich-0 weather.csv.",
)
@click.option("--prices", metavar="FILE", type=existing_file, help="Your own table of prices.")
@click.option(
    "--print-prices",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_prices,
    help="Print the table of prices that is shipped, to be edited.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def plan(
    options: Options,
    model: str,
    files: tuple[Path, ...],
    joined: tuple[tuple[str, Path], ...],
    prices: Path | None,
    *,
    as_json: bool,
) -> None:
    """Say what a run on these files would start, and what it may cost at most.

    MODEL is a model.yaml, or the name of a registered model. The files are prepared here as the run would
    prepare them; nothing is uploaded and nothing is started. Exit code 1 when the run would be refused.
    What the stack already holds (files of earlier deliveries, captured traffic, the champion) is not read.

    Example: driftwheel plan model.yaml flights-2013-01.csv --with enrich-0 weather.csv
    """
    spec = _spec(options, model)
    table = read_prices(prices)
    data = _data_files(spec, files, joined)
    kept = sum(path.stat().st_size for path in (*files, *(path for _, path in joined)))
    ceiling(spec, table, kept, kept)  # a missing price is named before minutes are spent on the data
    began = time.monotonic()
    with console(stderr=True).status(f"preparing {size(kept)} as the run would"):
        prepared, published = _prepare(spec, data)
    seconds = time.monotonic() - began
    found = ceiling(spec, table, kept + published, kept)
    if as_json:
        print_json(_document(spec, prepared, found, table.currency))
    else:
        _show(spec, prepared, found, f"{table.currency}, {table.region}; {table.noted}", seconds)
    if prepared.outcome == "refused":
        raise click.exceptions.Exit(1)


def _spec(options: Options, model: str) -> ModelSpec:
    path = Path(model)
    if path.is_file():
        return read_model(path.read_bytes(), model)
    if path.suffix in {".yaml", ".yml"}:
        raise CommandFailed(f"{model} does not exist; driftwheel profile drafts one from your data")
    try:
        return options.open().spec(model)
    except (CommandFailed, BotoCoreError) as error:
        reason = failure_of(error, options.local).message
        raise CommandFailed(
            f"there is no file {model}; as the name of a registered model: {reason}"
        ) from error


def _data_files(
    spec: ModelSpec, files: tuple[Path, ...], joined: tuple[tuple[str, Path], ...]
) -> list[tuple[str, str, Path]]:
    """Pair every file with its role and the key it would be delivered under."""
    prefixes = {role: prefix for prefix, role in spec.prefixes.items()}
    given = [("source", path) for path in files] + list(joined)
    for role, _ in given:
        if role not in prefixes:
            raise CommandFailed(f"model {spec.model} has no role '{role}'; it has {', '.join(prefixes)}")
    absent = sorted(prefixes.keys() - {role for role, _ in given})
    if absent:
        raise CommandFailed(
            f"model {spec.model} joins {prefixes[absent[0]]}: name a file of it with --with {absent[0]} FILE"
        )
    return [(role, prefixes[role] + path.name, path) for role, path in given]


def _prepare(spec: ModelSpec, data: list[tuple[str, str, Path]]) -> "tuple[Prepared, int]":
    """Prepare the files; the answer, and the bytes a run would publish."""
    # DuckDB and sqlglot take half a second to import; other commands do without them.
    from driftwheel.dataset.prepare import DataFile, Inputs, prepare  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def links() -> "Iterator[DataFile]":  # preparation removes what it has read
            for number, (role, key, path) in enumerate(data):
                link = folder / f"file-{number}"
                link.symlink_to(path.resolve())
                yield DataFile(role, key, link)

        work = folder / "work"
        work.mkdir()
        prepared = prepare(spec, Inputs(links()), work, memory_mb=MEMORY_MB)
        published = [path for path in work.iterdir() if path.is_file() and path.suffix != ".duckdb"]
        return prepared, sum(path.stat().st_size for path in published)


def _show(spec: ModelSpec, prepared: "Prepared", found: Ceiling, currency: str, seconds: float) -> None:
    print_facts(
        f"model {spec.model}: the data",
        {
            "outcome": "ready to train on" if prepared.outcome == "ready" else "refused",
            **{name: count for name, count in prepared.rows.items() if count or name == "read"},
            **({"suspected leakage": ", ".join(prepared.leakage)} if prepared.leakage else {}),
            "prepared here in": f"{seconds:.1f} s",
        },
    )
    for key, refusal in prepared.refused:
        print_line(f"{key}: {refusal.code}: {refusal.message}" + _hint(refusal.hint))
    if prepared.problem:
        print_line(f"{prepared.problem.code}: {prepared.problem.message}" + _hint(prepared.problem.hint))
    if prepared.outcome == "refused":
        print_line("the run would end there: no training job, no change to what serves")
    for title, lines, total in (
        ("one run, at most", found.run, found.of_run),
        ("a month of serving", found.month, found.of_month),
    ):
        rows = [(cost.what, cost.quantity, f"{cost.amount:,.4f}") for cost in lines]
        print_table(title, ["what", "quantity", "cost"], [*rows, ("together", "", f"{total:,.4f}")])
    daily = spec.triggers.runs_per_day
    print_line(f"at most {daily} runs a day (triggers.runs_per_day): {daily * found.of_run:,.2f} a day")
    print_line(f"prices: {currency}")


def _hint(text: str | None) -> str:
    return f"; {text}" if text else ""


def _document(spec: ModelSpec, prepared: "Prepared", found: Ceiling, currency: str) -> dict[str, Any]:
    def lines(costs: list[Cost]) -> list[dict[str, Any]]:
        return [{"what": cost.what, "quantity": cost.quantity, "cost": cost.amount} for cost in costs]

    return {
        "model": spec.model,
        "outcome": prepared.outcome,
        "rows": prepared.rows,
        "problem": prepared.problem.facts() if prepared.problem else None,
        "refused": [{"key": key} | refusal.facts() for key, refusal in prepared.refused],
        "leakage": prepared.leakage,
        "currency": currency,
        "run": {"at_most": found.of_run, "costs": lines(found.run)},
        "month": {"about": found.of_month, "costs": lines(found.month)},
        "runs_per_day": spec.triggers.runs_per_day,
    }


COMMANDS = (plan,)
