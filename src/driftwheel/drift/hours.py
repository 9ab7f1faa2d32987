"""Which hours of a window with a data fault are held: those that are broken, as far as that can be told."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from driftwheel.drift.cleaned import CleanedBatch, CleaningReader
from driftwheel.drift.faults import find_fault
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.live import Files
from driftwheel.drift.pair import Pair
from driftwheel.drift.summaries import Summariser, Summary
from driftwheel.hours import HOUR, is_hour
from driftwheel.recipe.row import RowRecipe

Causes = dict[str, str]
"""Column → the code of what is broken in it."""


@dataclass(frozen=True)
class BrokenHours:
    """The hours with traffic of a window that a check found broken.

    ``shown`` says of those with rows enough for a verdict of their own what is broken in them, by column.
    """

    hours: frozenset[str]
    shown: Mapping[str, Causes]

    def to_hold(self, whole_until: str) -> list[str]:
        """Choose those that are held; never more than the window.

        An hour that speaks for itself is held if it is broken. Another one is, unless it lies before
        ``whole_until``: there a check found the traffic whole in a window no longer than the time between two
        checks. (In a longer one a broken hour hides among healthy ones.) Where that leaves none, all are
        held: something is broken.

        >>> hours = frozenset(f"2026-11-29T{hour:02}" for hour in range(5, 9))
        >>> shown = {"2026-11-29T05": {"temp": "null_burst"}, "2026-11-29T07": {}}
        >>> BrokenHours(hours, shown).to_hold("2026-11-29T06")
        ['2026-11-29T05', '2026-11-29T06', '2026-11-29T08']
        >>> BrokenHours(frozenset({"2026-11-29T05"}), {}).to_hold("2026-11-29T06")
        ['2026-11-29T05']
        """
        window = sorted(filter(is_hour, self.hours))
        return [hour for hour in window if self.shown.get(hour, hour >= whole_until)] or window


def causes_of(report: DriftReport) -> Causes:
    """Say by column what a check found broken, the weightiest first."""
    return {finding.feature: finding.code for finding in report.findings if finding.kind == "fault"}


def hours_to_read(rows: Mapping[str, int], minimum_rows: int) -> set[str]:
    """Name the hours that can speak for themselves, where there are others; ``rows`` are the window's."""
    return {hour for hour, count in rows.items() if count >= minimum_rows} if len(rows) > 1 else set()


def shown_by(
    hours: Mapping[str, Summary], before: Sequence[Summary], units: Mapping[str, str]
) -> dict[str, Causes]:
    """Say what is broken in each hour, beside any summary of ``before``; one without rows says nothing."""
    return {
        hour: {
            fault.feature: fault.code
            for known in before
            for name, column in now.columns.items()
            if (fault := find_fault(name, Pair(known.columns[name], column), 0.0, units.get(name)))
        }
        for hour, now in hours.items()
        if now.rows
    }


def read_hours(
    recipe: RowRecipe,
    captures: Files,
    kinds: Mapping[str, str],
    like: Summary,
    hours: Collection[str],
    *,
    since: str = "",
    until: str = "",
) -> dict[str, Summary]:
    """Summarise the columns of ``kinds`` in each of some hours of a window, ``like`` the baseline's."""
    known = Summary(like.rows, {name: like.columns[name] for name in kinds})
    found = {hour: Summariser(kinds, known) for hour in sorted(hours)}
    reader = CleaningReader(recipe, list(kinds))
    for name, chunks in captures:
        for batch in reader.read(chunks, name, since=since, until=until):
            for hour, part in _by_hour(batch):
                if hour in found:
                    found[hour].add(part.columns)
    return {hour: made.build() for hour, made in found.items()}


def _by_hour(batch: CleanedBatch) -> Iterator[tuple[str, CleanedBatch]]:
    places: dict[str, list[int]] = {}
    for place, time in enumerate(batch.times):
        places.setdefault(time[:HOUR], []).append(place)
    for hour, rows in places.items():
        yield hour, batch if len(rows) == len(batch) else batch.at(rows)
