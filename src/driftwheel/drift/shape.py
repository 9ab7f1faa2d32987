"""How a column's values lie, then and now: the few numbers a drift report's pictures are drawn from."""

import math

import numpy as np

from driftwheel.drift.column import CategorySummary, NumberSummary
from driftwheel.drift.finding import Shape
from driftwheel.drift.pair import Pair

BINS = 16
MOST_NAMED = 6
TAIL = 0.005
"""Share of either sample beyond each end of a histogram; it is counted in the first and last bin."""

DIGITS = 4


def shape_of(pair: Pair) -> Shape | None:
    """Count both samples in bins of equal width, or in their commonest values; None where one is empty."""
    match pair.baseline, pair.window:
        case NumberSummary() as before, NumberSummary() as now if before.count and now.count:
            edges = _edges(before, now)
            return Shape(before=_in_bins(before, edges), now=_in_bins(now, edges), edges=edges)
        case CategorySummary() as before, CategorySummary() as now if before.count and now.count:
            return _commonest(before, now)
        case _:
            return None


def _edges(before: NumberSummary, now: NumberSummary) -> list[float]:
    """Cut the range of both into bins; bins of whole numbers hold equally many of them each."""
    ends = [part.quantile(share) for part in (before, now) for share in (TAIL, 1 - TAIL)]
    low, high = min(e for e in ends if e is not None), max(e for e in ends if e is not None)
    if low == high:
        return [low - (room := abs(low) / 100 or 1.0), low + room]
    if not (_whole(before) and _whole(now)):
        return [float(edge) for edge in np.linspace(low, high, BINS + 1)]
    width, start = math.ceil((high - low) / BINS), math.floor(low) - 0.5
    return [start + step * width for step in range(math.ceil((high - start) / width) + 1)]


def _whole(column: NumberSummary) -> bool:
    """Say whether a column seems to hold whole numbers: no more different cells than those there are."""
    low, high = column.minimum or 0.0, column.maximum or 0.0
    return low.is_integer() and high.is_integer() and len(column.cells) <= high - low + 1


def _in_bins(column: NumberSummary, edges: list[float]) -> list[float]:
    counts, _ = np.histogram(np.clip(column.values, edges[0], edges[-1]), edges, weights=column.counts)
    return [round(float(count) / column.count, DIGITS) for count in counts]


def _commonest(before: CategorySummary, now: CategorySummary) -> Shape:
    shares = {
        name: (before.values.get(name, 0) / before.count, now.values.get(name, 0) / now.count)
        for name in sorted({*before.values, *now.values})
    }
    first = sorted(shares, key=lambda name: (-max(shares[name]), name))[:MOST_NAMED]
    named = [tuple(round(share, DIGITS) for share in shares[name]) for name in first]
    return Shape(before=[pair[0] for pair in named], now=[pair[1] for pair in named], names=first)
