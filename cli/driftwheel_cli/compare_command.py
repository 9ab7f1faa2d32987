"""``compare``: two files beside each other, with the tests of a drift check; no stack is asked."""

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from driftwheel.drift.limits import Limits
from driftwheel.recipe.declare import read_model
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import ModelSpec
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_line, printable, stopwatch

if TYPE_CHECKING:
    from driftwheel.drift.domain_classifier import DomainVerdict

EXIT_CODES = {"none": 0, "minor": 3, "major": 3, "fault": 4, "insufficient_data": 5}

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("baseline", type=FILE)
@click.argument("current", type=FILE)
@click.option(
    "--model",
    type=FILE,
    metavar="FILE",
    help="A model.yaml that says what the columns are; else they are inferred.",
)
@click.option(
    "--minimum-rows",
    type=click.IntRange(50),
    default=Limits.minimum_rows,
    show_default=True,
    help="Fewer rows give no answer.",
)
@click.option("--json", "json_path", type=NEW, metavar="FILE", help="Write the whole report as JSON.")
@click.option(
    "--violations", type=NEW, metavar="FILE", help="Write constraint_violations.json as Model Monitor does."
)
@click.option("--html", type=NEW, metavar="FILE", help="Write a page that opens offline.")
@click.option(
    "--domain-classifier",
    "classify",
    is_flag=True,
    help="Also let XGBoost tell the rows of both files apart: finds what only the columns together show.",
)
def compare(
    baseline: Path,
    current: Path,
    model: Path | None,
    minimum_rows: int,
    json_path: Path | None,
    violations: Path | None,
    html: Path | None,
    *,
    classify: bool,
) -> None:
    """Say whether one data file has drifted from another, or is broken; nothing leaves this machine.

    Reads CSV, JSON Lines and Parquet, plain or gzip. Every finding has an effect that matters and a p-value
    corrected for all tests made; broken data (another unit, gaps, a dead sensor) is told from drift.

    Exit codes: 0 no drift, 3 drift, 4 data fault, 5 too few rows; 1 a file cannot be read, 2 wrong usage.

    Example: driftwheel compare january.csv july.csv --html drift.html
    """
    # DuckDB and numpy take half a second to import; other commands do without them.
    from driftwheel.discovery.comparison import compare as compare_files  # noqa: PLC0415
    from driftwheel.drift.monitor_files import constraint_violations  # noqa: PLC0415
    from driftwheel.drift.page import page_of  # noqa: PLC0415

    for path in filter(None, (json_path, violations, html)):
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise CommandFailed(f"{path} cannot be written: {path.parent} is no folder you may write in")
    spec = read_model(model.read_bytes(), str(model)) if model else None
    limits = replace(spec.drift.limits if spec else Limits(), minimum_rows=minimum_rows)
    progress = stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = compare_files(baseline, current, Path(folder), spec, limits, progress)
            progress("telling the rows apart") if classify else None
            told = _told_apart(baseline, current, Path(folder), spec, limits) if classify else None
        except Unreadable as error:
            hint = f"; {error.refusal.hint}" if error.refusal.hint else ""
            raise CommandFailed(f"{error.refusal.code}: {error.refusal.message}{hint}") from error
    document = report.to_json() | ({"domain_classifier": told.to_json()} if told else {})
    if json_path:
        json_path.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    if violations:
        violations.write_text(json.dumps(constraint_violations(report), indent=1), encoding="utf-8")
    if html:
        about = [
            f"{current.name}, {report.rows:,} rows, beside {baseline.name}, {report.baseline_rows:,} rows",
            *([told.sentence] if told else []),
        ]
        page = page_of(document, f"{baseline.name} and {current.name}", about)
        html.write_text(page, encoding="utf-8")
    print_line(printable(report.sentence))
    for finding in report.findings:
        print_line(
            f"{printable(finding.feature)} ({finding.kind}, {finding.code}): {printable(finding.sentence)}"
        )
    if told:
        print_line(printable(told.sentence))
    found = told is not None and told.verdict == "drift" and report.severity == "none"
    sys.exit(EXIT_CODES["minor" if found else report.severity])


def _told_apart(
    baseline: Path, current: Path, folder: Path, spec: ModelSpec | None, limits: Limits
) -> "DomainVerdict":
    """Ask the domain classifier; raises CommandFailed where XGBoost is not installed."""
    try:
        from driftwheel.jobs.domain_classifier import MOST_ROWS, tell_apart  # noqa: PLC0415  # slow to import
    except ImportError as error:
        raise CommandFailed(
            f"--domain-classifier needs {error.name}: install Driftwheel with its extra, driftwheel[local]"
        ) from error
    from driftwheel.discovery.texts import sample  # noqa: PLC0415  # DuckDB is slow to import

    place = folder / "sample"
    place.mkdir()
    kinds, before, now = sample(baseline, current, place, MOST_ROWS, spec)
    return tell_apart(
        before, now, kinds, significance=limits.significance, minimum_rows=max(limits.minimum_rows, 100)
    )


COMMANDS = (compare,)
