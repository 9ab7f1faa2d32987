"""Has a number changed its unit? The few linear maps that people mix up, tried against the moments.

Moments are exact wherever the values lie; quantiles are not: far from the centre a cell is wider than the
whole of a converted column.
"""

import math
from dataclasses import dataclass

from driftwheel.drift.column import NumberSummary
from driftwheel.drift.kolmogorov_smirnov import greatest_gap

DIMENSIONS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"degC": (1, 0), "degF": (5 / 9, -160 / 9), "K": (1, -273.15)},
    "length": {
        "m": (1, 0),
        "km": (1000, 0),
        "cm": (0.01, 0),
        "mm": (0.001, 0),
        "mi": (1609.344, 0),
        "nmi": (1852, 0),
        "ft": (0.3048, 0),
        "in": (0.0254, 0),
    },
    "speed": {"m/s": (1, 0), "km/h": (1 / 3.6, 0), "mph": (0.44704, 0), "kt": (1852 / 3600, 0)},
    "pressure": {
        "Pa": (1, 0),
        "hPa": (100, 0),
        "mbar": (100, 0),
        "kPa": (1000, 0),
        "inHg": (3386.389, 0),
        "mmHg": (133.3224, 0),
        "psi": (6894.757, 0),
    },
    "mass": {"kg": (1, 0), "g": (0.001, 0), "lb": (0.45359237, 0), "oz": (0.028349523, 0), "t": (1000, 0)},
    "time": {"s": (1, 0), "ms": (0.001, 0), "min": (60, 0), "h": (3600, 0), "d": (86400, 0)},
    "share": {"fraction": (1, 0), "percent": (0.01, 0)},
    "money": {
        "EUR": (1, 0),
        "euro": (1, 0),
        "USD": (1, 0),
        "dollar": (1, 0),
        "cent": (0.01, 0),
        "cents": (0.01, 0),
    },
    "angle": {"deg": (1, 0), "rad": (180 / math.pi, 0)},
    "volume": {"l": (1, 0), "ml": (0.001, 0), "m3": (1000, 0), "gal": (3.785411784, 0)},
}
"""Unit → (factor, offset) to the first unit of its dimension."""

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
    close = _CLOSE_DECLARED if _dimension(unit) else _CLOSE_GUESSED
    best: UnitChange | None = None
    for cause, factor, offset in conversions_from(unit):
        shift = abs(factor * baseline.mean + offset - window.mean) / window.sd
        distance = max(shift, abs(math.log(factor * baseline.sd / window.sd)))
        if distance <= close and (best is None or distance < best.distance):
            best = UnitChange(cause, factor, offset, distance)
    return best


def conversions_from(unit: str | None) -> list[tuple[str, float, float]]:
    """List (cause, factor, offset) of the conversions to try.

    >>> conversions_from("percent")
    [('percent to fraction', 0.01, 0.0)]
    """
    dimension = _dimension(unit)
    if dimension and unit:
        factor, offset = dimension[unit]
        return [
            (f"{unit} to {other}", factor / to, (offset - start) / to)
            for other, (to, start) in dimension.items()
            if (to, start) != (factor, offset)
        ]
    powers = [(f"times {10**n:,}", float(10**n), 0.0) for n in (1, 2, 3, 6)]
    powers += [(f"divided by {10**n:,}", 1 / 10**n, 0.0) for n in (1, 2, 3, 6)]
    return [("degF to degC", 5 / 9, -160 / 9), ("degC to degF", 9 / 5, 32.0), *powers]


def _dimension(unit: str | None) -> dict[str, tuple[float, float]] | None:
    return next((units for units in DIMENSIONS.values() if unit in units), None)
