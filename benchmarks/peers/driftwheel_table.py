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
from driftwheel.drift.limits import Limits
from driftwheel.drift.summaries import summary_from_json


def known_table(path: Path, folder: Path) -> dict[str, Any]:
    """Summarise a Parquet baseline with the types its model declares."""
    # Only what draws the data and reads a model.yaml needs these, and neither is to be timed.
    import drift_data  # noqa: PLC0415

    from driftwheel.spec import load_spec  # noqa: PLC0415

    spec = load_spec(drift_data.table_yaml(), "benchmark")
    learned = learn(path, folder, spec)
    return {"rules": learned.rules, "units": learned.units, "summary": learned.summary.to_json()}


def table(known: dict[str, Any], path: Path, folder: Path) -> DriftReport:
    learned = Learned("baseline", known["rules"], known["units"], summary_from_json(known["summary"]))
    return judge(learned, path, folder, Limits())


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
