"""The log-linear cells a number falls into: no edges to choose, so two histograms of one centre always merge.

A value's distance from the column's centre is taken as float32 and its top 16 bits are its cell: sign, eight
bits of exponent, seven of mantissa. A cell is at most 1/128 of its distance from the centre wide, there are
65,536 possible ones, and a column fills a few hundred to a few thousand. Cells are numbered in the order of
the values they hold.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]

CELLS = 65_536
ZERO = CELLS // 2
"""The cell of the centre itself."""

LARGEST = float(np.finfo(np.float32).max)
"""Distances beyond it fall into the last cell."""

_SQUARABLE = 1e150
"""Distances are clipped here before they are squared: beyond it the square is no float64 any more."""

_CHUNK_BITS = 14
CHUNK = 1 << _CHUNK_BITS
"""Numbers added at once: temporary arrays stay in the processor's cache."""

_HEADROOM, _REACH = 8, 48
"""A grain is chosen so that numbers 2**8 times as far as those seen first are still within reach: fewer than
2**48 grains. A chunk's grains then add up to less than 2**63."""

_GRAINS = (-450, 450)
"""Powers of two a grain may be: beyond, the sum of squares leaves float64."""

_UNIT = 2**1074
"""Every float64 is a whole number of 1/_UNIT."""

_CUTTABLE = (-960, 1024)
"""Powers of two at which numbers can be cut: beyond, the cut or its last bit is no float64."""


def codes_of(distances: Floats) -> Codes:
    """Give the cell of each distance from the centre as its 16 bits (not yet in the order of values).

    None may be larger than ``LARGEST``.
    """
    return distances.astype("<f4").view("<u2")[1::2].copy()


def count_codes(codes: Codes) -> Integers:
    """Count how many lie in each of the 65,536 cells, in order of value."""
    counts = np.bincount(codes, minlength=CELLS)
    return np.concatenate([counts[ZERO:][::-1], counts[:ZERO]])


def count_cells(distances: Floats) -> Integers:
    """Count how many distances from the centre fall in each of the 65,536 cells, in order of value."""
    return count_codes(codes_of(np.clip(distances, -LARGEST, LARGEST)))


def by_code(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Put a table with a row per cell, in order of value, into the order of codes.

    >>> int(by_code(np.arange(CELLS, dtype=np.float64))[codes_of(np.array([0.0]))][0]) == ZERO
    True
    """
    return np.concatenate([table[ZERO:], table[:ZERO][::-1]])


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

    Each chunk is cut at the same power of two into high parts, whose sum needs less than 53 bits and so is
    exact in float64, and low ones, which are cut again (Rump, Ogita and Oishi 2008, SIAM J. Sci. Comput. 31,
    ExtractVector). What two cuts leave, a few numbers far smaller than the largest, is added as fractions.

    >>> exact_sum(np.array([1e16, 1.0, -1e16]))
    Fraction(1, 1)
    """
    chunks = range(0, len(values), CHUNK)
    return Fraction(sum(_add(values[start : start + CHUNK].copy()) for start in chunks), _UNIT)


def _add(rest: Floats) -> int:
    """Add one chunk, which is used up; the sum is a whole number of units."""
    total = 0
    for _ in range(2):
        power = math.frexp(max(rest.max(), -rest.min()))[1] + _CHUNK_BITS
        if not _CUTTABLE[0] < power < _CUTTABLE[1]:
            break
        cut = math.ldexp(1.0, power)
        high = rest + cut
        high -= cut
        total += _units(float(high.sum()))
        rest -= high
    return total + sum(map(_units, rest[rest != 0].tolist()))


def _units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_UNIT // denominator)


def grain_of(values: Floats, centre: float) -> int | None:
    """Choose the power of two a column's distances are rounded to, from the first of its values.

    None where there is no such number: then nothing is rounded.
    """
    furthest = max(abs(float(values.min()) - centre), abs(float(values.max()) - centre))
    if not math.isfinite(furthest):
        return None
    grain = math.frexp(furthest or abs(centre) or 1.0)[1] + _HEADROOM - _REACH
    return grain if _GRAINS[0] <= grain <= _GRAINS[1] else None


class Sums:
    """Sums of distances and of their squares that are the same in any order, bit for bit.

    A distance within reach is rounded to a multiple of 2**``grain``, and its square, once rounded to float64,
    to one of 2**(2 ``grain`` + 48); multiples are added as integers. Farther ones are added as they are, and
    so is everything without a grain.
    """

    def __init__(self, grain: int | None) -> None:
        self._grain = grain
        self._near = self._near_squares = self._far = self._far_squares = 0

    def add(self, distances: Floats, furthest: float) -> None:
        """Add at most ``CHUNK`` distances, none larger than ``furthest``; the array is used up."""
        if self._grain is not None:
            reach = math.ldexp(1.0, self._grain + _REACH)
            if furthest < reach:
                self._add_near(distances, self._grain)
                return
            near = np.abs(distances) < reach
            self._add_near(distances[near], self._grain)
            distances = distances[~near]
        bounded = np.clip(distances, -_SQUARABLE, _SQUARABLE)
        self._far_squares += _add(bounded * bounded)
        self._far += _add(bounded)

    def exact(self) -> tuple[Fraction, Fraction]:
        """Give both sums."""
        total, squares = Fraction(self._far, _UNIT), Fraction(self._far_squares, _UNIT)
        if self._grain is not None:
            total += self._near * Fraction(2) ** self._grain
            squares += self._near_squares * Fraction(2) ** (2 * self._grain + _REACH)
        return total, squares

    def _add_near(self, distances: Floats, grain: int) -> None:
        self._near_squares += _add_grains(distances * distances, 2 * grain + _REACH)
        self._near += _add_grains(distances, grain)


def _add_grains(values: Floats, grain: int) -> int:
    """Round values, which are used up, to multiples of 2**grain, half to even; give the sum of the multiples.

    Beside 1.5 * 2**(grain + 52) float64 has steps of one grain: added to it, a value's bits count its grains.
    """
    base = np.ldexp(1.5, grain + 52)
    values += base
    total = int(values.view(np.int64).sum()) - len(values) * int(base.view(np.int64))
    # numpy's integers wrap around at 2**64; the sum is below 2**63.
    return (total + 2**63) % 2**64 - 2**63


def _from_top_bits(magnitude: npt.NDArray[np.uint32]) -> Floats:
    """Read the top 16 bits of a float32 as a number; the bits after the largest one mean that largest."""
    with np.errstate(invalid="ignore"):
        values = (magnitude << 16).astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(np.isfinite(values), values, LARGEST)
