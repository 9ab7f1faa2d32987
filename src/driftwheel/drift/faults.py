"""Broken data told apart from a changed world: a fault is mended at its source, never trained on."""

from collections.abc import Callable, Mapping
from typing import Any

from driftwheel.drift.column import CategorySummary, NumberSummary
from driftwheel.drift.finding import Finding, Moved
from driftwheel.drift.pair import Pair
from driftwheel.drift.units import unit_change
from driftwheel.drift.unseen_categories import unseen

NULL_BURST = 0.25
"""A quarter of all rows newly without a value is a broken feed, not a season."""

WRONG_TYPE = 0.01
"""One value in a hundred that is no number where numbers were."""

USUAL = 0.5
"""A constant window is no fault when half of the training rows had that value too: weeks without rain."""

RESPELT = 0.01
"""Share of rows whose unseen category is a known one spelt another way."""

RENAMED = 0.2
"""Share of rows whose known category vanished while as many came under a new name."""

TRAFFIC = "(requests)"
"""What the findings call the traffic itself, in the place of a column."""

UNREADABLE = 0.05
"""One captured request, or one of its rows, in twenty that cannot be read or used at all."""

LEAST_UNREADABLE = 20

Detector = Callable[[str, Pair, float, str | None], Finding | None]


def find_fault(name: str, pair: Pair, weight: float, unit: str | None = None) -> Finding | None:
    """Find the first fault of a column: what is missing before what is wrong before what is odd.

    Shares are of all rows, 0 to 1, and compared with what training had.

    >>> from driftwheel.drift.summaries import summarise_column
    >>> def found(kind, before, now):
    ...     one = summarise_column(before, kind)
    ...     fault = find_fault("x", Pair(one, summarise_column(now, kind, like=one)), 1.0)
    ...     return fault.sentence.partition(": ")[0] if fault else None
    >>> found("number", [1.0, 2.0] * 50, [1.0, None] * 50)
    'x is missing in 50% of the rows, 0% in training'
    >>> found("number", [1.0, 2.0] * 50, [1.0, float("inf")] * 50)  # inf stands for what is no number
    '50.0% of the values of x are not of its type (0.0% before)'
    >>> found("number", [1.0, 2.0, 3.0] * 50, [2.0] * 100)
    'x is 2 in all 100 rows; in training it ran from 1 to 3. A dead sensor, or a default filled in.'
    >>> found("category", ["JFK", "LGA"] * 50, ["jfk", "LGA"] * 50)
    '50.0% of x are known categories spelt another way'
    >>> found("number", [1.0, 2.0] * 50, [1.0, 2.0] * 40)
    """
    for detect in DETECTORS:
        if finding := detect(name, pair, weight, unit):
            return finding
    return None


def unusable_traffic(about: Mapping[str, Any]) -> Finding | None:
    """Find out from a window's ``about`` (``live.read_window``) whether too much of it could not be used.

    Shares are 0 to 1: of captured requests that cannot be read, of their rows that lack a required value.
    Fewer than twenty of either say nothing.

    >>> about = {"requests": 400, "malformed": {"captures": {"data is not JSON": 100}}}
    >>> unusable_traffic(about).sentence
    '25.0% of 400 captured requests cannot be read (data is not JSON): another schema or content type?'
    >>> unusable_traffic({"rows": 1_000, "refused_rows": 30})
    """
    malformed = dict(about.get("malformed", {}).get("captures", {}))
    unread, requests = sum(malformed.values()), about.get("requests", 0)
    refused, rows = about.get("refused_rows", 0), about.get("rows", 0) + about.get("refused_rows", 0)
    share, lacking = unread / max(1, requests), refused / max(1, rows)
    numbers = {"requests": requests, "unread": malformed, "rows": rows, "refused": refused}
    if unread >= LEAST_UNREADABLE and share >= max(UNREADABLE, lacking):
        commonest = max(malformed, key=lambda reason: malformed[reason])
        sentence = (
            f"{share:.1%} of {requests:,} captured requests cannot be read ({commonest}): another schema or "
            "content type?"
        )
    elif refused >= LEAST_UNREADABLE and lacking >= UNREADABLE:
        sentence = (
            f"{lacking:.1%} of {rows:,} captured rows lack a value that the recipe requires: look for a "
            "renamed or dropped field upstream."
        )
    else:
        return None
    return _fault(TRAFFIC, "schema_break", 1.0, sentence, numbers)


def missing_column(name: str, pair: Pair, weight: float, _unit: str | None) -> Finding | None:
    """Detect a column that always had values and now has none."""
    if pair.window.count or pair.window.invalid or not pair.baseline.count or not pair.window.rows:
        return None
    share = pair.baseline.count / pair.baseline.rows
    sentence = (
        f"{name} has no value in any of {pair.window.rows:,} rows; {share:.0%} of the training rows had one. "
        "Look for a renamed or dropped field upstream, or values outside the declared range."
    )
    return _fault(
        name, "missing_column", weight, sentence, {"rows": pair.window.rows, "present_before": share}
    )


def wrong_type(name: str, pair: Pair, weight: float, _unit: str | None) -> Finding | None:
    """Detect values that are not of the column's type."""
    share = pair.window.invalid / pair.window.rows
    before = pair.baseline.invalid / pair.baseline.rows
    if share - before < WRONG_TYPE:
        return None
    sentence = (
        f"{share:.1%} of the values of {name} are not of its type ({before:.1%} before): text among numbers?"
    )
    return _fault(name, "wrong_type", weight, sentence, {"before": before, "now": share})


