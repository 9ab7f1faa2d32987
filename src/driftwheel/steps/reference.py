"""Which traffic a drift check judges and what it is compared with: kept and found in S3 by natural keys."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.reference import (
    Reference,
    matching_hours,
    merge_references,
    reference_from_json,
)
from driftwheel.drift.window import Window
from driftwheel.hours import HOUR
from driftwheel.layout import S3Uri, accepted_key, capture_prefix, hours_prefix
from driftwheel.ledger.champions import ChampionRow
from driftwheel.recipe.row import RowRecipe
from driftwheel.spec import ModelSpec

LONGEST_WINDOW = timedelta(days=30)
"""Older traffic says how the world was, not how it is."""

GROWTH = 4
"""Times as long as the window before, which had too few rows."""

SETTLED = timedelta(hours=2)
"""Captured files of an hour may come this much after it; only then is its summary kept."""

_HOUR = re.compile(r"/(\d{4}/\d{2}/\d{2}/\d{2})(?:/[^/]+|\.json)$")


@dataclass(frozen=True)
class Traffic:
    """The captured traffic of a model, as its champion reads it."""

    spec: ModelSpec
    champion: ChampionRow
    baseline: dict[str, Any]
    recipe: RowRecipe
    objects: Objects
    bucket: str
    held: Collection[str] = ()
    """Hours that are held: broken traffic is no reference."""

    @property
    def units(self) -> dict[str, str]:
        """The columns' declared units."""
        return {name: column.unit for name, column in self.spec.columns.items() if column.unit}

    def accepted(self) -> Reference | None:
        """Read the last window in which a check found nothing; None when it is not asked for."""
        if self.spec.drift.reference != "last_accepted":
            return None
        key = accepted_key(self.spec.model, self.champion.run_id)
        if not any(entry["Key"] == key for entry in self.objects.list(self.bucket, key)):
            return None
        return reference_from_json(self.objects.read_json(S3Uri(self.bucket, key)))

    def accept(self, report: DriftReport, window: Window) -> None:
        """Keep a window in which nothing was found as the next one's reference."""
        if self.spec.drift.reference != "last_accepted" or report.severity != "none":
            return
        kept = Reference(window.summary, window.prediction, window.about["first"], window.about["last"])
        key = accepted_key(self.spec.model, self.champion.run_id)
        self.objects.write_json(S3Uri(self.bucket, key), kept.to_json())

    def windows(
        self, now: datetime, accepted: Reference | None
    ) -> Iterator[tuple[datetime, datetime | None]]:
        """Give from when (inclusive) to when (exclusive, or None: to the last request) to judge traffic.

        The first window with rows enough is the one. By default that is the last ``every_minutes``, in whole
        hours and one at least, or, where that is too little, four times as long, and so on: what broke an
        hour ago must not vanish among the weeks before. Where that is nearly all since the promotion, it is
        all; and beside a window accepted lately it begins where that one ended, at its last request: what an
        endpoint captures is written minutes later, and would be lost between windows that end by the clock.
        """
        earliest = max(datetime.fromisoformat(self.champion.promoted_at), now - LONGEST_WINDOW)
        drift = self.spec.drift
        if accepted is not None and accepted.until:
            earliest = max(earliest, datetime.fromisoformat(accepted.until))
        if drift.window_hours is not None:
            until = whole_hour(now)
            yield max(earliest, until - timedelta(hours=drift.window_hours)), until
            return
        span = timedelta(minutes=max(60, drift.every_minutes))
        while whole_hour(now - span) - earliest > span:
            yield whole_hour(now - span), None
            span *= GROWTH
        yield earliest, None

    def season(self, since: datetime, until: datetime, now: datetime) -> Reference | None:
        """Add up the earlier hours that match the window's; None without any.

        An hour is read once: its summary is kept under the champion's run and the hour, because a summary
        only fits the baseline it was made like.
        """
        prefix = hours_prefix(self.spec.model, self.champion.run_id)
        kept = {hour_of(entry["Key"]): entry["Key"] for entry in self.objects.list(self.bucket, f"{prefix}/")}
        captured = self.captured()
        known = {hour for hour in (*kept, *captured) if hour and as_captured(hour)[:HOUR] not in self.held}
        total: Reference | None = None
        for hour in matching_hours(known, whole_hour(since), until, self.spec.drift.season):
            if hour in kept:
                part = reference_from_json(self.objects.read_json(S3Uri(self.bucket, kept[hour])))
            else:
                part = self._hour(hour, captured[hour])
                if hour + SETTLED < now:
                    place = S3Uri(self.bucket, f"{prefix}/{hour:%Y/%m/%d/%H}.json")
                    self.objects.write_json(place, part.to_json())
            total = merge_references(total, part) if total else part
        return total

    def captured(self) -> dict[datetime, list[str]]:
        """List captured files by the hour in their key."""
        found: dict[datetime, list[str]] = {}
        for entry in self.objects.list(self.bucket, f"{capture_prefix(self.spec.model)}/"):
            if hour := hour_of(entry["Key"]):
                found.setdefault(hour, []).append(entry["Key"])
        return found

    def _hour(self, hour: datetime, keys: list[str]) -> Reference:
        files = ((key, self.objects.stream(self.bucket, key)) for key in sorted(keys))
        window = read_window(self.baseline, self.recipe, files, LabelReader())
        mine = hour >= datetime.fromisoformat(self.champion.promoted_at)
        end = hour + timedelta(hours=1)
        return Reference(
            window.summary, window.prediction if mine else None, as_captured(hour), as_captured(end)
        )


def hour_of(key: str) -> datetime | None:
    """Read the UTC hour out of a captured file's key, or of a kept hour's; None when it has none.

    >>> hour_of("capture/rides/dw-rides/serving/2026/11/24/09/x.jsonl")
    datetime.datetime(2026, 11, 24, 9, 0, tzinfo=datetime.timezone.utc)
    """
    found = _HOUR.search(key)
    return datetime.strptime(found[1], "%Y/%m/%d/%H").replace(tzinfo=UTC) if found else None


def whole_hour(at: datetime) -> datetime:
    """Give the hour a time lies in."""
    return at.replace(minute=0, second=0, microsecond=0)


def as_captured(at: datetime) -> str:
    """Write a time as captured records do."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
