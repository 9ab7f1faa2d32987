"""The last windows of a model's live traffic: drift must be seen in k of n of them before it retrains."""

from collections.abc import Sequence
from datetime import datetime, timedelta

KEPT = 24
"""As many as ``triggers.of_windows`` may ask for."""

RETRAINS = {"minor": frozenset({"minor", "major"}), "major": frozenset({"major"}), "never": frozenset[str]()}
"""``drift.retrain_at`` -> the severities that count."""


def remember(earlier: Sequence[str], at: str, severity: str, every_minutes: int) -> list[str]:
    """Add a check to the windows seen, oldest first, each as ``<time> <severity>``.

    A check within ``every_minutes`` of the latest window speaks about the same window and replaces its word:
    asking three times in a minute confirms nothing. ``insufficient_data`` is no word at all.

    >>> seen = remember(["2026-01-01T10:00:00+00:00 none"], "2026-01-01T10:20:00+00:00", "major", 60)
    >>> remember(seen, "2026-01-01T11:00:00+00:00", "major", 60)
    ['2026-01-01T10:00:00+00:00 major', '2026-01-01T11:00:00+00:00 major']
    """
    if severity == "insufficient_data":
        return list(earlier)
    latest = earlier[-1].partition(" ")[0] if earlier else ""
    if latest and datetime.fromisoformat(at) < datetime.fromisoformat(latest) + timedelta(
        minutes=every_minutes
    ):
        return [*earlier[:-1], f"{latest} {severity}"]
    return [*earlier, f"{at} {severity}"][-KEPT:]


def drifted(windows: Sequence[str], retrain_at: str, of: int) -> int:
    """Count the drifted ones among the last ``of`` windows.

    >>> drifted(["t1 major", "t2 none", "t3 minor", "t4 major"], "major", of=3)
    1
    """
    return sum(window.partition(" ")[2] in RETRAINS[retrain_at] for window in windows[-of:])
