# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Has a file jumped away from what the champion learned from, further than the world drifts?

A season moves a temperature; only another unit, a dead sensor or a swapped label moves it like this. Such
data may be right: the run goes on, but its model waits for a person (``distribution_shift`` at the gate).
"""

import math
from collections.abc import Mapping
from typing import Any

from driftwheel.dataset.files import Assembled
from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.literals import identifier
from driftwheel.units import conversions_from

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

FEW_ROWS = 200
"""Rows of a file below which its quantiles are too rough to accuse it."""

MOVED = 1.0
"""A quantile has moved this many times the champion's middle 90 % before a unit is suspected at all."""

CLOSE = 0.35
"""How near, in the file's own middle 90 %, a conversion must bring every quantile."""

OUT = 3.0
"""A median this many times the champion's whole range beyond it has jumped, whatever the cause."""

LOGIT = 3.0
"""Change of the label's log odds: 10 % against 90 % is 4.4; a rate that doubles is 0.7."""


def find_shifts(space: Workspace, found: Assembled, baseline: Mapping[str, Any]) -> list[str]:
    """Say for every readable source file what in it has jumped; ``baseline`` is the champion's profile.json.

    Judged on ``rows``; sentences name file, column and likely cause.
    """
    numbers = {
        name: before
        for column in space.recipe["columns"]
        if (before := baseline["columns"].get(name := column["name"])) and before.get("quantiles")
    }
    label = _odds(baseline["label"].get("mean")) if space.spec.target.kind == "binary" else None
    sentences = []
    for number in found.readable("source"):
        key = found.files[number].key
        summaries = "".join(_summary(space, name) for name in numbers)
        count, mean, *cells = space.one(
            f"SELECT count(*), avg(__label){summaries} FROM rows WHERE __file = {number}"
        )
        if count < FEW_ROWS:
            continue
        for place, (name, before) in enumerate(numbers.items()):
            now, low, high = cells[3 * place : 3 * place + 3]
            unit = space.spec.columns[name].unit
            if now is not None and (cause := _jump(before, now, low, high, unit)):
                sentences.append(f"{key}: {name} {cause}")
        if label is not None and abs(_odds(mean) - label) > LOGIT:
            share = baseline["label"]["mean"]
            sentences.append(f"{key}: {mean:.0%} of its labels are positive, {share:.0%} before")
    return sentences


def _summary(space: Workspace, name: str) -> str:
    x = f"CAST({identifier(name)} AS DOUBLE)"
    return f", {space.quantiles(x, list(QUANTILES.values()))}, min({x}), max({x})"


def _jump(
    before: Mapping[str, Any], now: list[float], low: float, high: float, unit: str | None
) -> str | None:
    was = [before["quantiles"][name] for name in QUANTILES]
    spread = was[-1] - was[0]
    if low == high and was[3] > was[1]:
        return f"is {low:g} in every row: a dead sensor or a default value"
    if not spread > 0:
        return None
    if max(abs(new - old) for new, old in zip(now, was, strict=True)) > MOVED * spread:
        for cause, factor, offset in conversions_from(unit):
            own = now[-1] - now[0]
            apart = max(abs(new - factor * old - offset) for new, old in zip(now, was, strict=True))
            if own > 0 and apart <= CLOSE * own:
                return f"looks converted ({cause})"
    width = OUT * (before["maximum"] - before["minimum"])
    if not before["minimum"] - width <= now[2] <= before["maximum"] + width:
        return f"has a median of {now[2]:g}, far outside {before['minimum']:g} to {before['maximum']:g}"
    return None


def _odds(share: float | None) -> float:
    bounded = min(max(share if share is not None else 0.5, 1e-3), 1 - 1e-3)
    return math.log(bounded / (1 - bounded))
