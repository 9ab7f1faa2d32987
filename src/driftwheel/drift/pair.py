"""A column in the baseline beside the same column in a window, cut into bins both can be counted in."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftwheel.drift.cells import ZERO, Floats, Integers, cell_bounds
from driftwheel.drift.column import CategorySummary, ColumnSummary, NumberSummary
from driftwheel.drift.joint import JointSummary

CUTS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""Shares of the baseline where numeric bins end: deciles as PSI is usually read, and both tails apart, where
a wider spread and values in another unit show first."""

HEAVY = 0.1
"""A single value with this share of the baseline is a bin of its own (the hours without rain)."""

EXPECTED = 5.0
"""Fewest values a bin may expect in either sample (Cochran 1952); smaller ones are put together."""

RARE = "(rare)"


@dataclass(frozen=True)
class Bins:
    """Counts per bin in the baseline and in the window; ``names`` read as a person would say them."""

    names: list[str]
    baseline: Integers
    window: Integers

    @property
    def degrees(self) -> int:
        """Degrees of freedom of a comparison."""
        return max(0, len(self.names) - 1)

    @property
    def noise(self) -> float:
        """1/n + 1/m: how far two samples of one population lie apart, per degree of freedom."""
        return float(1 / max(1, self.baseline.sum()) + 1 / max(1, self.window.sum()))

    def shares(self) -> tuple[Floats, Floats]:
        """Give the share of each bin in baseline and window, half a row added so that no bin is empty."""
        return _smoothed(self.baseline), _smoothed(self.window)


@dataclass(frozen=True)
class Pair:
    """One column then and now, or how all of them go together."""

    baseline: ColumnSummary | JointSummary
    window: ColumnSummary | JointSummary

    @cached_property
    def bins(self) -> Bins:
        """Bins in which both were counted; decided by both together, so that neither is favoured."""
        match self.baseline, self.window:
            case NumberSummary() as baseline, NumberSummary() as window:
                return _number_bins(baseline, window)
            case CategorySummary() as baseline, CategorySummary() as window:
                return _category_bins(baseline, window)
            case _:
                return Bins([], np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def _number_bins(baseline: NumberSummary, window: NumberSummary) -> Bins:
    ends = _bin_ends(baseline)
    before = _count_up_to(ends, baseline)
    now = _count_up_to(ends, window)
    groups = _group_neighbours(before, now)
    bounds = cell_bounds(np.array(ends, dtype=np.int64))[1] + baseline.centre
    edges = [
        (end <= ZERO, baseline.centre if end == ZERO else float(bounds[i])) for i, end in enumerate(ends)
    ]
    names = [_range_name(edges[: group[0]], edges[group[-1] :]) for group in groups]
    return Bins(names, *(np.array([counts[g].sum() for g in groups], np.int64) for counts in (before, now)))


def _bin_ends(baseline: NumberSummary) -> list[int]:
    """Give the last cell of every bin but the last, which is open."""
    if not baseline.count:
        return []
    shares = np.cumsum(baseline.counts) / baseline.count
    ends = {int(baseline.cells[np.searchsorted(shares, cut - 1e-12)]) for cut in CUTS}
    for cell in baseline.cells[baseline.counts >= HEAVY * baseline.count]:
        ends |= {int(cell), int(cell) - 1}
    return sorted(end for end in ends if int(baseline.cells[0]) <= end < int(baseline.cells[-1]))


def _count_up_to(ends: list[int], summary: NumberSummary) -> Integers:
    at = np.searchsorted(np.array(ends, dtype=np.int64), summary.cells, side="left")
    return np.bincount(at, weights=summary.counts, minlength=len(ends) + 1).astype(np.int64)


def _group_neighbours(before: Integers, now: Integers) -> list[list[int]]:
    """Join neighbouring bins until each group expects enough values in both samples."""
    needed = _rows_needed(before, now)
    groups: list[list[int]] = [[]]
    together = 0
    for index, count in enumerate(before + now):
        groups[-1].append(index)
        together += int(count)
        if together >= needed:
            groups.append([])
            together = 0
    rest = groups.pop()
    if rest and groups:
        groups[-1] += rest
    elif rest:
        groups.append(rest)
    return groups


def _category_bins(baseline: CategorySummary, window: CategorySummary) -> Bins:
    names = sorted({*baseline.values, *window.values})
    before = np.array([*(baseline.values.get(name, 0) for name in names), baseline.other], dtype=np.int64)
    now = np.array([*(window.values.get(name, 0) for name in names), window.other], dtype=np.int64)
    needed = _rows_needed(before, now)
    common = [i for i in range(len(names)) if before[i] + now[i] >= needed]
    rare = [i for i in range(len(names) + 1) if before[i] + now[i] and i not in set(common)]
    if rare and common and before[rare].sum() + now[rare].sum() < needed:
        rare.append(
            common.pop(min(range(len(common)), key=lambda i: int(before[common[i]] + now[common[i]])))
        )
    groups = [[i] for i in common] + ([rare] if rare else [])
    return Bins(
        [names[i] for i in common] + ([RARE] if rare else []),
        np.array([before[g].sum() for g in groups], dtype=np.int64),
        np.array([now[g].sum() for g in groups], dtype=np.int64),
    )


def _rows_needed(before: Integers, now: Integers) -> float:
    """Say how many rows of both samples a bin must hold for the smaller one to expect ``EXPECTED``."""
    smaller = min(int(before.sum()), int(now.sum()))
    return EXPECTED * float(before.sum() + now.sum()) / smaller if smaller else float("inf")


def _smoothed(counts: Integers) -> Floats:
    if not len(counts):
        return np.zeros(0)
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def _range_name(below: list[tuple[bool, float]], above: list[tuple[bool, float]]) -> str:
    """Name the bin between the last edge ``below`` and the first ``above``.

    An edge is (whether the value itself belongs to the lower bin, value): up to the centre a cell includes
    its upper bound, beyond it does not.
    """
    if not below:
        return f"{'up to' if above[0][0] else 'below'} {above[0][1]:.4g}" if above else "any"
    low = f"{below[-1][1]:.4g}"
    if not above:
        return f"{'above' if below[-1][0] else 'from'} {low}"
    high = f"{above[0][1]:.4g}"
    return low if low == high else f"{low} to {high}"
