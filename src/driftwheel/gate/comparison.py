"""Paired bootstrap: how sure we can be that one model is better, both having judged the same rows.

Each replicate reweights the rows once and evaluates **both** models under those weights, so what the rows
have in common cancels out of the difference (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).
Rows are drawn without regard to class: the share of positives in a holdout is itself a chance event. Weights
are independent Poisson(1) counts instead of a multinomial draw, which for more than a few hundred rows gives
the same intervals and needs no table of counts (Hanley & MacGibbon, 2006).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftwheel.gate.metrics import Floats, Metric, Weighted, Weights

REPLICATES = 2_000
"""Enough for the 5 % quantile: its own sampling error is then about a tenth of the interval's width."""

BLOCK = 4_000_000
"""Weights held at once: 16 MB of float32, which stays near the processor's caches."""


@dataclass(frozen=True)
class Interval:
    """A value with bounds: each bound holds alone with the declared confidence (one-sided)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Both models and the paired gain of the challenger; the champion's parts are None without one."""

    challenger: Interval
    champion: Interval | None
    gain: Interval | None


def _poisson_table() -> npt.NDArray[np.float32]:
    """Poisson(1) by inverse distribution over 16-bit numbers: one lookup per weight, mean right to 1e-4."""
    table = np.zeros(65_536, dtype=np.float32)
    cumulated = 0.0
    for count in range(12):
        start = round(cumulated * 65_536)
        cumulated += math.exp(-1) / math.factorial(count)
        table[start : round(cumulated * 65_536)] = count
    return table


POISSON = _poisson_table()


def compare(
    metric: Metric,
    labels: Floats,
    challenger: Floats,
    champion: Floats | None,
    *,
    tail: float,
    seed: int,
    replicates: int = REPLICATES,
) -> Comparison:
    """Estimate both models' metric and the challenger's gain, with bounds that leave out ``tail`` each.

    The same rows in the same order and the same seed give the same numbers.
    """
    models = [metric.prepare(labels, challenger)]
    values = [metric.value(labels, challenger)]
    if champion is not None:
        models.append(metric.prepare(labels, champion))
        values.append(metric.value(labels, champion))
    drawn = _replicates(models, len(labels), replicates, seed)
    intervals = [_interval(value, draws, tail) for value, draws in zip(values, drawn.T, strict=True)]
    if champion is None:
        return Comparison(intervals[0], None, None)
    gain = _interval(metric.gain(*values), metric.gain(drawn[:, 0], drawn[:, 1]), tail)
    return Comparison(intervals[0], intervals[1], gain)


def _replicates(models: list[Weighted], rows: int, replicates: int, seed: int) -> Floats:
    generator = np.random.Generator(np.random.SFC64(seed))
    block = max(1, min(replicates, BLOCK // max(rows, 1)))
    drawn = np.empty((replicates, len(models)))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        weights: Weights = POISSON[generator.integers(0, 65_536, size=(size, rows), dtype=np.uint16)]
        for column, model in enumerate(models):
            drawn[start : start + size, column] = model(weights)
    return drawn


def _interval(value: float, draws: Floats, tail: float) -> Interval:
    """Percentile bounds. A replicate without both classes has no AUC and is left out."""
    defined = draws[np.isfinite(draws)]
    if len(defined) < len(draws) / 2:
        return Interval(value, -math.inf, math.inf)
    low, high = np.quantile(defined, [tail, 1 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high))
