"""How the numeric columns of a data set go together: sums of products of ranks, merged exactly.

A value's rank is its place in the data set summarised first, cut into at most ``BINS`` bins and written as an
integer grade. Sums of products of integers are exact in any order, so parts add up to the whole bit for bit,
and one look at each value is enough. numpy and the standard library only: the training container runs it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from driftwheel.drift.cells import CELLS, Codes, Floats, Integers, by_code
from driftwheel.drift.column import NumberSummary

PAIRS = 200
"""Pairs watched, the strongest; all of them up to 20 numeric columns. Bounds memory and the price in
significance of looking at many."""

COLUMNS = 256
"""Numeric columns considered, the first in the order given: choosing looks at all their pairs once."""

BINS = 128
GRADE = 64
"""Grades run from -64 (lowest) to 63, as many as there are bins. A product is at most 2**12: those of a chunk
add up exactly in float32. Baselines of before have grades to 512: theirs are added in float64."""

LUMP = 0.95
"""A column with so much of it in one bin has no ranks to speak of."""

LIMIT = 0.999
"""Correlations are cut off here: of a copied column nothing more can be told."""

_SAMPLE = 20_000
"""Rows, evenly spaced, from which pairs and their spread are chosen."""

_CHUNK = 1 << 12
"""Rows multiplied at once: their products add up to at most 2**24, and they stay in the processor's cache."""

Grades = npt.NDArray[np.float32] | npt.NDArray[np.float64]

Given = Mapping[str, tuple[Codes, npt.NDArray[np.bool_]]]
"""Column → the codes of its distances from the centre of its scale, and which of them are finite numbers."""


@dataclass(frozen=True)
class Scale:
    """Which grade a cell around ``centre`` has: ``cuts`` are the last cells of all bins but the last."""

    centre: float
    cuts: tuple[int, ...]
    grades: tuple[int, ...]

    @property
    def exact_as(self) -> npt.DTypeLike:
        """The smaller of the two types in which a chunk's products add up exactly."""
        return np.float32 if max(map(abs, self.grades)) <= GRADE else np.float64

    @cached_property
    def table(self) -> Grades:
        """Give the grade of each code."""
        ends = np.array([-1, *self.cuts, CELLS - 1])
        return by_code(np.repeat(np.array(self.grades, dtype=self.exact_as), np.diff(ends)))


@dataclass(frozen=True, eq=False)
class JointSummary:
    """Sums over the rows in which both columns of a pair have a value, a row per pair.

    ``sums`` holds count, Σa, Σb, Σa², Σb², Σab of the grades. ``spreads`` are rows times the variance of
    Fisher's z in the data the scales come from: 1 for independent or normal columns, more where rare values
    come together.
    """

    kind: ClassVar[Literal["joint"]] = "joint"
    nulls: ClassVar[int] = 0
    invalid: ClassVar[int] = 0

    scales: dict[str, Scale]
    pairs: tuple[tuple[str, str], ...]
    spreads: tuple[float, ...]
    sums: Integers

    @property
    def count(self) -> int:
        """Rows of the fullest pair."""
        return int(self.sums[:, 0].max()) if len(self.pairs) else 0

    @property
    def rows(self) -> int:
        """The same: rows without both values are missing in their columns already."""
        return self.count

    @property
    def correlations(self) -> Floats:
        """Pearson's r of the grades for each pair; NaN where a column does not move."""
        return _correlations(self.sums)

    def without(self, columns: set[str]) -> "JointSummary":
        """Leave out the pairs of these columns."""
        kept = [n for n, pair in enumerate(self.pairs) if not columns & {*pair}]
        return replace(
            self,
            pairs=tuple(self.pairs[n] for n in kept),
            spreads=tuple(self.spreads[n] for n in kept),
            sums=self.sums[kept],
        )

    def to_json(self) -> dict[str, Any]:
        """Give the summary as JSON values."""
        return {
            "scales": {
                name: {"centre": scale.centre, "cuts": list(scale.cuts), "grades": list(scale.grades)}
                for name, scale in sorted(self.scales.items())
            },
            "pairs": [list(pair) for pair in self.pairs],
            "spreads": list(self.spreads),
            "sums": self.sums.tolist(),
        }


def joint_from_json(document: Mapping[str, Any]) -> JointSummary:
    """Read what ``JointSummary.to_json`` gave."""
    return JointSummary(
        scales={
            name: Scale(scale["centre"], tuple(scale["cuts"]), tuple(scale["grades"]))
            for name, scale in document["scales"].items()
        },
        pairs=tuple((one, other) for one, other in document["pairs"]),
        spreads=tuple(document["spreads"]),
        sums=np.array(document["sums"], dtype=np.int64).reshape(-1, 6),
    )


def summarise_joint(given: Given, columns: Mapping[str, NumberSummary]) -> JointSummary:
    """Choose the strongest pairs of a first data set, with its own ranks, and sum them up."""
    made = {name: make_scale(column) for name, column in list(columns.items())[:COLUMNS]}
    scales = {name: scale for name, scale in made.items() if scale is not None}
    names = list(scales)
    sample = _sample(given)
    every = [(one, other) for n, one in enumerate(names) for other in names[n + 1 :]]
    # A stable sort on rounded strength: the choice must not hang on the last bit of a division.
    strength = np.round(np.nan_to_num(np.abs(_correlations(_sums(sample, scales, every)))), 6)
    chosen = [every[n] for n in sorted(np.argsort(-strength, kind="stable")[:PAIRS])]
    used = {name for pair in chosen for name in pair}
    scales = {name: scale for name, scale in scales.items() if name in used}
    empty = JointSummary(
        scales=scales,
        pairs=tuple(chosen),
        spreads=tuple(_spread(sample, scales, pair) for pair in chosen),
        sums=np.zeros((len(chosen), 6), dtype=np.int64),
    )
    return summarise_joint_like(given, empty)


