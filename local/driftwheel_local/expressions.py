"""Schedule expressions: rate(), cron() and at(), and when each of them is due.

Syntax: "Schedule types" of the EventBridge Scheduler user guide; rules know no at() and no timezone.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter
from croniter.croniter import CroniterError

_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.+)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_DAY_TOKEN = re.compile(r"(\d|SUN|MON|TUE|WED|THU|FRI|SAT)", re.IGNORECASE)


class InvalidExpressionError(ValueError):
    """When a schedule expression or timezone is not one AWS accepts."""


class Expression(Protocol):
    """When something is due."""

    def latest(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the last due instant up to `now`, or None; `anchor` is when the schedule begins."""

    def following(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the first due instant after `now`, or None when there is none any more."""


@dataclass(frozen=True)
class Rate:
    """Due every `period` from the anchor; at the anchor itself when `immediate`, as Scheduler does."""

    period: timedelta
    immediate: bool

    def latest(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the last multiple of the period up to `now`."""
        ticks = (now - anchor) // self.period
        return anchor + ticks * self.period if ticks >= (0 if self.immediate else 1) else None

    def following(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the next multiple of the period."""
        ticks = max((now - anchor) // self.period + 1, 0 if self.immediate else 1)
        return anchor + ticks * self.period


@dataclass(frozen=True)
class Cron:
    """Due at the instants of a cron expression in croniter's order of fields."""

    text: str
    zone: ZoneInfo

    def latest(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the last instant after the anchor and up to `now`."""
        past_now = now.astimezone(self.zone).replace(microsecond=0) + timedelta(seconds=1)
        found = self._step(past_now, forward=False)
        return found if found is not None and found > anchor else None

    def following(self, anchor: datetime, now: datetime) -> datetime | None:
        """Answer the next instant after `now` and the anchor."""
        return self._step(max(anchor, now).astimezone(self.zone), forward=True)

    def _step(self, base: datetime, *, forward: bool) -> datetime | None:
        days = croniter(self.text, base)
        try:
            found = days.get_next(datetime) if forward else days.get_prev(datetime)
        except CroniterBadDateError:
            return None
        return found.astimezone(UTC) if isinstance(found, datetime) else None


@dataclass(frozen=True)
class At:
    """Due once."""

    moment: datetime

    def latest(self, anchor: datetime, now: datetime) -> datetime | None:  # noqa: ARG002
        """Answer the moment when it has come, however old the schedule is."""
        return self.moment if self.moment <= now else None

    def following(self, anchor: datetime, now: datetime) -> datetime | None:  # noqa: ARG002
        """Answer the moment when it is still to come."""
        return self.moment if self.moment > now else None


def parse_expression(text: str, *, timezone: str = "UTC", scheduler: bool) -> Expression:
    """Answer what `text` says; `scheduler` tells EventBridge Scheduler from a rule.

    Raises InvalidExpressionError.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidExpressionError(f"{timezone!r} is not a timezone") from error
    if match := _RATE.fullmatch(text):
        value, unit, plural = int(match[1]), match[2], match[3] == "s"
        # rules insist on rate(1 hour) and rate(2 hours); Scheduler takes either
        if value > 0 and (scheduler or plural == (value != 1)):
            return Rate(timedelta(seconds=value * _UNIT_SECONDS[unit]), immediate=scheduler)
    elif match := _CRON.fullmatch(text):
        return Cron(_converted(match[1], text), zone)
    elif scheduler and (match := _AT.fullmatch(text)):
        try:
            local = datetime.fromisoformat(match[1]).replace(tzinfo=zone)
        except ValueError as error:
            raise InvalidExpressionError(f"{text}: {error}") from error
        return At(local.astimezone(UTC))
    forms = "rate(), cron() or at()" if scheduler else "rate() or cron()"
    raise InvalidExpressionError(f"{text!r} is not a valid {forms} expression")


def _converted(fields: str, text: str) -> str:
    """Answer croniter's fields for AWS's six: minute, hour, day of month, month, day of week, year."""
    parts = fields.split()
    if len(parts) != 6:
        raise InvalidExpressionError(f"{text}: cron() needs six fields, got {len(parts)}")
    minute, hour, day, month, weekday, year = parts
    if (day == "?") == (weekday == "?"):
        raise InvalidExpressionError(f"{text}: exactly one of day of month and day of week must be ?")
    day = "*" if day == "?" else day
    weekday = "*" if weekday == "?" else ",".join(_weekday(part, text) for part in weekday.split(","))
    converted = f"{minute} {hour} {day} {month} {weekday}" + ("" if year == "*" else f" 0 {year}")
    try:
        croniter(converted, datetime.now(UTC))
    except (CroniterError, ValueError) as error:
        raise InvalidExpressionError(f"{text}: {error}") from error
    return converted


def _weekday(part: str, text: str) -> str:
    """Answer one day-of-week item with Sunday 0 in place of AWS's 1."""

    def shift(match: re.Match[str]) -> str:
        number = _DAYS.get(match[1].upper()) or int(match[1])
        if not 1 <= number <= 7:
            raise InvalidExpressionError(f"{text}: day of week {match[1]} is outside 1..7")
        return str(number - 1)

    if part.upper() == "L":
        return "6"
    for mark in ("#", "/"):
        if mark in part:
            days, rest = part.split(mark, 1)
            return f"{_DAY_TOKEN.sub(shift, days)}{mark}{rest}"
    if part.upper().endswith("L"):
        return "L" + _DAY_TOKEN.sub(shift, part[:-1])
    return _DAY_TOKEN.sub(shift, part)
