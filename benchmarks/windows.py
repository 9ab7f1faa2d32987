"""How often stationary windows alarm, and how soon shifted ones do: the product's own check on drawn rows.

The population below was written for this benchmark; no threshold was chosen with it.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.window import Window, WindowBuilder
from driftwheel.spec import Drift, Triggers
from driftwheel.triggers.windows import drifted, remember

Columns = dict[str, Any]
Change = Callable[[Columns, np.random.Generator, int], None]

SHIFTED = "speed"
KINDS = {
    **dict.fromkeys((SHIFTED, "load", "price", "wait", "stops", "angle", "gap", "tail"), "number"),
    **dict.fromkeys(("colour", "town", "plan"), "category"),
}
IMPORTANCES = dict.fromkeys(KINDS, 4.0) | {
    SHIFTED: 30.0,
    "load": 15.0,
    "price": 15.0,
    "wait": 8.0,
    "stops": 8.0,
}
TOWNS = [f"town {n}" for n in range(120)]
TOWN_SHARES = 1 / np.arange(2, 122)
BASELINE_ROWS, EVERY = 20_000, 10
"""A new baseline is drawn for every so many windows: alarms would otherwise share one baseline's luck."""

MONTH = 720
LONGEST = 60


def draw(rng: np.random.Generator, rows: int) -> Columns:
    """Draw columns: normal, skewed, correlated, counted, cyclic, gappy, heavy-tailed; three of categories."""
    speed = rng.normal(30, 4, rows)
    return {
        SHIFTED: speed,
        "load": 0.5 * (speed - 30) / 4 + rng.normal(0, 1, rows),
        "price": rng.gamma(2.0, 15.0, rows),
        "wait": rng.exponential(7.0, rows),
        "stops": rng.poisson(3.0, rows).astype(float),
        "angle": rng.uniform(-180, 180, rows),
        "gap": np.where(rng.random(rows) < 0.15, np.nan, rng.normal(0, 1, rows)),
        "tail": rng.standard_t(4, rows),
        "colour": rng.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]),
        "town": rng.choice(TOWNS, rows, p=TOWN_SHARES / TOWN_SHARES.sum()),
        "plan": rng.choice(["free", "paid"], rows, p=[0.97, 0.03]),
    }


def scored(columns: Columns, rng: np.random.Generator) -> tuple[Any, Any]:
    """Give the model's answers, and labels that come true as often as it says."""
    score = 1 / (1 + np.exp(-(0.8 * (columns[SHIFTED] - 30) / 4 + 0.3 * columns["load"] - 1)))
    return score, (rng.random(len(score)) < score).astype(float)


def baseline(rng: np.random.Generator, rows: int = BASELINE_ROWS) -> dict[str, Any]:
    """Draw what a model learned from."""
    columns = draw(rng, rows)
    return build_baseline(columns, KINDS, *scored(columns, rng), IMPORTANCES)


def window(
    reference: dict[str, Any], rng: np.random.Generator, rows: int, change: Change | None, age: int
) -> Window:
    """Draw a window of traffic; ``age`` counts the windows since its world changed, from 1."""
    columns = draw(rng, rows)
    if change is not None:
        change(columns, rng, age)
    builder = WindowBuilder(reference)
    builder.add(columns, *scored(columns, rng))
    return builder.build()


def shift(deviations: float) -> Change:
    """Move one column's mean by so many of its standard deviations."""

    def change(columns: Columns, _rng: np.random.Generator, _age: int) -> None:
        columns[SHIFTED] = columns[SHIFTED] + 4 * deviations

    return change


def creep(columns: Columns, _rng: np.random.Generator, age: int) -> None:
    """Move one column's mean by 1 % of a standard deviation a window."""
    columns[SHIFTED] = columns[SHIFTED] + 4 * 0.01 * age


def new_category(columns: Columns, rng: np.random.Generator, _age: int) -> None:
    """Let a category come up that was never seen, in 3 % of the rows."""
    columns["colour"] = np.where(rng.random(len(columns["colour"])) < 0.03, "violet", columns["colour"])


def more_missing(columns: Columns, rng: np.random.Generator, _age: int) -> None:
    """Let a fifth of one column go missing that never was."""
    columns["price"] = np.where(rng.random(len(columns["price"])) < 0.2, np.nan, columns["price"])


CHANGES: dict[str, Change] = {
    "0.5 sd": shift(0.5),
    "1 sd": shift(1.0),
    "2 sd": shift(2.0),
    "a new category, 3 % of rows": new_category,
    "0 → 20 % missing": more_missing,
    "creeping, 0.01 sd a window": creep,
}