def summarise_joint_like(given: Given, like: JointSummary) -> JointSummary:
    """Sum up the pairs of ``like`` with its ranks; pairs with a column that is not given are left out."""
    like = like.without(set(like.scales) - set(given))
    return replace(like, sums=_sums(given, like.scales, like.pairs))


def merge_joints(one: JointSummary, other: JointSummary) -> JointSummary:
    """Add the sums of two parts; raises ValueError when they were made with other pairs or ranks."""
    if not one.count or not other.count:
        return one if one.count or not other.pairs else other
    if one.pairs != other.pairs or one.scales != other.scales:
        raise ValueError("correlations were summed with other ranks: summarise the later part like the first")
    return replace(one, sums=one.sums + other.sums)


def make_scale(column: NumberSummary) -> Scale | None:
    """Grade a column by its own ranks (the middle one of each bin); None when it has none to speak of."""
    if column.count < 2:
        return None
    upto = np.cumsum(column.counts)
    at = np.searchsorted(upto, column.count * np.arange(1, BINS) / BINS)
    at = np.unique(at[at < len(column.cells) - 1])
    ends = np.array([0, *upto[at], column.count])
    if np.diff(ends).max() > LUMP * column.count:
        return None
    grades = (ends[:-1] + ends[1:]) * GRADE // column.count - GRADE
    return Scale(column.centre, tuple(column.cells[at].tolist()), tuple(grades.tolist()))


def _sums(given: Given, scales: Mapping[str, Scale], pairs: Sequence[tuple[str, str]]) -> Integers:
    if not len(pairs):
        return np.zeros((0, 6), dtype=np.int64)
    names = list(scales)
    place = {name: n for n, name in enumerate(names)}
    one = np.array([place[pair[0]] for pair in pairs])
    other = np.array([place[pair[1]] for pair in pairs])
    gaps = [name for name in names if not given[name][1].all()]
    seen = np.array([gaps.index(name) + 1 if name in gaps else 0 for name in names])
    ones = len(names)
    products = np.zeros((ones + 1 + len(gaps), ones + 1 + len(gaps)))
    squares = np.zeros((ones, 1 + len(gaps)))
    for made in _chunks(given, scales, gaps):
        products += made @ made.T
        if gaps:
            squares[:, 1:] += (made[:ones] * made[:ones]) @ made[ones + 1 :].T
    squares[:, 0] = products.diagonal()[:ones]
    parts = (
        products[ones + seen[one], ones + seen[other]],
        products[one, ones + seen[other]],
        products[other, ones + seen[one]],
        squares[one, seen[other]],
        squares[other, seen[one]],
        products[one, other],
    )
    return np.stack(parts, axis=1).astype(np.int64)


def _chunks(given: Given, scales: Mapping[str, Scale], gaps: Sequence[str]) -> Iterator[Grades]:
    """Give grades, a row per scale (0 where no value is); then presence: a row of ones and one per gap."""
    rows = len(given[next(iter(scales))][0])
    kind = np.result_type(*(scale.table for scale in scales.values()))
    for start in range(0, rows, _CHUNK):
        part = slice(start, min(start + _CHUNK, rows))
        made = np.ones((len(scales) + 1 + len(gaps), part.stop - start), dtype=kind)
        for n, name in enumerate(gaps, len(scales) + 1):
            made[n] = given[name][1][part]
        for n, (name, scale) in enumerate(scales.items()):
            # A code is always inside its table: clip only spares the look before.
            np.take(scale.table, given[name][0][part], out=made[n], mode="clip")
            if name in gaps:
                made[n] *= made[len(scales) + 1 + gaps.index(name)]
        yield made


def _sample(given: Given) -> Given:
    rows = max((len(codes) for codes, _ in given.values()), default=0)
    at = np.unique(np.linspace(0, max(0, rows - 1), min(rows, _SAMPLE)).astype(np.int64))
    return {name: (codes[at], there[at]) for name, (codes, there) in given.items()}


def _correlations(sums: Integers) -> Floats:
    n, a, b, aa, bb, ab = sums.astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((n * ab - a * b) / np.sqrt((n * aa - a * a) * (n * bb - b * b)))


def _spread(sample: Given, scales: Mapping[str, Scale], pair: tuple[str, str]) -> float:
    """Estimate rows times the variance of Fisher's z from the influence of each row on the correlation.

    Var r = mean (ab - r/2 (a² + b²))² of standardised grades (Browne 1984, Br. J. Math. Stat. Psychol. 37);
    not below 1.06, the value for ranks of normal columns (Fieller, Hartley and Pearson 1957, Biometrika 44).
    """
    both = sample[pair[0]][1] & sample[pair[1]][1]
    if both.sum() < 10:
        return 1.06
    made = [scales[name].table[sample[name][0][both]].astype(np.float64) for name in pair]
    if not all(values.std() for values in made):
        return 1.06
    a, b = ((values - values.mean()) / values.std() for values in made)
    r = float(np.clip(np.mean(a * b), -LIMIT, LIMIT))
    influence = a * b - r / 2 * (a * a + b * b)
    return max(1.06, float(np.mean(influence * influence)) / (1 - r * r) ** 2)
