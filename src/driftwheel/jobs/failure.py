"""How a job tells SageMaker, and whoever reads the log, why it failed."""

import sys
import traceback
from pathlib import Path

import xgboost as xgb

from driftwheel.errors import DriftwheelError
from driftwheel.jobs.container import LONGEST_FAILURE, Container


def report_failure(container: Container | None, error: BaseException) -> None:
    """Write the failure file and the log; only our own sentences are repeated: others may quote data."""
    if isinstance(error, DriftwheelError):
        reason = f"{type(error).__name__}: {error}"
    elif isinstance(error, MemoryError):
        reason = "MemoryError: the data does not fit into this instance; choose a larger one"
    elif isinstance(error, xgb.core.XGBoostError):
        reason = f"XGBoostError: {str(error).strip().splitlines()[0]}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"
    frames = "".join(traceback.format_tb(error.__traceback__))
    print(f"{frames}the job failed: {reason}", file=sys.stderr, flush=True)
    if container is not None:
        container.output.mkdir(parents=True, exist_ok=True)
        (container.output / "failure").write_text(reason[:LONGEST_FAILURE])