@dataclass
class Calm:
    """What stationary windows were called."""

    windows: int = 0
    alarms: int = 0
    major: int = 0
    months: int = 0
    starts: int = 0
    starts_at_minor: int = 0


def stationary(windows: int, rows: int, spec: Drift, triggers: Triggers, *, seed: int) -> Calm:
    """Check windows of a world that does not change; confirm drift by the policy's k of n, month by month."""
    rng, found, seen = np.random.default_rng(seed), Calm(), list[str]()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(windows):
        if number % EVERY == 0:
            reference = baseline(rng)
        if number % MONTH == 0:
            found.months, seen = found.months + 1, []
        severity = check(reference, window(reference, rng, rows, None, 0), spec.limits).severity
        found.windows += 1
        found.alarms += severity != "none"
        found.major += severity == "major"
        now += timedelta(minutes=spec.every_minutes)
        seen = remember(seen, now.isoformat(), severity, spec.every_minutes)
        k, n = triggers.drifted_windows, triggers.of_windows
        found.starts += severity == "major" and drifted(seen, "major", n) >= k
        found.starts_at_minor += severity in {"minor", "major"} and drifted(seen, "minor", n) >= k
    return found


def delays(
    change: Change, repeats: int, rows: int, spec: Drift, triggers: Triggers, *, seed: int
) -> Iterator[tuple[float, float]]:
    """Count the windows from a change to the first alarm, and to confirmed drift that retrains (major).

    A fault counts as an alarm; broken data never retrains. ``inf`` when it took more than ``LONGEST``.
    """
    rng = np.random.default_rng(seed)
    patience = LONGEST if change is creep else 3  # what does not grow is what it was three windows ago
    for _ in range(repeats):
        reference, seen = baseline(rng), list[str]()
        alarm = start = math.inf
        now = datetime(2026, 1, 1, tzinfo=UTC)
        for age in range(1, LONGEST + 1):
            severity = check(reference, window(reference, rng, rows, change, age), spec.limits).severity
            now += timedelta(minutes=spec.every_minutes)
            seen = remember(seen, now.isoformat(), severity, spec.every_minutes)
            if severity != "none":
                alarm = min(alarm, age)
            if (
                severity == "major"
                and drifted(seen, "major", triggers.of_windows) >= triggers.drifted_windows
            ):
                start = age
                break
            if severity != "major" and age >= alarm + patience:
                break
        yield alarm, start


def clopper_pearson(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of a share (Clopper and Pearson 1934, Biometrika 26).

    >>> [round(bound, 4) for bound in clopper_pearson(0, 10_000)]
    [0.0, 0.0004]
    """
    tail = (1 - confidence) / 2

    def at_most(share: float, most: int) -> float:
        if share <= 0 or share >= 1:
            return float(share <= 0)
        logs = (
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(share) + (of - k) * math.log1p(-share)
            for k in range(most + 1)
        )  # fmt: skip
        return sum(map(math.exp, logs))

    def solve(goal: float, most: int) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(middle, most) > goal else (low, middle)
        return high

    return (0.0 if not hits else solve(1 - tail, hits - 1), 1.0 if hits == of else solve(tail, hits))


def main() -> int:
    """Print both tables; fail when alarms are surely more frequent than declared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    spec, triggers, began = Drift(), Triggers(), time.monotonic()
    calm = stationary(given.windows, given.rows, spec, triggers, seed=given.seed)
    low, high = clopper_pearson(calm.alarms, calm.windows)
    most = clopper_pearson(calm.major, calm.windows)[1]
    print(
        f"{calm.windows:,} stationary windows of {given.rows:,} rows: {calm.alarms} alarms = "
        f"{calm.alarms / calm.windows:.2%} [{low:.2%}, {high:.2%}], declared {spec.significance:.0%}; "
        f"{calm.major} major (at most {most:.2%}). In {calm.windows / MONTH:.1f} months of hourly windows "
        f"{calm.starts} retrainings by major drift, {calm.starts_at_minor} if minor drift retrained\n"
    )
    print("| change | first alarm: median | 95th percentile | retraining: median | 95th percentile | never |")
    print("|---|---|---|---|---|---|")
    for name, change in CHANGES.items():
        found = list(delays(change, given.repeats, given.rows, spec, triggers, seed=given.seed))
        cells = []
        for kind in zip(*found, strict=True):
            ordered = sorted(kind)
            cells += [ordered[len(ordered) // 2], ordered[math.ceil(0.95 * len(ordered)) - 1]]
        never = sum(start == math.inf for _, start in found)
        shown = " | ".join("–" if cell == math.inf else f"{cell:.0f}" for cell in cells)
        print(f"| {name} | {shown} | {never} of {len(found)} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0 if low <= spec.significance else 1


if __name__ == "__main__":
    sys.exit(main())
