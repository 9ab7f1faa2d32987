"""``profile``: look at unknown data and write a first ``model.yaml``, with a page to read beside it."""

import re
import tempfile
from pathlib import Path

import click

from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import NAME, load_spec
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_line, printable, stopwatch


@click.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--target", metavar="COLUMN", help="What to predict; without it the likeliest column is proposed."
)
@click.option("--model", metavar="NAME", help="The model's name; default: the first file's name.")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where model.yaml and profile.html go; default: here.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def profile(
    files: tuple[Path, ...], target: str | None, model: str | None, output: Path, *, force: bool
) -> None:
    """Look at data files of one schema and draft a model.yaml from them; nothing leaves this machine.

    Reads CSV, JSON Lines and Parquet, plain or gzip. Writes model.yaml with a comment for whatever only you
    can know, and profile.html, a page that opens offline.

    Example: driftwheel profile flights-2013-01.csv --target late
    """
    # DuckDB, sqlglot and matplotlib take half a second to import; other commands do without them.
    from driftwheel.discovery.draft import draft  # noqa: PLC0415
    from driftwheel.discovery.survey import survey  # noqa: PLC0415
    from driftwheel.recipe.declare import declare  # noqa: PLC0415
    from driftwheel_cli.report.profile import page_of  # noqa: PLC0415

    yaml_path, page_path = output / "model.yaml", output / "profile.html"
    there = [path for path in (yaml_path, page_path) if path.exists()]
    if there and not force:
        raise CommandFailed(f"{there[0]} exists; write elsewhere with --output, or overwrite with --force")
    name = model or _name(files[0])
    if not re.fullmatch(NAME, name) or len(name) > 24:
        raise CommandFailed(f"--model {name}: small letters, digits and single dashes, at most 24 characters")
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = survey(files, Path(folder), target, stopwatch())
        except Unreadable as error:
            hint = f"; {error.refusal.hint}" if error.refusal.hint else ""
            raise CommandFailed(f"{error.refusal.code}: {error.refusal.message}{hint}") from error
    for line in [*found.doubts, *found.bad_lines]:  # first: they may be why nothing can be drafted
        print_line(printable(line))
    text = draft(found, name)
    declare(load_spec(text))  # what is written must be what the stack accepts
    output.mkdir(parents=True, exist_ok=True)
    yaml_path.write_text(text, encoding="utf-8")
    page_path.write_text(page_of(found, name), encoding="utf-8")
    print_line(
        f"{found.rows:,} rows, {len(found.columns)} columns; "
        f"key {', '.join(found.key)}; target {found.target}"
    )
    for column in found.columns:
        for note in column.notes:
            print_line(f"{column.name}: {printable(note)}")
    for suspect, auc in found.leaking.items():
        print_line(f"{suspect}: suspected leakage, alone it tells {found.target} (AUC {auc:.3f})")
    print_line(f"{yaml_path}: read its comments, then: driftwheel register {yaml_path}")
    print_line(str(page_path))


def _name(path: Path) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", path.name.partition(".")[0].lower()).strip("-")
    return stem[:24].strip("-") or "model"


COMMANDS = (profile,)
