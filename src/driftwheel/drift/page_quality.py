"""Parts of a drift page about quality: over time, by every metric, by slice, and what labels there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel.drift import pictures
from driftwheel.drift.figures import counted, digits, moment, safe, sentence, share, short
from driftwheel.drift.page_parts import Document, table

MOST_SLICES = 30
"""Rows of the table; report.json has a hundred."""


def quality_over_time(document: Document) -> str:
    """Draw what all labels known now say of the answers of each hour or day, and how many have a label."""
    quality: Mapping[str, Any] = document.get("quality") or {}
    course: Mapping[str, Any] = document.get("course") or {"periods": []}
    periods: Sequence[Mapping[str, Any]] = course["periods"]
    text = _windows(document)
    if any("value" in period for period in periods):
        metric = safe(course["metric"])
        drawn = pictures.course(periods, quality.get("before"), f"{metric} by the {course['by']}")
        text += (
            f"<figure>{drawn}<figcaption>{metric} with its 95 % interval, of the answers of each "
            f"{safe(course['by'])} from {_when(periods[0]['at'])} to {_when(periods[-1]['at'])}, by all "
            "labels known now: a late label changes the past; dashed: when the model was made; below: the "
            "share of rows whose label has come.</figcaption></figure>\n"
        )
    if quality:
        text += _measured(quality)
    elif "at" in document:
        text += "<p>No label has come for this window: its quality is not known.</p>\n"
    return text + _labels(document) + _estimated(document.get("estimate"))


def quality_by_slice(document: Document) -> str:
    """Lay out the quality of each slice of the window, the most rows first."""
    slices: Mapping[str, Any] = document.get("slices") or {}
    if not slices:
        return ""
    rows = [
        [
            f"{short(one['column'], 24)} = {short(one['slice'], 24) or '(missing)'}",
            digits(one["value"]),
            f"{digits(one['low'])} to {digits(one['high'])}" if "low" in one else "",
            digits(one["rows"]),
            share(one["coverage"]),
        ]
        for one in slices["measured"]
    ]
    heads = ("slice", f"#{slices['metric']}", "#95 % interval", "#rows", "#labelled")
    text = table("quality by slice", heads, rows[:MOST_SLICES]) if rows else ""
    left = slices["few"] + len(rows[MOST_SLICES:])
    if left:
        text += (
            f'<p class="quiet">{counted(left, "further slice")} not shown: too few labels to measure, or '
            "beyond the largest.</p>\n"
        )
    if slices["not_captured"]:
        names = ", ".join(short(name) for name in slices["not_captured"])
        text += f'<p class="quiet">No request carries {sentence(names)}: no slices by it.</p>\n'
    return text


def _when(at: str) -> str:
    """Write an hour as a moment, a day as it is."""
    return moment(at) if "T" in at else safe(at)


def _measured(quality: Mapping[str, Any]) -> str:
    """Give every metric that fits the target, its interval, and what it was when the model was made."""
    rows = [
        [
            one["metric"],
            digits(one["value"]),
            "" if one["low"] is None else f"{digits(one['low'])} to {digits(one['high'])}",
            digits(one.get("before")),
        ]
        for one in (quality, *quality.get("beside", []))
    ]
    of = (
        f" answered from {_when(quality['since'])} to {_when(quality['until'])}, the latest that have enough"
        if quality.get("since")
        else ""
    )
    heads = ("quality", "#now", "#95 % interval", "#when the model was made")
    return table("quality", heads, rows) + (
        f"<p>{digits(quality['labelled'])} of {digits(quality.get('predicted'))} rows{of} have a label"
        f"{_coverage(quality)}.</p>\n"
    )


def _labels(document: Document) -> str:
    labels: Mapping[str, Any] = (document.get("window") or {}).get("labels") or {}
    if not labels.get("known"):
        return ""
    return (
        f'<p class="quiet">{counted(labels["known"], "label")} known for this model: '
        f"{digits(labels['corrected'])} corrected by a later one, {digits(labels['repeated'])} came again "
        "unchanged.</p>\n"
    )


def _windows(document: Document) -> str:
    windows = [str(window).partition(" ") for window in document.get("windows") or []]
    if not windows:
        return ""
    drawn = pictures.windows([severity for _, _, severity in windows], "verdicts of the last windows")
    worst = sum(severity != "none" for _, _, severity in windows)
    return (
        f"<figure>{drawn}<figcaption>The last {counted(len(windows), 'window')}, {moment(windows[0][0])} to "
        f"{moment(windows[-1][0])}: {worst} with a finding (the taller, the worse).</figcaption></figure>\n"
    )


def _estimated(estimate: Mapping[str, Any] | None) -> str:
    """Say what labels will probably show, and on what that rests; nothing where nothing was estimated."""
    if not estimate or estimate["value"] is None:
        return ""
    between = (
        f" [{digits(estimate['low'])}, {digits(estimate['high'])}]" if estimate["low"] is not None else ""
    )
    return (
        f"<p>Estimated from the scores of all {digits(estimate['rows'])} rows: {safe(estimate['metric'])} "
        f"{digits(estimate['value'])}{between}, if a score means what it meant when the model was made. "
        "The verdict does not use it.</p>\n"
    )


def _coverage(quality: Mapping[str, Any]) -> str:
    return f" ({share(float(quality['coverage']))})" if quality.get("coverage") is not None else ""
