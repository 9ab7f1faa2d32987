"""How surprising a difference is: closed forms and short series over ``math``, no tables, no scipy."""

import math
from collections.abc import Sequence
from functools import lru_cache

_SMALL = 1e-16
_EXACT_BELOW = 10
"""A count expected below this many is judged by its exact distribution: the normal one is too thin there."""


def normal_two_sided(z: float) -> float:
    """Give P(|Z| >= |z|) of a standard normal.

    >>> round(normal_two_sided(1.959964), 6)
    0.05
    """
    return math.erfc(abs(z) / math.sqrt(2))


def gamma_upper(a: float, x: float) -> float:
    """Give the regularised upper incomplete gamma function Q(a, x).

    Series below a + 1, Lentz's continued fraction above (Numerical Recipes, 3rd ed., 6.2).
    """
    return 1 - _gamma_series(a, x) if x < a + 1 else _gamma_fraction(a, x)


def gamma_lower(a: float, x: float) -> float:
    """Give the regularised lower incomplete gamma function P(a, x), exact where it is small."""
    return _gamma_series(a, x) if x < a + 1 else 1 - _gamma_fraction(a, x)


def chi_square_survival(statistic: float, degrees: int) -> float:
    """Give P(X >= statistic) of a chi-square distribution; 1 without a degree of freedom.

    >>> round(chi_square_survival(3.841459, 1), 6)
    0.05
    """
    if degrees < 1 or statistic <= 0:
        return 1.0
    return gamma_upper(degrees / 2, statistic / 2)


@lru_cache(maxsize=4096)
def chi_square_quantile(tail: float, degrees: int) -> float:
    """Give the statistic that chance exceeds with probability ``tail``, by bisection.

    >>> round(chi_square_quantile(0.05, 1), 4)
    3.8415
    """
    if degrees < 1:
        return 0.0
    low, high = 0.0, float(degrees)
    while chi_square_survival(high, degrees) > tail:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if chi_square_survival(middle, degrees) > tail:
            low = middle
        else:
            high = middle
    return high


def kolmogorov_survival(x: float) -> float:
    """Give P(K >= x) of the Kolmogorov distribution: 2 Σ (-1)^(j-1) exp(-2 j² x²), j = 1, 2, …

    Below x = 0.2 it is 1 to twelve digits, where the series would converge too slowly.

    >>> round(kolmogorov_survival(1.358099), 4)
    0.05
    """
    if x < 0.2:
        return 1.0
    total = 0.0
    for j in range(1, 101):
        term = math.exp(-2 * j * j * x * x)
        total += term if j % 2 else -term
        if term < _SMALL:
            break
    return min(1.0, max(0.0, 2 * total))


def poisson_at_least(count: int, mean: float) -> float:
    """Give P(X >= count) of a Poisson distribution.

    >>> round(poisson_at_least(1, 0.5), 6)  # 1 - exp(-0.5)
    0.393469
    """
    return 1.0 if count <= 0 else gamma_lower(count, mean)


def two_proportions(one: int, of_one: int, other: int, of_other: int) -> float:
    """Give the two-sided p-value that ``one`` of ``of_one`` and ``other`` of ``of_other`` share one rate.

    Pooled z-test; where an expected count is below 10, Fisher's exact test (twice the smaller tail).
    """
    if not of_one or not of_other:
        return 1.0
    hits, rows = one + other, of_one + of_other
    if hits in {0, rows}:
        return 1.0
    smallest = min(hits, rows - hits) * min(of_one, of_other) / rows
    if smallest < _EXACT_BELOW:
        return _fisher(one, of_one, hits, rows)
    rate = hits / rows
    error = math.sqrt(rate * (1 - rate) * (1 / of_one + 1 / of_other))
    return normal_two_sided((one / of_one - other / of_other) / error)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many were looked at (Benjamini and Hochberg 1995, JRSS B 57).

    An adjusted value below q controls the expected share of false findings at q; when nothing has changed,
    that is the chance of any finding at all.

    >>> benjamini_hochberg([0.01, 0.04, 0.5])
    [0.03, 0.06, 0.5]
    """
    adjusted = [1.0] * len(p_values)
    best = 1.0
    for rank, index in reversed(list(enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), 1))):
        best = min(best, p_values[index] * len(p_values) / rank)
        adjusted[index] = best
    return adjusted


def _gamma_series(a: float, x: float) -> float:
    if x <= 0:
        return 0.0
    term = total = 1 / a
    step = a
    while term > total * _SMALL:
        step += 1
        term *= x / step
        total += term
    return total * math.exp(-x + a * math.log(x) - math.lgamma(a))


def _gamma_fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1 - a
    c = 1 / tiny
    d = 1 / b
    h = d
    for i in range(1, 100_000):
        an = -i * (i - a)
        b += 2
        d = 1 / _away_from_zero(an * d + b, tiny)
        c = _away_from_zero(b + an / c, tiny)
        h *= d * c
        if abs(d * c - 1) < _SMALL * 10:
            break
    return math.exp(-x + a * math.log(x) - math.lgamma(a)) * h


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


def _fisher(one: int, of_one: int, hits: int, rows: int) -> float:
    """Twice the smaller tail of the hypergeometric distribution of ``one``, at most 1."""
    of_other = rows - of_one
    at = math.exp(_log_choose(of_one, one) + _log_choose(of_other, hits - one) - _log_choose(rows, hits))
    up = down = at
    term, i = at, one
    while i < min(hits, of_one) and term > up * _SMALL:
        term *= (hits - i) * (of_one - i) / ((i + 1) * (of_other - hits + i + 1))
        up += term
        i += 1
    term, i = at, one
    while i > max(0, hits - of_other) and term > down * _SMALL:
        term *= i * (of_other - hits + i) / ((hits - i + 1) * (of_one - i + 1))
        down += term
        i -= 1
    return min(1.0, 2 * min(up, down))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
