"""Rows of a window to show a classifier: drawn evenly while the window is read once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SEED = 11


class RowSample:
    """Keeps at most ``most`` rows of ``columns``: each row draws a number, the smallest stay.

    The same rows in the same order give the same sample.
    """

    def __init__(self, columns: Sequence[str], most: int) -> None:
        self.columns, self._most = tuple(columns), most
        self._dice = np.random.default_rng(_SEED)
        self._kept: list[tuple[float, tuple[Any, ...]]] = []
        self._below = 1.0

    def add(self, columns: Mapping[str, Sequence[Any]], rows: int) -> None:
        """Offer the rows of a batch."""
        drawn = self._dice.random(rows)
        for place in np.flatnonzero(drawn < self._below).tolist():
            self._kept.append((float(drawn[place]), tuple(columns[name][place] for name in self.columns)))
        if len(self._kept) > 2 * self._most:
            self._shrink()

    def rows(self) -> list[tuple[Any, ...]]:
        """Give the sample, a value for each of ``columns``."""
        self._shrink()
        return [row for _, row in self._kept]

    def _shrink(self) -> None:
        self._kept = sorted(self._kept, key=lambda one: one[0])[: self._most]
        if len(self._kept) == self._most:
            self._below = self._kept[-1][0]
