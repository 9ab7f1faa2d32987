# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Has a file jumped away from what the champion learned from, further than the world drifts?

A season moves a temperature; only another unit, a dead sensor or a swapped label moves it like this. Such
data may be right: the run goes on, but its model waits for a person (``distribution_shift`` at the gate).
"""

import math
from collections.abc import Mapping
from typing import Any

from driftwheel.dataset.files import Assembled
from driftwheel.dataset.profile import LONGEST
from driftwheel.dataset.schema_diff import new_files
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
"""Change of a share's log odds: 10 % against 90 % is 4.4; a rate that doubles is 0.7."""

LEAST = 0.2
"""A share that changed by less has not jumped, whatever its odds: 0.1 % became 3 %."""

STRANGE = 0.5
"""Above this share of categories the champion never saw, people are told."""


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
    gaps = {name: share for name in space.recipe["inputs"] if (share := _gap(baseline, name)) is not None}
    gaps = {name: share for name, share in gaps.items() if not space.spec.columns[name].optional}
    new, sentences = new_files(found, baseline), []
    for number in found.readable("source"):
        key = found.files[number].key
        summaries = "".join(_summary(space, name) for name in numbers)
        given = "".join(f", {_given(space, name)}" for name in gaps)
        count, mean, *cells = space.one(
            f"SELECT count(*), avg(__label){summaries}{given} FROM rows WHERE __file = {number}"
        )
        if count < FEW_ROWS:
            continue
        for place, (name, before) in enumerate(numbers.items()):
            now, low, high = cells[3 * place : 3 * place + 3]
            unit = space.spec.columns[name].unit
            if now is not None and (cause := _jump(before, now, low, high, unit)):
                sentences.append(f"{key}: {name} {cause}")
        for (name, was), there in zip(gaps.items(), cells[3 * len(numbers) :], strict=True):
            lacks = 1 - there / count
            if number in new and lacks - was >= LEAST and _odds(lacks) - _odds(was) > LOGIT:
                sentences.append(f"{key}: {name} is missing in {lacks:.0%} of its rows, {was:.0%} before")
        if label is not None and abs(_odds(mean) - label) > LOGIT:
            share = baseline["label"]["mean"]
            sentences.append(f"{key}: {mean:.0%} of its labels are positive, {share:.0%} before")
    return sentences


def _summary(space: Workspace, name: str) -> str:
    x = f"CAST({identifier(name)} AS DOUBLE)"
    return f", {space.quantiles(x, list(QUANTILES.values()))}, min({x}), max({x})"


def _gap(baseline: Mapping[str, Any], name: str) -> float | None:
    before = baseline["columns"].get(name)
    rows = before["given"] + before["missing"] if before else 0
    return before["missing"] / rows if before and rows else None


def _given(space: Workspace, name: str) -> str:
    if name not in space.judged:
        return f"count({identifier(name)})"
    return f"count(*) FILTER (WHERE {identifier(f'__issue.{name}')} IS DISTINCT FROM 'missing')"


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


def strange_categories(space: Workspace, found: Assembled, baseline: Mapping[str, Any]) -> list[str]:
    """Note the new files most of whose values of a column the champion never saw.

    A note and no shift: where every month or place has a file, each is such a file and must not stop the
    wheel. Only of columns whose every value stands in the baseline: of many it keeps the commonest.
    """
    new = {number: found.files[number].key for number in new_files(found, baseline)}
    notes = []
    for name in space.recipe["inputs"]:
        before = baseline["columns"].get(name) or {}
        known = [value for value, _ in before.get("top") or []]
        cut = any(len(value) == LONGEST for value in known)
        if not new or not known or cut or before["distinct"] > len(known):
            continue
        texts = ", ".join(map(space.dialect.quote, known))
        for file, unseen, given in space.rows(
            f"SELECT __file, count(*) FILTER (WHERE text NOT IN ({texts})), count(*) FROM "
            f"(SELECT __file, {space.text(name)} AS text FROM rows WHERE {identifier(name)} IS NOT NULL) "
            "GROUP BY 1 ORDER BY 1"
        ):
            if file in new and given >= FEW_ROWS and unseen > STRANGE * given:
                share = f"{unseen / given:.0%}"
                notes.append(f"{new[file]}: {share} of the values of {name} are new since the champion")
    return notes
