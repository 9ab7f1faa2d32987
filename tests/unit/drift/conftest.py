"""A world of columns to draw windows from: fast, because windows are drawn as summaries."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from driftwheel.drift.column import CategorySummary, ColumnSummary, NumberSummary
from driftwheel.drift.summaries import Summary, summarise

KINDS = {f"num_{n}": "number" for n in range(10)} | {f"cat_{n}": "category" for n in range(4)}


def columns(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Draw plain, skewed, discrete, mostly-zero and gappy numbers, and categories short and long-tailed."""
    zipf = 1 / np.arange(1, 501)
    return {
        "num_0": rng.normal(60, 10, rows),
        "num_1": rng.normal(0, 1, rows),
        "num_2": rng.lognormal(3, 1, rows),
        "num_3": rng.integers(0, 12, rows).astype(float),
        "num_4": np.where(rng.random(rows) < 0.9, 0.0, rng.exponential(1, rows)),
        "num_5": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(5, 2, rows)),
        "num_6": rng.uniform(0, 360, rows).round(-1),
        "num_7": rng.standard_t(3, rows),
        "num_8": rng.normal(15, 8, rows),
        "num_9": rng.normal(0, 2, rows),
        "cat_0": rng.choice(["EWR", "JFK", "LGA"], rows, p=[0.4, 0.35, 0.25]),
        "cat_1": rng.choice(["a", "b", "c", "d", "rare"], rows, p=[0.4, 0.3, 0.2, 0.09, 0.01]),
        "cat_2": rng.choice([f"z{n}" for n in range(500)], rows, p=zipf / zipf.sum()),
        "cat_3": rng.choice(["x", "y"], rows, p=[0.98, 0.02]),
    }


def draw(rng: np.random.Generator, population: Summary, rows: int) -> Summary:
    """Draw a window of the population, column by column."""
    return Summary(rows, {name: _draw(rng, column, rows) for name, column in population.columns.items()})


def _draw(rng: np.random.Generator, column: ColumnSummary, rows: int) -> ColumnSummary:
    nulls = int(rng.binomial(rows, column.nulls / column.rows))
    match column:
        case NumberSummary():
            counts = rng.multinomial(rows - nulls, column.counts / column.count)
            seen = counts > 0
            values = column.values[seen]
            return replace(
                column,
                count=rows - nulls,
                nulls=nulls,
                minimum=float(values[0]),
                maximum=float(values[-1]),
                total=Fraction(float((values - column.centre) @ counts[seen])),
                cells=column.cells[seen],
                counts=counts[seen],
            )
        case CategorySummary():
            counts = rng.multinomial(rows - nulls, np.array(list(column.values.values())) / column.count)
            drawn = zip(column.values, counts.tolist(), strict=True)
            return CategorySummary({value: n for value, n in drawn if n}, nulls)
    raise TypeError(column)


class World:
    """A world that does not change, and how to draw from it."""

    kinds = KINDS
    columns = staticmethod(columns)
    draw = staticmethod(draw)

    def __init__(self) -> None:
        self.population = summarise(columns(np.random.default_rng(20), 400_000), KINDS)


@pytest.fixture(scope="session")
def world() -> World:
    return World()
