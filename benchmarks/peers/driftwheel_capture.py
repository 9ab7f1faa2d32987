"""Driftwheel's own check of captured traffic: ``capture`` is the drift check's way from JSONL to a verdict.

``learn`` makes the baseline and compiles the recipe a training job would. Prints the columns flagged and the
seconds after imports.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.limits import Limits
from driftwheel.drift.live import read_window
from driftwheel.recipe.row import load_recipe


def known_capture(rows: int) -> dict[str, Any]:
    """Make a baseline as a training job does, and the recipe that stands beside it."""
    # What draws the data, trains and parses expressions is not in the drift check's function.
    import drift_data  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from driftwheel.drift.baseline import build_baseline  # noqa: PLC0415
    from driftwheel.recipe.declare import declare  # noqa: PLC0415
    from driftwheel.spec import load_spec  # noqa: PLC0415

    random = np.random.default_rng(5)
    drawn = drift_data.draw(random, rows, changed=False)
    kinds = {name: drift_data.KINDS[name] for name in drift_data.CAPTURED}
    columns = {name: drift_data.values_of(drawn[name]) for name in kinds}
    scores = random.beta(2, 5, rows)
    labels = (random.random(rows) < scores).astype(float)
    baseline = build_baseline(columns, kinds, scores, labels, dict.fromkeys(kinds, 1.0))
    return {"baseline": baseline, "recipe": declare(load_spec(drift_data.model_yaml(), "benchmark"))}


def capture(known: dict[str, Any], path: Path) -> DriftReport:
    baseline, recipe = known["baseline"], known["recipe"]
    names = recipe["inputs"]
    row = load_recipe(
        recipe, {"medians": dict.fromkeys(names, 0.0), "modes": {}, "categories": {n: [] for n in names}}
    )
    with path.open("rb") as stream:
        chunks = iter(lambda: stream.read(1 << 20), b"")
        window = read_window(baseline, row, [(path.name, chunks)], LabelReader())
    return check(baseline, window, Limits())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["learn", "capture"])
    parser.add_argument("known", type=Path)
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    wall, cpu = time.perf_counter(), time.process_time()
    report = None
    if given.what == "learn":
        given.known.write_text(json.dumps(known_capture(100_000)))
    else:
        report = capture(json.loads(given.known.read_text()), given.path)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    flags = [finding.feature for finding in report.findings] if report else []
    print(json.dumps({"flags": flags} | seconds))


if __name__ == "__main__":
    main()
