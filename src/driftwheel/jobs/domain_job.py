"""The domain classifier as a training job: can XGBoost tell the window's rows from those the model learned?

Channels: ``train`` (``train.parquet``) and ``window`` (``window.jsonl.gz``: a line with ``kinds`` by column,
``significance`` and ``minimum_rows``, then a line with the values of each row). Leaves ``domain.json``.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.container import Container
from driftwheel.jobs.domain_classifier import MOST_ROWS, tell_apart
from driftwheel.jobs.evidence import write_json
from driftwheel.jobs.failure import report_failure
from driftwheel.jobs.tables import read_raw

WINDOW, ANSWER = "window.jsonl.gz", "domain.json"
_SEED = 11


def main() -> int:
    """Run the job and return the process's exit code; a failure leaves its reason in the failure file."""
    container: Container | None = None
    try:
        container = Container.from_env()
        answer(container)
    except Exception as error:  # noqa: BLE001  # whatever it is, SageMaker must be told why
        report_failure(container, error)
        return 1
    return 0


def answer(container: Container) -> None:
    """Train, judge and write the answer; raises ArtifactInvalid for a file that cannot be read."""
    question, now = read_window(container.file("window", WINDOW))
    kinds: Mapping[str, str] = question["kinds"]
    before = read_raw([container.file("train", "train.parquet")])
    if missing := sorted(set(kinds) - set(before)):
        raise ArtifactInvalid(f"train.parquet has no column raw.{missing[0]}")
    rows = len(next(iter(before.values()), ()))
    chosen = np.sort(np.random.default_rng(_SEED).permutation(rows)[:MOST_ROWS])
    verdict = tell_apart(
        {name: [plain(before[name][place]) for place in chosen] for name in kinds},
        now,
        kinds,
        significance=question["significance"],
        minimum_rows=question["minimum_rows"],
    )
    container.output_data.mkdir(parents=True, exist_ok=True)
    write_json(container.output_data / ANSWER, verdict.to_json())
    print(verdict.sentence, flush=True)


def read_window(path: Path) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """Read the question and the window's rows by column."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            question = json.loads(next(stream))
            rows = [json.loads(line) for line in stream]
    except (OSError, EOFError, zlib.error, ValueError, StopIteration) as error:
        raise ArtifactInvalid(f"{path.name} cannot be read: {type(error).__name__}") from error
    columns = zip(*rows, strict=True) if rows else ([] for _ in question["kinds"])
    return question, dict(zip(question["kinds"], map(list, columns), strict=True))


def plain(value: Any) -> Any:
    """Give NaN, which a Parquet column has where nothing is, as None; numbers as numbers."""
    if value is None or value != value:  # noqa: PLR0124  # only NaN differs from itself
        return None
    return float(value) if isinstance(value, np.floating) else value


if __name__ == "__main__":
    sys.exit(main())
