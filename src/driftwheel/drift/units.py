"""Has a number changed its unit? The few linear maps that people mix up, tried against the moments.

Moments are exact wherever the values lie; quantiles are not: far from the centre a cell is wider than the
whole of a converted column.
"""

import math
from dataclasses import dataclass

from driftwheel.drift.column import NumberSummary
from driftwheel.drift.kolmogorov_smirnov import greatest_gap
from driftwheel.units import conversions_from, dimension_of

_APART = 0.6
"""Kolmogorov-Smirnov distance from which a unit is suspected at all: free of scale, and a column that is
mostly zero in any unit never reaches it."""
_CLOSE_DECLARED = 0.5
"""How near a conversion must bring them when the owner said the unit: the season may have moved as well."""
_CLOSE_GUESSED = 0.2
"""How near when the unit is a guess: only the very same distribution is proof."""


@dataclass(frozen=True)
class UnitChange:
    """The likely cause of a jump: now = factor · before + offset.

    ``distance`` is that of the means after conversion, in standard deviations, or the logarithm of the ratio
    of these, whichever is larger.
    """

    cause: str
    factor: float
    offset: float
    distance: float


def unit_change(baseline: NumberSummary, window: NumberSummary, unit: str | None) -> UnitChange | None:
    """Find the conversion that explains the window; None when none does, or nothing needs explaining.

    ``unit`` is the column's declared unit: with one, only units of its dimension are tried; without, Celsius
    against Fahrenheit and powers of ten.
    """
    if not window.sd or not baseline.sd or window.mean is None or baseline.mean is None:
        return None
    if greatest_gap(baseline, window) < _APART:
        return None
    close = _CLOSE_DECLARED if dimension_of(unit) else _CLOSE_GUESSED
    best: UnitChange | None = None
    for cause, factor, offset in conversions_from(unit):
        shift = abs(factor * baseline.mean + offset - window.mean) / window.sd
        distance = max(shift, abs(math.log(factor * baseline.sd / window.sd)))
        if distance <= close and (best is None or distance < best.distance):
            best = UnitChange(cause, factor, offset, distance)
    return best
