"""Driftwheel's own check, as the product runs it; prints the columns flagged and the seconds after imports.

``learn`` keeps what is remembered of a baseline; ``table`` is ``driftwheel compare`` of a Parquet file with
it, ``capture`` is the drift check's way from captured JSONL to a verdict.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import drift_data
import numpy as np

from driftwheel.discovery.comparison import Learned, judge, learn
from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.page import page_of
from driftwheel.drift.summaries import summary_from_json
from driftwheel.recipe.declare import declare
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import Column, Drift, load_spec


def known_table(path: Path, folder: Path) -> dict[str, Any]:
    """Summarise a Parquet baseline with the types its model declares."""
    spec = load_spec(drift_data.table_yaml(), "benchmark")
    learned = learn(path, folder, spec)
    columns = {name: column.model_dump(mode="json") for name, column in learned.columns.items()}
    return {"columns": columns, "summary": learned.summary.to_json()}


def table(known: dict[str, Any], path: Path, folder: Path) -> DriftReport:
    columns = {name: Column.model_validate(column) for name, column in known["columns"].items()}
    learned = Learned("baseline", columns, summary_from_json(known["summary"]))
    return judge(learned, path, folder, Drift())


def known_capture(rows: int) -> dict[str, Any]:
    """Make a baseline as a training job does."""
    random = np.random.default_rng(5)
    drawn = drift_data.draw(random, rows, changed=False)
    kinds = {name: drift_data.KINDS[name] for name in drift_data.CAPTURED}
    columns = {name: drift_data.values_of(drawn[name]) for name in kinds}
    scores = random.beta(2, 5, rows)
    labels = (random.random(rows) < scores).astype(float)
    return build_baseline(columns, kinds, scores, labels, dict.fromkeys(kinds, 1.0))


def capture(known: dict[str, Any], path: Path) -> DriftReport:
    recipe = declare(load_spec(drift_data.model_yaml(), "benchmark"))
    names = drift_data.CAPTURED
    row = load_recipe(
        recipe, {"medians": dict.fromkeys(names, 0.0), "modes": {}, "categories": {n: [] for n in names}}
    )
    with path.open("rb") as stream:
        chunks = iter(lambda: stream.read(1 << 20), b"")
        window = read_window(known, row, [(path.name, chunks)], LabelReader())
    return check(known, window, Drift())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["learn", "learn_capture", "table", "capture"])
    parser.add_argument("known", type=Path)
    parser.add_argument("path", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    wall, cpu = time.perf_counter(), time.process_time()
    report = None
    if given.what == "learn":
        given.known.write_text(json.dumps(known_table(given.path, given.folder)))
    elif given.what == "learn_capture":
        given.known.write_text(json.dumps(known_capture(100_000)))
    else:
        known = json.loads(given.known.read_text())
        report = (
            table(known, given.path, given.folder) if given.what == "table" else capture(known, given.path)
        )
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    flags = [finding.feature for finding in report.findings] if report else []
    page = len(page_of(report.to_json(), "benchmark", []).encode()) if report else 0
    print(json.dumps({"flags": flags, "page": page} | seconds))


if __name__ == "__main__":
    main()
