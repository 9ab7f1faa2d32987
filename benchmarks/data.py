"""A messy table of 20 columns, the same bytes for the same seed: what the preprocessing benchmarks read."""

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

HEADER = (
    *("event_id", "customer", "event_time", "country", "city", "device", "browser", "plan", "age", "income"),
    *("temp", "humidity", "clicks", "visits", "amount", "discount", "score", "rating", "signup", "label"),
)
COUNTRIES = (
    "United States",
    "US",
    "U.S.",
    " usa",
    "United  States",
    "Germany",
    "DE",
    "France",
    "Japan",
    "NA",
)
CITIES = tuple(f"city {n}" for n in range(300))
DEVICES, BROWSERS = (
    ("phone", " phone ", "tablet", "desktop", ""),
    ("firefox", "chrome", "safari", "edge", "NA"),
)
PLANS = ("free", "pro", "team", "enterprise")
REPEATED = 0.01
"""Share of rows that repeat an earlier event, a minute later: the latest counts."""


def rows(count: int, seed: int = 7) -> Iterator[tuple[object, ...]]:
    """Give ``count`` rows of texts and numbers, with gaps, odd spellings, values out of range and repeats."""
    dice = random.Random(seed)
    roll, pick = dice.random, dice.choice
    for n in range(count):
        again = n > 100 and roll() < REPEATED
        event = int(roll() * n) if again else n
        day, minute = 1 + event % 28, (event // 28) % 1440
        second = 59 if again else event % 58
        temp, humidity = dice.gauss(60, 18), 100 * roll()
        visits = int(20 * roll())
        label = roll() < 0.15 + 0.002 * max(temp, 0) + (0.1 if visits < 5 else 0)
        yield (
            f"e{event:09d}",
            f"c{event % 997_331}",
            f"2024-{1 + event % 12:02d}-{day:02d} {minute // 60:02d}:{minute % 60:02d}:{second:02d}",
            pick(COUNTRIES),
            pick(CITIES),
            pick(DEVICES),
            pick(BROWSERS),
            pick(PLANS),
            "" if roll() < 0.05 else int(18 + 60 * roll()),
            "NA" if roll() < 0.08 else f"{dice.gauss(50_000, 15_000):.2f}",
            f"{temp:.1f}" if roll() > 0.03 else "n/a",
            f"{humidity:.2f}" if roll() > 0.02 else "999",
            int(50 * roll()),
            visits,
            f"{dice.expovariate(0.02):.2f}",
            f"{roll() / 2:.3f}" if roll() > 0.1 else "",
            f"{dice.gauss(0, 1):.6f}",
            int(1 + 5 * roll()),
            f"20{10 + event % 14:02d}-{1 + event % 12:02d}-{day:02d}",
            int(label),
        )


def write(path: Path, count: int, seed: int = 7) -> Path:
    """Write the table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        writer.writerows(rows(count, seed))
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=600_000)
    arguments = parser.parse_args()
    print(write(arguments.path, arguments.rows), arguments.path.stat().st_size, "bytes")
