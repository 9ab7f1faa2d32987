"""A drift page's pictures: inline SVG in the page's own colours, a thousand bytes each, no library.

A picture's text comes from ``figures``; its colours are classes of ``page.css``, so they follow the reader's
light or dark scheme.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel.drift.figures import digits, safe, share

WIDTH, HEIGHT = 240, 84
LINE = 26
NAME_LENGTH = 20
TALL = {"none": 5, "minor": 13, "major": 22, "fault": 22}
"""A window's height says what its colour says."""


def histogram(shape: Mapping[str, Any], label: str) -> str:
    """Draw the bins of a number: the window filled, the baseline as a line over it."""
    before, now, edges = shape["before"], shape["now"], shape["edges"]
    top = max(*before, *now) or 1.0
    step = WIDTH / len(now)
    heights = [[f"{HEIGHT - HEIGHT * value / top:.0f}" for value in values] for values in (now, before)]
    ends = [f"{step * (n + 1):.0f}" for n in range(len(now))]
    bars, line = (
        "".join(f"V{height}H{end}" for height, end in zip(part, ends, strict=True)) for part in heights
    )
    # Bins of whole numbers begin and end half way between two of them.
    half = 0.5 if all(float(edge) % 1 == 0.5 for edge in edges) else 0.0
    low, high = digits(float(edges[0]) + half), digits(float(edges[-1]) - half)
    return _svg(
        WIDTH,
        HEIGHT + 16,
        label,
        f'<path class="now" d="M0 {HEIGHT}{bars}V{HEIGHT}Z"/>'
        f'<path class="before" d="M0 {HEIGHT}{line}V{HEIGHT}"/>'
        f'<text y="{HEIGHT + 13}">{low}</text><text class="end" x="{WIDTH}" y="{HEIGHT + 13}">{high}</text>',
    )


def bars(names: Sequence[Any], before: Sequence[float], now: Sequence[float], label: str) -> str:
    """Draw shares by name, the baseline's above the window's."""
    top = max(*before, *now, 1e-9)
    parts = []
    for place, (name, was, is_) in enumerate(zip(names, before, now, strict=True)):
        y = place * LINE
        parts.append(
            f'<text y="{y + 11}">{safe(name, NAME_LENGTH)}</text>'
            f'<text class="end" x="{WIDTH}" y="{y + 11}">{share(was)} → {share(is_)}</text>'
            f'<path class="was" d="M0 {y + 14}h{WIDTH * was / top:.0f}v4h-{WIDTH * was / top:.0f}z"/>'
            f'<path class="now" d="M0 {y + 18}h{WIDTH * is_ / top:.0f}v4h-{WIDTH * is_ / top:.0f}z"/>'
        )
    return _svg(WIDTH, LINE * len(parts), label, "".join(parts))


def windows(severities: Sequence[str], label: str) -> str:
    """Draw one mark for each window, oldest first; the taller, the worse."""
    step = 11
    marks = "".join(
        f'<rect class="{severity if severity in TALL else "none"}" x="{step * place}" '
        f'y="{24 - TALL.get(severity, 5)}" width="9" height="{TALL.get(severity, 5)}"/>'
        for place, severity in enumerate(severities)
    )
    return _svg(24 * step, 26, label, marks)


def course(points: Sequence[Mapping[str, Any]], before: float | None, label: str) -> str:
    """Draw measured quality over the checks with its intervals, what it was at first, and label coverage.

    ``points`` have ``value`` and may have ``low`` and ``high``; a check without a value keeps its place.
    """
    width, height, left = 300, 96, 38
    values = [float(point[name]) for point in points for name in ("value", "low", "high") if name in point]
    values += [] if before is None else [before]
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room
    step = (width - left) / len(points)
    at = [left + step * (place + 0.5) for place in range(len(points))]

    def y(value: float) -> str:
        return f"{height - height * (value - low) / (high - low):.1f}"

    parts = [f'<text x="0" y="9">{digits(high)}</text><text x="0" y="{height}">{digits(low)}</text>']
    if before is not None:
        parts.append(f'<path class="level" d="M{left} {y(before)}H{width}"/>')
    half = min(step * 0.35, 8.0)
    for x, point in zip(at, points, strict=True):
        covered = 30 * min(1.0, float(point.get("coverage") or 0))
        parts.append(
            f'<path class="was" d="M{x - half:.1f} {height + 44}'
            f'v-{covered:.1f}h{2 * half:.1f}v{covered:.1f}z"/>'
        )
        if "low" in point and "high" in point:
            parts.append(
                f'<path class="range" d="M{x:.1f} {y(float(point["low"]))}V{y(float(point["high"]))}"/>'
            )
        if "value" in point:
            parts.append(f'<circle class="now" cx="{x:.1f}" cy="{y(float(point["value"]))}" r="2.5"/>')
    parts.append(f'<text x="0" y="{height + 40}">labels</text>')
    return _svg(width, height + 46, label, "".join(parts))


def _svg(width: float, height: float, label: str, inside: str) -> str:
    about = f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{safe(label, 120)}"'
    return f'<svg class="plain" {about}>{inside}</svg>'
