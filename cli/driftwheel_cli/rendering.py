"""What people see: tables and lines by rich, JSON for machines. Values are data, never markup."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

QUIET_SECONDS = 2.0
"""A command says nothing of its progress before."""

PIPE_WIDTH = 200
"""A pipe has no width; this many columns keep most sentences on one line."""

COLOURS = {
    "promoted": "green",
    "used": "green",
    "InService": "green",
    "stable": "green",
    "rejected": "yellow",
    "refused": "red",
    "quarantined": "red",
    "failed": "red",
    "aborted": "red",
    "fault": "red",
    "major": "red",
    "drifted": "red",
    "strong": "red",
    "slight": "yellow",
    "minor": "yellow",
    "pending": "cyan",
    "running": "cyan",
}


def console(*, stderr: bool = False) -> Console:
    """Open a console on what stdout or stderr is now."""
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, emoji=False)


def stopwatch() -> Callable[[str], None]:
    """Give what says on stderr how far a command is, from two seconds on."""
    started = time.monotonic()

    def progress(what: str) -> None:
        if time.monotonic() - started > QUIET_SECONDS:
            click.echo(f"{time.monotonic() - started:5.0f} s  {printable(what)}", err=True)

    return progress


def several(sentences: Iterable[str], most: int = 3) -> str:
    """Write the first few of many sentences, and how many more there are."""
    every = list(sentences)
    return "; ".join(every[:most]) + (f"; and {len(every) - most} more" if len(every) > most else "")


def printable(value: Any) -> str:
    """Write a value so that it cannot steer a terminal: control characters become their escapes.

    >>> printable("a" + chr(27) + "[31mb") == "a" + chr(92) + "x1b[31mb"
    True
    """
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def cell(value: Any, *, style: str | None = None) -> Text:
    """Write one value as text; words of state have their colour."""
    text = number(value) if isinstance(value, float) else printable(value)
    return Text(text, style=style if style is not None else COLOURS.get(text, ""))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none"
) -> None:
    """Print rows under their column names; say ``empty`` when there are none."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=False, style="bold" if index == 0 else None)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    out = console()
    if table.row_count:
        out.print(Text(printable(title), style="bold"))
        out.print(table)
    else:
        out.print(Text(printable(f"{title}: {empty}")))


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print names and values in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(name), cell(value))
    out = console()
    out.print(Text(printable(title), style="bold"))
    out.print(grid)


def print_line(text: str) -> None:
    """Print one sentence on stdout."""
    click.echo(printable(text))


def print_json(document: Any) -> None:
    """Print a document for machines: no colour, nothing else on stdout."""
    click.echo(json.dumps(document, indent=2, default=str, ensure_ascii=False))


def number(value: Any) -> str:
    """Write a number with as many digits as a person compares.

    >>> number(0.71234), number(12), number(0.00001), number(None)
    ('0.7123', '12', '1e-05', '')
    """
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return "" if value is None else f"{value:,.0f}"


def measured(value: Mapping[str, Any] | None) -> str:
    """Write a measure with its interval.

    >>> measured({"value": 0.7, "low": 0.69, "high": 0.71})
    '0.7000 [0.6900, 0.7100]'
    """
    if not value or value.get("value") is None:
        return ""
    low, high = (
        f"{bound:.4f}" if bound is not None else "…" for bound in (value.get("low"), value.get("high"))
    )
    return f"{value['value']:.4f} [{low}, {high}]"


def when(iso: str) -> str:
    """Write a moment in UTC to the second.

    >>> when("2026-01-02T03:04:05.678+00:00")
    '2026-01-02 03:04:05'
    """
    try:
        moment = datetime.fromisoformat(iso)
    except (TypeError, ValueError):
        return printable(iso)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S") if len(iso) > len("2026-01-02") else iso


def size(count: int) -> str:
    """Write bytes.

    >>> size(512), size(41_943_040)
    ('512 B', '40.0 MiB')
    """
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
