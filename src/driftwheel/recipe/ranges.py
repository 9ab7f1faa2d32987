"""A column of numbers under its rule: null tokens, whole numbers, range. numpy and the row function only."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from driftwheel.recipe.cells import Floats
from driftwheel.recipe.row import null_numbers

_EXACT = 2.0**53


def within(column: Mapping[str, Any], values: Floats) -> Floats | None:
    """Apply null tokens and range to numbers (NaN = missing); None where float64 is not exact enough."""
    if column["type"] == "integer":
        if (np.abs(values) >= _EXACT).any():
            return None
        values = np.where(values == np.rint(values), values, np.nan)
    if absent := null_numbers(column):
        values = np.where(np.isin(values, list(absent)), np.nan, values)
    if column["range"] is not None:
        low, high = column["range"]
        if column["outside"] == "clip":
            return np.clip(values, low, high) + 0.0
        inside = (values >= low) & (values <= high)
        if column["outside"] == "reject" and not (inside | np.isnan(values)).all():
            return None
        values = np.where(inside, values, np.nan)
    return values + 0.0  # minus zero is zero
