# ruff: noqa: S608  # every name below is quoted by literals.identifier
"""What the numbers of ``rows`` look like: extremes, mean, bins and quantiles of every column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from driftwheel.dataset.workspace import Workspace, first_keys
from driftwheel.recipe.literals import identifier

BINS = 20
SHARES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
SORTED = 200_000
"""Values that quantiles are taken of: a rank is then right to 0.1 % (one standard error, at the median)."""


@dataclass(frozen=True)
class _Spread:
    x: str
    given: int
    low: float
    high: float
    mean: float

    @property
    def width(self) -> float:
        return (self.high - self.low) / BINS or 1.0

    @property
    def place(self) -> str:
        """Write the bin of a value; NULL has none, though ``least`` would give it the last."""
        place = f"least(CAST(floor(({self.x} - {self.low!r}) / {self.width!r}) AS INTEGER), {BINS - 1})"
        return f"CASE WHEN {self.x} IS NOT NULL THEN {place} END"


def number_profiles(space: Workspace, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Describe number columns: two passes over all of them, and one over a few at a time for their quantiles.

    Quantiles of a column of more than 200,000 values are those of the rows whose keys come first: keys are
    MD5s, so that is a sample which neither the order of the rows nor the engine changes.
    """
    xs = [f"CAST({identifier(name)} AS DOUBLE)" for name in names]
    if not xs:
        return {}
    told = space.one(f"SELECT {', '.join(f'count({x}), min({x}), max({x}), avg({x})' for x in xs)} FROM rows")
    spreads = {
        name: _Spread(x, *told[4 * n : 4 * n + 4])
        for n, (name, x) in enumerate(zip(names, xs, strict=True))
        if told[4 * n]
    }
    counts = dict(zip(spreads, space.counted([s.place for s in spreads.values()]), strict=True))
    quantiles = _quantiles(space, spreads)
    empty = {"minimum": None, "maximum": None, "mean": None}
    return {
        name: _described(spreads[name], counts[name], quantiles[name]) if name in spreads else empty
        for name in names
    }


def _described(spread: _Spread, counts: dict[int, int], quantiles: list[float]) -> dict[str, Any]:
    return {
        "minimum": spread.low,
        "maximum": spread.high,
        "mean": spread.mean,
        "quantiles": dict(zip(SHARES, quantiles, strict=True)),
        "histogram": {
            "edges": [spread.low + spread.width * n for n in range(BINS + 1)],
            "counts": [counts.get(n, 0) for n in range(BINS)],
        },
    }


def _quantiles(space: Workspace, spreads: dict[str, _Spread]) -> dict[str, list[float]]:
    names = sorted(spreads, key=lambda name: spreads[name].given)
    asked = {name: space.quantiles(_sampled(spreads[name]), list(SHARES.values())) for name in names}
    found: dict[str, list[float] | None] = {}
    for start in range(0, len(names), space.sorted_at_once):
        few = names[start : start + space.sorted_at_once]
        cells = ", ".join(asked[name] for name in few)
        widest = first_keys(SORTED, spreads[few[0]].given)
        found |= zip(few, space.one(f"SELECT {cells} FROM rows WHERE {widest}"), strict=True)
    # A few values in very many rows may lie beyond the first keys.
    whole = list(SHARES.values())
    return {
        name: values or list(space.one(f"SELECT {space.quantiles(spreads[name].x, whole)} FROM rows")[0])
        for name, values in found.items()
    }


def _sampled(spread: _Spread) -> str:
    return f"CASE WHEN {first_keys(SORTED, spread.given)} THEN {spread.x} END"
