"""How often the domain classifier cries wolf, and what it finds that no single column shows.

``python benchmarks/domain_classifier.py [runs] [rows]``: eight columns (five correlated numbers, two
categories, gaps in one number), 200 pairs of one population and 20 of each planted change unless said.
"""

import sys
from math import comb

import numpy as np

from driftwheel.jobs.domain_classifier import tell_apart

KINDS = dict.fromkeys(("a", "b", "c", "d", "e"), "number") | {"shop": "category", "town": "category"}
Table = dict[str, list[object]]


def rows(seed: int, size: int, change: str = "") -> Table:
    """Draw rows of one population, or of one that was changed."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(size, 5))
    link = 0.0 if change == "correlation alone" else 0.7
    numbers[:, 1] = link * numbers[:, 0] + np.sqrt(1 - link**2) * numbers[:, 1]
    numbers[:, 2] += 0.3 * (change == "mean + 0.3 sd")
    numbers[:, 3] *= 1.3 if change == "sd x 1.3" else 1
    table: Table = {name: list(numbers[:, place]) for place, name in enumerate("abcde")}
    gaps = random.random(size) < (0.15 if change == "gaps 5 % -> 15 %" else 0.05)
    table["e"] = [None if gone else value for gone, value in zip(gaps, table["e"], strict=True)]
    towns = [f"t{n}" for n in random.zipf(1.6, size) % 300]
    shops = random.choice(list("ABCD"), size, p=[0.4, 0.3, 0.2, 0.1])
    if change == "shop follows the town":
        shops = np.array(
            [
                ("ABCD"[len(town) % 4] if random.random() < 0.5 else s)
                for town, s in zip(towns, shops, strict=True)
            ]
        )
    return table | {"shop": shops.tolist(), "town": towns}


def upper(hits: int, runs: int) -> float:
    """Give the upper end of the 95 % interval of a rate (Clopper and Pearson 1934), by bisection."""
    low, high = hits / runs, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        below = sum(comb(runs, k) * rate**k * (1 - rate) ** (runs - k) for k in range(hits + 1))
        low, high = (rate, high) if below > 0.025 else (low, rate)
    return high


def flags(runs: int, size: int, change: str) -> tuple[int, list[float]]:
    """Count the flagged runs and keep the AUCs."""
    found = [
        tell_apart(rows(2 * seed, size), rows(2 * seed + 1, size, change), KINDS) for seed in range(runs)
    ]
    return sum(one.verdict == "drift" for one in found), [one.auc or 0.0 for one in found]


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    sizes = [int(sys.argv[2])] if len(sys.argv) > 2 else [500, 1_000, 5_000]
    print("| Change | Rows of each side | Flagged | AUC, mean (least to most) |\n|---|---|---|---|")
    changes = ["correlation alone", "mean + 0.3 sd", "sd x 1.3", "gaps 5 % -> 15 %", "shop follows the town"]
    for size in sizes:
        for change, times in [("none", runs), *((change, max(runs // 10, 1)) for change in changes)]:
            hits, aucs = flags(times, size, change)
            bound = f", at most {upper(hits, times):.1%}" if change == "none" else ""
            about = f"{np.mean(aucs):.3f} ({min(aucs):.3f} to {max(aucs):.3f})"
            print(f"| {change} | {size:,} | {hits} of {times}{bound} | {about} |", flush=True)


if __name__ == "__main__":
    main()
