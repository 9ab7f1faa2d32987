"""CloudWatch metric data as alarms need it: points per metric, statistics over a window."""

import math
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

STATISTICS = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,2})?|100)")
# Enough for hours of a busy endpoint; older points cannot matter to an alarm of our template.
_POINTS_PER_METRIC = 20_000

MetricKey = tuple[str, str, frozenset[tuple[str, str]]]


class MetricSink(Protocol):
    """`Alarms.put_metric`: one value of one CloudWatch metric."""

    def __call__(
        self,
        namespace: str,
        name: str,
        value: float,
        unit: str = "None",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the value."""


@dataclass(frozen=True)
class Point:
    """One datum, or a StatisticSet of `count` of them."""

    moment: datetime
    minimum: float
    maximum: float
    total: float
    count: float
    unit: str


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str] | None = None) -> MetricKey:
    """Name a metric: namespace, name and all of its dimensions, as CloudWatch tells metrics apart."""
    return namespace, name, frozenset((dimensions or {}).items())


def percentile_of(statistic: str) -> float | None:
    """Read `p99.9` as 99.9; None for anything that is not a percentile."""
    found = _PERCENTILE.fullmatch(statistic)
    return float(found.group(1)) if found else None


class MetricData:
    """The newest points of every metric."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: dict[MetricKey, deque[Point]] = {}

    def add(self, key: MetricKey, points: Iterable[Point]) -> None:
        """Keep points of one metric."""
        with self._lock:
            self._points.setdefault(key, deque(maxlen=_POINTS_PER_METRIC)).extend(points)

    def statistic(
        self, key: MetricKey, name: str, start: datetime, end: datetime, unit: str | None = None
    ) -> float | None:
        """Compute one statistic over `start < moment <= end`; None when there is no datum."""
        with self._lock:
            found = [
                point
                for point in self._points.get(key, ())
                if start < point.moment <= end and (unit is None or point.unit == unit)
            ]
        return _statistic(found, name)


def _statistic(points: list[Point], name: str) -> float | None:
    count = sum(point.count for point in points)
    if not points or count <= 0:
        return None
    total = sum(point.total for point in points)
    values = {
        "SampleCount": count,
        "Sum": total,
        "Average": total / count,
        "Minimum": min(point.minimum for point in points),
        "Maximum": max(point.maximum for point in points),
    }
    percentile = percentile_of(name)
    if percentile is None:
        return values[name]
    # CloudWatch has no percentile of a StatisticSet with more than one value.
    singles = sorted(point.total for point in points if point.count == 1)
    if not singles:
        return None
    return singles[max(0, math.ceil(percentile / 100 * len(singles)) - 1)]
