"""A column of numbers added up batch by batch: every value is looked at once, while it is in the cache.

numpy and the standard library only: the training container runs it.
"""

import math

import numpy as np
import numpy.typing as npt

from driftwheel.drift.cells import (
    CELLS,
    CHUNK,
    LARGEST,
    ZERO,
    Codes,
    Floats,
    Integers,
    Sums,
    codes_of,
    grain_of,
)
from driftwheel.drift.column import ColumnSummary, NumberSummary

Present = npt.NDArray[np.bool_]


class NumberTally:
    """Adds up float64 numbers (NaN = missing, infinite = invalid).

    ``like`` gives centre and grain; without it the first numbers do.
    """

    def __init__(self, like: ColumnSummary | None = None) -> None:
        known = like if isinstance(like, NumberSummary) else None
        self._centre = known.centre if known else None
        self._grain = known.grain if known else None
        self._sums = Sums(self._grain)
        self._count = self._nulls = self._invalid = 0
        self._low, self._high = math.inf, -math.inf
        self._codes: Integers = np.zeros(0, dtype=np.int64)
        self._counts: Integers = np.zeros(0, dtype=np.int64)

    def add(self, numbers: Floats, invalid: int = 0) -> tuple[Codes, Present]:
        """Add a batch; ``invalid`` of its missing ones are no numbers at all.

        Gives the code of every distance from the centre (0 where there is none), and where there is one.
        """
        codes = np.zeros(len(numbers), dtype=np.uint16)
        there = np.ones(len(numbers), dtype=np.bool_)
        if self._centre is None:
            self._begin(numbers)
        lacking = 0
        for start in range(0, len(numbers), CHUNK):
            part = slice(start, start + CHUNK)
            lacking += self._add_chunk(numbers[part], codes[part], there[part])
        infinite = int(np.isinf(numbers).sum()) if lacking else 0
        self._count += len(numbers) - lacking
        self._nulls += lacking - infinite - invalid
        self._invalid += infinite + invalid
        if len(numbers) > lacking:
            counts = np.bincount(codes, minlength=CELLS)
            counts[0] -= lacking
            self._count_codes(counts)
        return codes, there

    def summary(self) -> NumberSummary:
        """Give what was added up."""
        # Codes of distances below the centre grow away from it.
        cells = np.where(self._codes < ZERO, ZERO + self._codes, CELLS - 1 - self._codes)
        order = np.argsort(cells)
        total, squares = self._sums.exact()
        return NumberSummary(
            centre=self._centre or 0.0,
            count=self._count,
            nulls=self._nulls,
            invalid=self._invalid,
            minimum=self._low if self._count else None,
            maximum=self._high if self._count else None,
            total=total,
            squares=squares,
            grain=self._grain,
            cells=cells[order],
            counts=self._counts[order],
        )

    def _begin(self, numbers: Floats) -> None:
        present = numbers[np.isfinite(numbers)]
        if not len(present):
            return
        # A value that occurs (the lower median), so that a column's commonest value gets a cell of its own.
        middle = (len(present) - 1) // 2
        self._centre = float(np.partition(present, middle)[middle]) + 0.0
        self._grain = grain_of(present, self._centre)
        self._sums = Sums(self._grain)

    def _add_chunk(self, numbers: Floats, codes: Codes, there: Present) -> int:
        """Add a few numbers and write down their codes; give how many are none."""
        low, high = float(numbers.min()), float(numbers.max())
        centre = 0.0 if self._centre is None else self._centre
        if low - centre >= -LARGEST and high - centre <= LARGEST:  # false for a NaN
            # Adding zero first makes minus zero zero.
            distances = numbers - centre if centre else numbers + 0.0
            codes[:] = codes_of(distances)
            lacking = 0
        else:
            np.isfinite(numbers, out=there)
            present = numbers[there]
            if not len(present):
                return len(numbers)
            low, high = float(present.min()), float(present.max())
            with np.errstate(over="ignore"):  # an infinite distance is cut to the largest one
                distances = present - centre if centre else present + 0.0
            codes[there] = codes_of(np.clip(distances, -LARGEST, LARGEST))
            lacking = len(numbers) - len(present)
        self._low, self._high = min(self._low, low + 0.0), max(self._high, high + 0.0)
        self._sums.add(distances, max(abs(low - centre), abs(high - centre)))
        return lacking

    def _count_codes(self, counts: Integers) -> None:
        """Add the counts of a batch, one for each code; few of the codes ever occur."""
        self._counts += counts[self._codes]
        counts[self._codes] = 0
        new = np.flatnonzero(counts > 0)  # of booleans it is several times sooner
        if len(new):
            self._codes = np.concatenate([self._codes, new])
            self._counts = np.concatenate([self._counts, counts[new]])
