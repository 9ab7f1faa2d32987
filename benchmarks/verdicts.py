"""How often does a drift check speak up, with and without a reason? Prints tables for benchmarks/README.md.

The world here shares no family of distributions with the tests that thresholds were chosen on (normal,
lognormal, uniform, t and exponential columns there), and its seeds are its own.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.feature import CORRELATIONS, LABEL
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.limits import DriftTestName, Limits
from driftwheel.drift.summaries import Summary, merge, summarise
from driftwheel.drift.window import Window, WindowBuilder

Table = dict[str, Any]
Random = np.random.Generator

RARE, USUAL, LABELS, MORE_LABELS = 0.01, 0.03, 0.229, 0.285
BLOCKS = 40
ZIPF = 1 / np.arange(1, 501)

PLANTED = {
    "mean + 0.2 sd": "weibull",
    "variance x 1.3, peaked": "laplace",
    "variance x 1.3, one-sided": "rayleigh",
    "5 % of rows in another unit": "gamma",
    "missing in a number, 10 -> 20 %": "gappy",
    "missing in a category, 0 -> 2 %": "geometric",
    "rare category, 1 -> 3 %": "few",
    "unseen category, 0.5 %": "dozen",
    "correlation only, .6 -> -.6": CORRELATIONS,
    "label rate, 22.9 -> 28.5 %": LABEL,
}
"""Change → what must be found."""

IMMATERIAL = "logistic"
"""Its mean moves by 0.01 standard deviations, in the runs with changes."""

NUMBERS: dict[str, Callable[[Random, int], Any]] = {
    "weibull": lambda r, n: r.weibull(1.7, n),
    "laplace": lambda r, n: r.laplace(0, 1, n),
    "gamma": lambda r, n: r.gamma(9, 3, n),
    "gappy": lambda r, n: _missing(r, r.gumbel(5, 2, n), 0.1),
    "logistic": lambda r, n: r.logistic(20, 4, n),
    "beta": lambda r, n: r.beta(2, 5, n),
    "pareto": lambda r, n: r.pareto(2.5, n),
    "cauchy": lambda r, n: r.standard_cauchy(n),
    "poisson": lambda r, n: r.poisson(4, n).astype(float),
    "counts": lambda r, n: r.negative_binomial(2, 0.1, n).astype(float),
    "angle": lambda r, n: np.degrees(r.vonmises(1, 2, n)).round(),
    "two_peaks": lambda r, n: np.where(r.random(n) < 0.3, r.gumbel(-4, 1, n), r.logistic(6, 1, n)),
    "mostly_zero": lambda r, n: np.where(r.random(n) < 0.93, 0.0, r.gamma(2, 4, n)),
    "triangle": lambda r, n: r.triangular(0, 2, 10, n),
    "wald": lambda r, n: r.wald(3, 2, n),
    "rayleigh": lambda r, n: r.rayleigh(2, n),
    "power": lambda r, n: r.power(3, n),
    "hour": lambda r, n: r.binomial(23, 0.6, n).astype(float),
}
CATEGORIES: dict[str, Any] = {
    "few": [0.45, 0.3, 0.15, 0.09, RARE],
    "dozen": np.arange(12, 0, -1),
    "geometric": 0.6 ** np.arange(12),
    "zipf_500": ZIPF,
    "zipf_steep": ZIPF[:300] ** 2,
    "even_60": np.ones(60),
    "two": [0.7, 0.3],
    "lopsided": [0.995, 0.005],
    "triple": [0.2, 0.3, 0.5],
}
NAMES = {
    name: np.array([f"{name}-{n}" for n in range(len(shares))], dtype=object)
    for name, shares in CATEGORIES.items()
}
CHANCES = {name: np.asarray(shares) / np.sum(shares) for name, shares in CATEGORIES.items()}
KINDS = dict.fromkeys([*NUMBERS, "company_a", "company_b"], "number") | dict.fromkeys(CATEGORIES, "category")


def draw(random: Random, rows: int, *, together: float = 0.6) -> Table:
    """Draw a table; two columns have a rank correlation of about ``together``, whatever else they are."""
    table: Table = {name: make(random, rows) for name, make in NUMBERS.items()}
    for name, chances in CHANCES.items():
        table[name] = NAMES[name][np.searchsorted(np.cumsum(chances)[:-1], random.random(rows))]
    hidden, other = random.normal(0, 1, (2, rows))
    beside = together * hidden + math.sqrt(1 - together**2) * other
    table["company_a"] = np.sort(random.gamma(2, 1, rows))[np.argsort(np.argsort(hidden))]
    table["company_b"] = np.sort(random.weibull(3, rows))[np.argsort(np.argsort(beside))]
    return table


def changed(random: Random, rows: int) -> Table:
    """Draw a table in which everything of ``PLANTED`` has happened, and the immaterial shift."""
    table = draw(random, rows, together=-0.6)
    deviation = math.sqrt(math.gamma(1 + 2 / 1.7) - math.gamma(1 + 1 / 1.7) ** 2)
    table["weibull"] = table["weibull"] + 0.2 * deviation
    table["laplace"] = table["laplace"] * math.sqrt(1.3)
    middle = math.sqrt(2 * math.pi)
    table["rayleigh"] = (table["rayleigh"] - middle) * math.sqrt(1.3) + middle
    table["gamma"] = np.where(random.random(rows) < 0.05, table["gamma"] * 1.8 + 32, table["gamma"])
    table["gappy"] = _missing(random, table["gappy"], 1 / 9)
    table["geometric"] = np.where(random.random(rows) < 0.02, np.array(None), table["geometric"])
    swapped = random.random(rows) < (USUAL - RARE) / (1 - RARE)
    table["few"] = np.where(swapped, NAMES["few"][-1], table["few"])
    table["dozen"] = np.where(random.random(rows) < 0.005, "never seen", table["dozen"])
    table[IMMATERIAL] = table[IMMATERIAL] + 0.01 * 4 * math.pi / math.sqrt(3)
    return table


def judge(baseline: Table, table: Table, random: Random, rate: float, limits: Limits) -> DriftReport:
    """Check one window: its columns, scores and labels of all its rows."""
    rows = len(table["few"])
    window = WindowBuilder(baseline)
    window.add(table, random.beta(2, 5, rows), (random.random(rows) < rate).astype(float))
    return check(baseline, window.build(), limits)


def learn(random: Random, rows: int) -> Table:
    """Make a baseline; scores and labels come from a fifth as many rows."""
    few = max(4_000, rows // 5)
    labels = (random.random(few) < LABELS).astype(float)
    return build_baseline(draw(random, rows), KINDS, random.beta(2, 5, few), labels, {})


def fresh_runs(rows: int, runs: int, seed: int, limits: Limits) -> Iterator[DriftReport]:
    """Check windows in which nothing has changed, each of new rows, against a baseline of its own."""
    for run in range(runs):
        random = np.random.default_rng([seed, rows, run])
        baseline = learn(random, max(20_000, rows))
        yield judge(baseline, draw(random, rows), random, LABELS, limits)


def resampled_runs(rows: int, runs: int, seed: int, limits: Limits) -> Iterator[DriftReport]:
    """Check quarters of a pool of new rows against the other three, each a random choice of 40 blocks.

    Blocks are summarised once and added up exactly; hundreds of times millions of new rows would take hours.
    Up to 100,000 rows there is a new pool for every 30 windows.
    """
    frame = build_baseline({}, {}, [0.2, 0.8], [0.0, 1.0], {})
    weights = dict.fromkeys(KINDS, 1 / len(KINDS))
    blocks: list[Summary] = []
    for run in range(runs):
        random = np.random.default_rng([seed, rows, run])
        if not blocks or (run % 30 == 0 and rows <= 100_000):
            blocks = pool(random, rows)
        order = random.permutation(len(blocks))
        now, before = (
            add_up([blocks[n] for n in part]) for part in (order[: BLOCKS // 4], order[BLOCKS // 4 :])
        )
        yield check(frame | before.to_json() | {"weights": weights}, Window(now), limits)


def pool(random: Random, rows: int) -> list[Summary]:
    """Draw four times as many rows in 40 blocks; ranks and centres are those of a first hundredth."""
    first = summarise(draw(random, max(1_000, rows // 25)), KINDS)
    blocks = []
    for block in range(BLOCKS):
        blocks.append(summarise(draw(random, rows * 4 // BLOCKS), KINDS, first))
        if rows > 100_000:
            progress(f"summarising a pool of {rows * 4:,} rows", block + 1, BLOCKS)
    return blocks


def add_up(parts: list[Summary]) -> Summary:
    """Merge in pairs: as few large merges as possible."""
    while len(parts) > 1:
        parts = [
            merge(*parts[n : n + 2]) if n + 1 < len(parts) else parts[n] for n in range(0, len(parts), 2)
        ]
    return parts[0]


def silence(rows: int, runs: int, seed: int, limits: Limits, *, fresh: bool) -> None:
    """Print how many windows without drift were flagged, and by what."""
    several = fresh_runs if fresh else resampled_runs
    flagged, causes = 0, Counter[str]()
    for run, report in enumerate(several(rows, runs, seed, limits), 1):
        flagged += bool(report.findings)
        causes.update(f"{finding.feature} {finding.code}" for finding in report.findings)
        progress(f"no drift, {rows:,} rows, {flagged} flagged", run, runs)
    low, high = wilson(flagged, runs)
    what = ", ".join(f"{name} {times}" for name, times in causes.most_common()) or "-"
    print(f"| {rows:,} | {flagged} of {runs} | {flagged / runs:.2%} ({low:.2%} to {high:.2%}) | {what} |")


def power(rows: int, runs: int, seed: int, limits: Limits) -> None:
    """Print how often each planted change was found, and what else was said."""
    found, wrong = Counter[str](), Counter[str]()
    for run in range(runs):
        random = np.random.default_rng([seed, rows, run, 1])
        if run % 10 == 0:
            baseline = learn(random, max(20_000, rows))
        report = judge(baseline, changed(random, rows), random, MORE_LABELS, limits)
        features = {finding.feature for finding in report.findings}
        found.update(features & set(PLANTED.values()))
        wrong.update(features - set(PLANTED.values()))
        progress(f"planted changes, {rows:,} rows", run + 1, runs)
    for name, feature in PLANTED.items():
        low, high = wilson(found[feature], runs)
        print(
            f"| {rows:,} | {name} | {found[feature]} of {runs} | "
            f"{found[feature] / runs:.3f} ({low:.3f} to {high:.3f}) |"
        )
    others_watched = len(KINDS) - len(set(PLANTED.values()) & set(KINDS)) - 2
    others = ", ".join(f"{name} {times}" for name, times in wrong.most_common()) or "none"
    print(
        f"| {rows:,} | other columns flagged (of {others_watched}, the immaterial shift's too) | {others} | |"
    )


def immaterial(rows: int, runs: int, seed: int, limits: Limits) -> None:
    """Print how often a shift of 0.01 standard deviations was flagged in windows of so many rows."""
    made = {"logistic": math.pi / math.sqrt(3) * 4, "laplace": math.sqrt(2), "gamma": 9.0, "rayleigh": 0.0}
    made["rayleigh"] = 2 * math.sqrt(2 - math.pi / 2)
    kinds = dict.fromkeys(made, "number")
    flagged = sure = 0
    for run in range(runs):
        random = np.random.default_rng([seed, run, 2])
        known = {name: NUMBERS[name](random, 1_000_000) for name in made}
        baseline = build_baseline(known, kinds, [0.5, 0.5], [0.0, 1.0], {})
        window = WindowBuilder(baseline)
        for _ in range(rows // 1_000_000):
            part = {name: NUMBERS[name](random, 1_000_000) + 0.01 * sd for name, sd in made.items()}
            window.add(part, np.full(1_000_000, 0.5))
        report = check(baseline, window.build(), limits)
        columns = [feature for feature in report.features if feature.name in made]
        flagged += sum(feature.status == "drifted" for feature in columns)
        sure += sum(min(test.adjusted for test in feature.tests) < limits.significance for feature in columns)
        progress(f"immaterial shift, {rows:,} rows, {flagged} flagged", run + 1, runs)
    of = runs * len(made)
    low, high = wilson(flagged, of)
    share = f"{flagged / of:.2%} ({low:.2%} to {high:.2%})"
    print(f"| {rows:,} | {flagged} of {of} columns | {share} | {sure} of {of} |")


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927)."""
    z, p = 1.959964, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def progress(what: str, done: int, of: int) -> None:
    """Say on standard error how far it is; every run on a terminal, every tenth elsewhere."""
    if sys.stderr.isatty() or done % max(1, of // 10) == 0:
        end = "\n" if done == of or not sys.stderr.isatty() else "\r"
        print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {of}", end=end, file=sys.stderr, flush=True)


def _missing(random: Random, values: Any, share: float) -> Any:
    return np.where(random.random(len(values)) < share, np.nan, values)


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="windows without drift for each size")
    parser.add_argument("--power-runs", type=int, default=200, help="windows with planted changes")
    parser.add_argument("--immaterial-runs", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--power-rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--immaterial-rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--fresh", action="store_true", help="new rows and baseline for each (slow)")
    parser.add_argument("--every-test", action="store_true", help="all tests there are, not the default ones")
    given = parser.parse_args()
    limits = Limits(tests=get_args(DriftTestName)) if given.every_test else Limits()
    if given.rows:
        print("| rows | windows flagged | share (95 % interval) | by |\n|---|---|---|---|")
        for rows in given.rows:
            silence(rows, given.runs, given.seed, limits, fresh=given.fresh)
    if given.power_rows:
        print("\n| rows | planted change | found | power (95 % interval) |\n|---|---|---|---|")
        for rows in given.power_rows:
            power(rows, given.power_runs, given.seed, limits)
    if given.immaterial_runs:
        print("\n| rows | flagged | share (95 % interval) | statistically sure |\n|---|---|---|---|")
        immaterial(given.immaterial_rows, given.immaterial_runs, given.seed, limits)


if __name__ == "__main__":
    main()
