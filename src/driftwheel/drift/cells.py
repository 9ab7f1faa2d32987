"""The log-linear cells a number falls into: no edges to choose, so two histograms of one centre always merge.

A value's distance from the column's centre is taken as float32 and its top 16 bits are its cell: sign, eight
bits of exponent, seven of mantissa. A cell is at most 1/128 of its distance from the centre wide, there are
65,536 possible ones, and a column fills a few hundred to a few thousand. Cells are numbered in the order of
the values they hold.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CELLS = 65_536
ZERO = CELLS // 2
"""The cell of the centre itself."""

_LARGEST = float(np.finfo(np.float32).max)
_SQUARABLE = 1e150
"""Distances are clipped here before they are squared: beyond it the square is no float64 any more."""

_CHUNK = 1 << 20
"""Values handled at once: bounds the temporary arrays, and keeps every partial sum below 2**53 (exact)."""


def count_cells(distances: Floats) -> Integers:
    """Count how many distances from the centre fall in each of the 65,536 cells, in order of value."""
    counts = np.zeros(CELLS, dtype=np.int64)
    for start in range(0, len(distances), _CHUNK):
        counts += np.bincount(_top_bits(distances[start : start + _CHUNK]), minlength=CELLS)
    return np.concatenate([counts[ZERO:][::-1], counts[:ZERO]])


def look_up(distances: Floats, table: Floats) -> Floats:
    """Give for each distance from the centre what ``table`` (a row per cell, in order of value) says of it.

    >>> int(look_up(np.array([0.0]), np.arange(CELLS, dtype=np.float64))[0]) == ZERO
    True
    """
    by_bits = np.concatenate([table[ZERO:], table[:ZERO][::-1]])
    return np.asarray(by_bits[_top_bits(distances)])


def cell_bounds(cells: Integers) -> tuple[Floats, Floats]:
    """Give the lowest and highest distance from the centre that each cell can hold.

    >>> low, high = cell_bounds(np.array([ZERO + 0x3F80]))  # 0x3F80 are the top bits of 1.0
    >>> float(low[0]), float(high[0])
    (1.0, 1.0078125)
    """
    positive = cells >= ZERO
    magnitude = np.where(positive, cells - ZERO, ZERO - 1 - cells).astype(np.uint32)
    inner = _from_top_bits(magnitude)
    outer = _from_top_bits(magnitude + 1)
    return np.where(positive, inner, -outer), np.where(positive, outer, -inner)


def cell_middles(cells: Integers) -> Floats:
    """Give one distance that stands for each cell: its middle, and exactly 0 for the centre's."""
    low, high = cell_bounds(cells)
    return np.where(cells == ZERO, 0.0, (low + high) / 2)


def exact_sum(values: Floats) -> Fraction:
    """Add finite numbers without any rounding, so that sums of parts equal the sum of the whole.

    Each number is an integer below 2**53 times a power of two: the halves of the integers are added per
    power, where float64 cannot round.

    >>> exact_sum(np.array([1e16, 1.0, -1e16]))
    Fraction(1, 1)
    """
    total = Fraction(0)
    for start in range(0, len(values), _CHUNK):
        fraction, exponent = np.frexp(values[start : start + _CHUNK])
        mantissa = np.ldexp(fraction, 53).astype(np.int64)
        base = int(exponent.min())
        high = np.bincount(exponent - base, weights=(mantissa >> 27).astype(np.float64))
        low = np.bincount(exponent - base, weights=(mantissa & (2**27 - 1)).astype(np.float64))
        for power in np.flatnonzero((high != 0) | (low != 0)):
            scaled = (int(high[power]) << 27) + int(low[power])
            total += scaled * Fraction(2) ** (base + int(power) - 53)
    return total


def exact_moments(distances: Floats) -> tuple[Fraction, Fraction]:
    """Add up the distances and their squares exactly (each square is rounded once, to float64)."""
    bounded = np.clip(distances, -_SQUARABLE, _SQUARABLE)
    return exact_sum(bounded), exact_sum(bounded * bounded)


def _top_bits(distances: Floats) -> npt.NDArray[np.uint32]:
    near = np.clip(distances, -_LARGEST, _LARGEST).astype(np.float32)
    return np.asarray(near.view(np.uint32) >> 16)


def _from_top_bits(magnitude: npt.NDArray[np.uint32]) -> Floats:
    """Read the top 16 bits of a float32 as a number; the bits after the largest one mean that largest."""
    with np.errstate(invalid="ignore"):
        values = (magnitude << 16).astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(np.isfinite(values), values, _LARGEST)
