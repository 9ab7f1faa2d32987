"""The report's drawings: matplotlib to inline SVG that follows the page's own text colour.

The same numbers give the same bytes: no date, no creator, and a fixed salt for element ids.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the page's text colour, dark or light, until the drawing is placed in it."""

NOW, BEFORE, WORSE = "#2a78b8", "#9aa5ad", "#c4442a"
STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "text.parse_math": False,  # a column called $x$ is no formula
    "font.family": "sans-serif",
}
LONGEST_NAME = 24


def comparison(verdict: Mapping[str, Any]) -> str:
    """Draw the gain over the champion, in all and by slice, with intervals; empty without a champion."""
    rows = [("all rows", verdict.get("gain"), False)]
    rows += [
        (f"{s['column']} = {s['value']}", s.get("gain"), s["worse"]) for s in verdict.get("slices") or []
    ]
    drawn = [
        (name, gain, worse)
        for name, gain, worse in rows
        if gain and None not in (gain["low"], gain["value"], gain["high"])
    ]
    if not drawn:
        return ""
    with drawing(6.4, 0.5 + 0.24 * len(drawn), "comparison") as (axes, finish):
        for place, (_, gain, worse) in enumerate(reversed(drawn)):
            colour = WORSE if worse or gain["high"] < 0 else NOW if gain["low"] > 0 else BEFORE
            axes.plot([gain["low"], gain["high"]], [place, place], color=colour, linewidth=2)
            axes.plot([gain["value"]], [place], "o", color=colour, markersize=4)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set_yticks(range(len(drawn)), [short(name) for name, _, _ in reversed(drawn)])
        axes.set_xlabel(f"gain in {verdict['metric']}, challenger less champion")
        return finish()


def histogram(
    edges: Sequence[float], counts: Sequence[int], name: str, ends: Sequence[str] | None = None
) -> str:
    """Draw one column's bins; ``ends`` is what stands at both ends of the axis, if not their numbers."""
    with drawing(2.3, 1.0, f"histogram {name}") as (axes, finish):
        widths = [after - before for before, after in pairwise(edges)]
        axes.bar(edges[:-1], counts, width=widths, align="edge", color=NOW, linewidth=0)
        bare(axes, ends)
        return finish()


def frequencies(top: Sequence[Sequence[Any]], name: str) -> str:
    """Draw a column's most frequent values."""
    shown = list(reversed(top[:6]))
    with drawing(2.3, 0.2 + 0.16 * max(3, len(shown)), f"frequencies {name}") as (axes, finish):
        axes.barh(range(len(shown)), [count for _, count in shown], color=NOW, height=0.7)
        axes.set_yticks(range(len(shown)), [short(str(value), 14) for value, _ in shown], fontsize=7)
        axes.set_xticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        return finish()


def timeline(spans: Mapping[str, Sequence[str | None]]) -> str:
    """Draw from when to when the rows of each split are; empty where no row has a time."""
    found = {name: (first, last) for name, (first, last) in spans.items() if first and last}
    if not found:
        return ""
    names = [name for name in ("holdout", "validation", "train") if name in found]
    with drawing(6.4, 0.5 + 0.26 * len(names), "timeline") as (axes, finish):
        for place, name in enumerate(names):
            first, last = map(_day, found[name])
            colour = WORSE if name == "holdout" else NOW
            axes.barh(place, max(last - first, 0.01), left=first, height=0.55, color=colour)
        axes.set_yticks(range(len(names)), names)
        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        return finish()


@contextmanager
def drawing(width: float, height: float, salt: str) -> Iterator[tuple[Axes, Callable[[], str]]]:
    """Open axes of ``width`` by ``height`` inches; the second value writes them as SVG."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)

        def finish() -> str:
            out = io.StringIO()
            figure.savefig(
                out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
            text = out.getvalue()
            return text[text.index("<svg") :].replace(INK, "currentColor")

        yield axes, finish


def _day(moment: str | None) -> float:
    assert moment is not None
    return float(date2num(datetime.fromisoformat(moment)))  # type: ignore[no-untyped-call]


def bare(axes: Axes, ends: Sequence[str] | None = None) -> None:
    """Leave the two ends of the x axis, and nothing else."""
    axes.margins(x=0)
    low, high = axes.get_xlim()
    axes.set_xticks([low, high], ends or [f"{low:.6g}", f"{high:.6g}"], fontsize=7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a long name; control characters have no place in a drawing."""
    shown = "".join(c if c.isprintable() else "·" for c in name)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
