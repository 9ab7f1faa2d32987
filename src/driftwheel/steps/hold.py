"""Which hours of live traffic a drift check holds: no data set learns from them until a person releases them.

They are held before the check's finding and decision stand: whoever reads those finds the hours, and a check
that dies in between and comes again holds them once.
"""

from datetime import datetime

from driftwheel.drift.hours import Causes, causes_of
from driftwheel.hours import HOUR
from driftwheel.ledger.findings import Finding
from driftwheel.ledger.hours import HeldHour
from driftwheel.steps.drift_verdict import Judged
from driftwheel.steps.reference import as_captured

MOST_NAMED = 20
"""Columns that a held hour names; the check's report names all."""


def hours_to_hold(model: str, judged: Judged, last: Finding | None, at: str, uri: str) -> list[HeldHour]:
    """Word the hours that a check holds, each with what is broken in it.

    One that cannot tell by itself has what is broken in the window. There is none where nothing is broken.

    ``last`` is the champion's finding before, ``at`` the check's time and ``uri`` its report.
    """
    if judged.broken is None:
        return []
    hours, shown = judged.broken.to_hold(last.whole_until if last else ""), judged.broken.shown
    window = causes_of(judged.report)
    return [HeldHour(model, hour, at, _few(shown.get(hour) or window), uri) for hour in hours]


def _few(causes: Causes) -> Causes:
    return dict(list(causes.items())[:MOST_NAMED])


def whole_until(judged: Judged, last: Finding | None, now: datetime) -> str:
    """Name the hour before which traffic was last found whole, in a window that was not long."""
    if judged.long or judged.report.severity in {"fault", "insufficient_data"}:
        return last.whole_until if last else ""
    return as_captured(now)[:HOUR]
