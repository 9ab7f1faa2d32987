"""Compute the flights on DuckDB, on Spark and row by row: three engines, one digest.

    python examples/flights/three_engines.py
    python examples/flights/three_engines.py --every 10

Flights and weather of 2013 joined, airports in several spellings, temperature and humidity combined, target
means, split by time: as model.yaml declares it. DuckDB is what the preprocessing function runs, Spark what
the processing job runs; row by row is the model server's code, given the dropped rows one after the other
and what DuckDB fitted. The command fails when a digest differs. Spark needs Java.
"""

import argparse
import csv
import gzip
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))

import months

from driftwheel.dataset import DataFile, Inputs, Prepared, prepare
from driftwheel.jobs import preprocess_spark
from driftwheel.recipe.row import CLEANERS, compile_expression, load_recipe
from driftwheel.spec import load_spec
from driftwheel.steps.preprocessing_launch import plan_document

SPEC = load_spec((Path(__file__).parent / "model.yaml").read_bytes())
SPELLINGS = {"JFK": " new york kennedy", "EWR": "NEWARK", "LGA": "La\u00a0Guardia"}
SPLITS = ("train", "validation", "holdout")
ROLES = {"source": "data/flights/2013.csv", "enrich-0": "data/flights-weather/2013.csv"}

Line = list[Any]
Content = dict[str, list[Line]]
"""Rows of each split, by key: key, label, then features (in the holdout the cleaned record)."""


@dataclass(frozen=True)
class Result:
    """What one engine gave, and how long it took."""

    engine: str
    content: Content
    seconds: float

    @property
    def digest(self) -> str:
        """Name every row and value; Python writes a double so that it reads back the same."""
        return hashlib.sha256(json.dumps(self.content, allow_nan=False).encode()).hexdigest()[:16]

    @property
    def row(self) -> str:
        """A row of the table."""
        counts = " | ".join(f"{len(self.content[split]):,}" for split in SPLITS)
        return f"| {self.engine} | {counts} | {self.digest} | {self.seconds:.1f} |"


HEAD = "| engine | train | validation | holdout | digest | seconds |\n|---|---|---|---|---|---|"


def write_sources(folder: Path, every: int = 1) -> dict[str, Path]:
    """Write every n-th flight and all weather as they would be dropped, by role.

    Every seventh airport is spelled otherwise, and the first 50 flights are there twice.
    """
    flights = list(months.flights().of(range(1, 13)))[::every]
    for row in flights[::7]:
        row["origin"] = SPELLINGS[row["origin"]]
    rows = {"source": flights + flights[:50], "enrich-0": list(months.weather().of(range(1, 13)))}
    paths = {}
    folder.mkdir()
    for role, found in rows.items():
        paths[role] = folder / f"{role}.csv"
        with paths[role].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, found[0].keys())
            writer.writeheader()
            writer.writerows(found)
    return paths


def on_duckdb(sources: dict[str, Path], folder: Path) -> Prepared:
    """Prepare as the function does; raises ValueError when the data set is refused."""
    files = []
    for role, path in sources.items():
        copy = shutil.copyfile(path, folder / role)  # what was read is removed
        files.append(DataFile(role, ROLES[role], copy))
    found = prepare(SPEC, Inputs(files=files), folder, memory_mb=1_000)
    if found.outcome != "ready":
        raise ValueError(f"the data set was refused: {found.problem or found.refused}")
    return found


def on_spark(session: Any, sources: dict[str, Path], recipe: Path, base: Path) -> Prepared:
    """Prepare as the processing job does, below ``base``, which holds what SageMaker would put there."""
    files = [
        {"role": role, "name": path.name, "key": ROLES[role], "version": ""} for role, path in sources.items()
    ]
    lay_out(base, sources, recipe, plan_document(SPEC, files, {}))
    return preprocess_spark.run(session, base)


def lay_out(base: Path, sources: dict[str, Path], recipe: Path, document: dict[str, Any]) -> None:
    """Lay out a job's inputs: files by role, the plan and the recipe."""
    (base / "input/plan").mkdir(parents=True)
    (base / "input/plan/plan.json").write_text(json.dumps(document))
    shutil.copy(recipe, base / "input/plan/recipe.json")
    for role, path in sources.items():
        (base / "input" / role).mkdir()
        shutil.copy(path, base / "input" / role / path.name)


@contextmanager
def spark(master: str = "local[2]") -> Iterator[Any]:
    """Start Spark on loopback alone; raises FileNotFoundError without Java."""
    if shutil.which("java") is None:
        raise FileNotFoundError("Spark needs Java: apt-get install openjdk-17-jre-headless (or any Java 17)")
    from pyspark.sql import SparkSession  # noqa: PLC0415  # the other engines need no Spark

    os.environ["PYSPARK_PYTHON"] = sys.executable  # Spark's Python workers run what the driver runs
    session = (
        SparkSession.builder.master(master)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "3g")  # its parser keeps what it learned of long expressions
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.executor.memory", "500m")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()


