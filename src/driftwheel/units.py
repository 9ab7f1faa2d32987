"""The units a column may be given in, and the linear maps between those of one dimension."""

import math

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


def dimension_of(unit: str | None) -> dict[str, tuple[float, float]] | None:
    """Give the units of the same dimension; None for a unit that is not listed."""
    return next((units for units in DIMENSIONS.values() if unit in units), None)


def conversion(given: str, wanted: str) -> tuple[float, float]:
    """Give factor and offset of ``wanted = given * factor + offset``.

    Raises ValueError when a unit is unknown or the two measure different things.

    >>> conversion("km", "m")
    (1000.0, 0.0)
    """
    units = dimension_of(given)
    if units is None:
        known = ", ".join(name for dimension in DIMENSIONS.values() for name in dimension)
        raise ValueError(f"'{given}' is no unit known here; known are {known}")
    if wanted not in units:
        raise ValueError(f"'{given}' cannot become '{wanted}'; it can become {', '.join(units)}")
    (factor, offset), (to, start) = units[given], units[wanted]
    return float(factor / to), float((offset - start) / to)


def conversions_from(unit: str | None) -> list[tuple[str, float, float]]:
    """List (cause, factor, offset) of the conversions to try.

    >>> conversions_from("percent")
    [('percent to fraction', 0.01, 0.0)]
    """
    dimension = dimension_of(unit)
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