def null_burst(name: str, pair: Pair, weight: float, _unit: str | None) -> Finding | None:
    """Detect that many values went missing at once."""
    before = pair.baseline.nulls / pair.baseline.rows
    now = pair.window.nulls / pair.window.rows
    if now - before < NULL_BURST:
        return None
    sentence = (
        f"{name} is missing in {now:.0%} of the rows, {before:.0%} in training: "
        "its source stopped, or its values fall outside the declared range."
    )
    return _fault(name, "null_burst", weight, sentence, {"before": before, "now": now})


def constant(name: str, pair: Pair, weight: float, _unit: str | None) -> Finding | None:
    """Detect a number that stopped moving: a dead sensor or a default filled in."""
    match pair.baseline, pair.window:
        case NumberSummary() as before, NumberSummary(minimum=float() as value) as now:
            pass
        case _:
            return None
    if now.minimum != now.maximum or before.minimum == before.maximum or before.share_of(value) >= USUAL:
        return None
    sentence = (
        f"{name} is {value:g} in all {now.count:,} rows; in training it ran from {before.minimum:g} to "
        f"{before.maximum:g}. A dead sensor, or a default filled in."
    )
    numbers = {"value": value, "rows": now.count, "share_before": before.share_of(value)}
    return _fault(name, "constant", weight, sentence, numbers)


def changed_unit(name: str, pair: Pair, weight: float, unit: str | None) -> Finding | None:
    """Detect numbers that fit the training data after a change of unit."""
    match pair.baseline, pair.window:
        case NumberSummary() as before, NumberSummary() as now:
            change = unit_change(before, now, unit)
        case _:
            return None
    if change is None:
        return None
    sentence = (
        f"{name} looks converted, {change.cause}: that brings the training data to {change.distance:.2f} "
        f"standard deviations of the window (mean {before.mean:.4g} before, {now.mean:.4g} now)."
    )
    numbers = {
        "cause": change.cause,
        "factor": change.factor,
        "offset": change.offset,
        "distance": change.distance,
    }
    return _fault(name, "unit_change", weight, sentence, numbers)


def recoded(name: str, pair: Pair, weight: float, _unit: str | None) -> Finding | None:
    """Detect known categories that come under another spelling or another name."""
    match pair.baseline, pair.window:
        case CategorySummary() as before, CategorySummary() as now:
            new = unseen(pair)
        case _:
            return None
    if not new:
        return None
    known = {_folded(value): value for value in before.values}
    respelt = {value: known[_folded(value)] for value in new if _folded(value) in known}
    share = sum(new[value] for value in respelt) / now.count
    if share >= RESPELT:
        return _recoding(name, pair, weight, "respelt_category", share, respelt)
    renamed = _renamed(before, now, new)
    share = sum(new[value] for value in renamed) / now.count
    if share >= RENAMED:
        return _recoding(name, pair, weight, "renamed_category", share, renamed)
    return None


DETECTORS: tuple[Detector, ...] = (missing_column, wrong_type, null_burst, constant, changed_unit, recoded)


def _renamed(before: CategorySummary, now: CategorySummary, new: dict[str, int]) -> dict[str, str]:
    """Match each new value with the vanished one that had the same share, within four standard errors."""
    gone = {
        value: n / before.count
        for value, n in before.values.items()
        if n / before.count * now.count >= 10 and value not in now.values
    }
    found: dict[str, str] = {}
    for value, rows in sorted(new.items(), key=lambda pair: -pair[1]):
        share = rows / now.count
        error = 4 * (share * (1 - share) * (1 / now.count + 1 / before.count)) ** 0.5
        fits = [old for old, was in gone.items() if abs(was - share) <= error]
        if fits:
            nearest = min(fits, key=lambda old: abs(gone[old] - share))
            found[value] = nearest
            del gone[nearest]
    return found


def _recoding(
    name: str, pair: Pair, weight: float, code: str, share: float, names: dict[str, str]
) -> Finding:
    assert isinstance(pair.window, CategorySummary)
    assert isinstance(pair.baseline, CategorySummary)
    shown = dict(list(names.items())[:10])
    first = ", ".join(f"'{new}' for '{old}'" for new, old in list(names.items())[:3])
    how = "spelt another way" if code == "respelt_category" else "under another name (same shares as before)"
    sentence = (
        f"{share:.1%} of {name} are known categories {how}: {first}. "
        f"Add them under columns.{name}.canonical, or mend the source."
    )
    moved = [
        Moved(
            new, pair.baseline.values[old] / pair.baseline.count, pair.window.values[new] / pair.window.count
        )
        for new, old in list(names.items())[:3]
    ]
    return _fault(name, code, weight, sentence, {"share": share, "names": shown}, moved)


def _folded(value: str) -> str:
    return "".join(character for character in value.casefold() if character.isalnum())


def _fault(
    name: str,
    code: str,
    weight: float,
    sentence: str,
    numbers: Mapping[str, object],
    moved: list[Moved] | None = None,
) -> Finding:
    return Finding(name, "fault", code, "strong", weight, sentence, dict(numbers), moved or [])