def published(folder: Path, fitted: tuple[str, ...]) -> Content:
    """Read what a batch engine published.

    Of training rows ``fitted`` is left out: their target means are out of fold, which no server computes.
    """
    found: Content = {}
    for split in SPLITS[:2]:
        table = pq.read_table(folder / f"{split}.parquet")
        left_out = {f"x.{name}" for name in fitted} if split == "train" else set()
        names = [n for n in table.column_names if n.startswith("x.") and n not in left_out]
        lines = table.select(["__key", "__label", *names]).to_pydict().values()
        found[split] = sorted(map(list, zip(*lines, strict=True)))
    with gzip.open(folder / "holdout.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = map(json.loads, stream)
        found["holdout"] = [[row["key"], row["label"], row["record"]] for row in rows]
    return found


def row_by_row(sources: dict[str, Path], batch: Path) -> Content:
    """Compute every dropped flight as the server would, with recipe and fitted values of ``batch``."""
    recipe, params, profile = (
        json.loads((batch / f"{name}.json").read_bytes()) for name in ("recipe", "params", "profile")
    )
    server = load_recipe(recipe, params)
    cleaners = {column["name"]: CLEANERS[column["type"]](column) for column in recipe["columns"]}
    late = compile_expression(recipe["target"]["expression"])
    judged = [*recipe["inputs"], *(name for name in SPEC.evaluation.slices if name not in recipe["inputs"])]
    taught = [n for n, name in enumerate(server.feature_names) if name not in encoded()]
    sky = {
        tuple(cleaners[name](row[name]) for name in SPEC.enrich[0].on): row
        for row in read(sources["enrich-0"])
    }
    found: dict[str, tuple[str, Line]] = {}
    for flight in read(sources["source"]):
        hour = sky.get(tuple(cleaners[name](flight[name]) for name in SPEC.enrich[0].on), {})
        record = hour | flight
        clean = {name: cleaner(record.get(name)) for name, cleaner in cleaners.items()}
        label = late(clean)
        if label is None:
            continue
        key = key_of([str(clean[name]) for name in SPEC.source.key])
        features = server.features(record)
        for split, (first, last) in profile["time"].items():
            if first <= clean["time_hour"] <= last:
                values: dict[str, Line] = {"train": [features[n] for n in taught], "validation": features}
                line = values.get(split) or [{name: clean[name] for name in sorted(judged)}]
                found[key] = split, [key, float(label), *line]
    content: Content = {split: [] for split in SPLITS}
    for split, line in found.values():
        content[split].append(line)
    return {split: sorted(lines, key=lambda line: line[0]) for split, lines in content.items()}


def read(path: Path) -> Iterator[dict[str, str | None]]:
    """Give the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {name: text or None for name, text in row.items()}


def key_of(texts: list[str]) -> str:
    """Name a row as every engine does: its key's texts, each with its length before it."""
    named = "".join(f"{len(text)}:{text}" for text in texts).encode()
    return hashlib.md5(named, usedforsecurity=False).hexdigest()


def encoded() -> tuple[str, ...]:
    """Name the features that training rows get out of fold."""
    return tuple(name for name, encoding in SPEC.encode.items() if encoding.encoding == "target_mean")


def compare(folder: Path, every: int, master: str = "local[2]") -> list[Result]:
    """Run the three engines on the same files; raises ValueError when Spark's data set is not DuckDB's."""
    sources, found = write_sources(folder / "dropped", every), []
    duck, base = folder / "duckdb", folder / "spark"
    duck.mkdir()
    start = time.monotonic()
    prepared = on_duckdb(sources, duck)
    found.append(Result("DuckDB", published(duck, encoded()), time.monotonic() - start))
    start = time.monotonic()
    with spark(master) as session:
        other = on_spark(session, sources, duck / "recipe.json", base)
    found.append(Result("Spark", published(base / "output", encoded()), time.monotonic() - start))
    if other != prepared:  # digests of data set, recipe and holdout, counts, findings
        raise ValueError(f"Spark prepared\n{other}\nand DuckDB\n{prepared}")
    start = time.monotonic()
    found.append(Result("row by row", row_by_row(sources, duck), time.monotonic() - start))
    return found


def main() -> None:
    """Run, print the table, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th flight only")
    with tempfile.TemporaryDirectory() as name:
        found = compare(Path(name), parser.parse_args().every)
    print("\n".join([HEAD, *(result.row for result in found)]))
    if len({result.digest for result in found}) > 1:
        sys.exit("the digests differ")


if __name__ == "__main__":
    main()
