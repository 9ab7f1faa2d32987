"""Driftwheel's own check of a file: ``table`` is ``driftwheel compare`` with a baseline it learned before.

``learn`` keeps what is remembered of the baseline. Prints the columns flagged and the seconds after imports.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from driftwheel.discovery.comparison import Learned, judge, learn
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.summaries import summary_from_json
from driftwheel.spec import Column, Drift, load_spec


def known_table(path: Path, folder: Path) -> dict[str, Any]:
    """Summarise a Parquet baseline with the types its model declares."""
    import drift_data  # noqa: PLC0415  # only what draws the data needs it, and it is not ours to time

    spec = load_spec(drift_data.table_yaml(), "benchmark")
    learned = learn(path, folder, spec)
    columns = {name: column.model_dump(mode="json") for name, column in learned.columns.items()}
    return {"columns": columns, "summary": learned.summary.to_json()}


def table(known: dict[str, Any], path: Path, folder: Path) -> DriftReport:
    columns = {name: Column.model_validate(column) for name, column in known["columns"].items()}
    learned = Learned("baseline", columns, summary_from_json(known["summary"]))
    return judge(learned, path, folder, Drift())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["learn", "table"])
    parser.add_argument("known", type=Path)
    parser.add_argument("path", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    wall, cpu = time.perf_counter(), time.process_time()
    report = None
    if given.what == "learn":
        given.known.write_text(json.dumps(known_table(given.path, given.folder)))
    else:
        report = table(json.loads(given.known.read_text()), given.path, given.folder)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    flags = [finding.feature for finding in report.findings] if report else []
    print(json.dumps({"flags": flags} | seconds))


if __name__ == "__main__":
    main()
