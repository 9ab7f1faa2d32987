"""How a job tells SageMaker, and whoever reads the log, why it failed."""

import re
import sys
import traceback
from pathlib import Path

import xgboost as xgb

from driftwheel.errors import DriftwheelError
from driftwheel.jobs.container import LONGEST_FAILURE, Container

PLACE = re.compile(r"^\[[\d:.]+\] \S+:\d+: ")
"""When and where in its own source XGBoost found the fault."""

VALUE = re.compile(
    r"""(?<=value=)'.*|(?<!\w)(?:'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$))|(?<![\w.])[-+]?\.?\d[\w.+-]+"""
)
"""What may stand for a value: whatever is quoted, closed or cut off, and numbers of more than one digit.

A parameter's value ends its sentence, and may hold quotes itself.
"""

OWN_WORDS = frozenset({"`inf`", "`nan`", "`missing`"})
"""What XGBoost itself quotes when it says what is wrong with numbers."""


def report_failure(container: Container | None, error: BaseException) -> None:
    """Write the failure file and the log; only our own sentences are repeated: others may quote data."""
    if isinstance(error, DriftwheelError):
        reason = f"{type(error).__name__}: {error}"
    elif isinstance(error, MemoryError):
        reason = "MemoryError: the data does not fit into this instance; choose a larger one"
    elif isinstance(error, xgb.core.XGBoostError):
        reason = f"XGBoostError: {without_values(str(error))}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"
    frames = "".join(traceback.format_tb(error.__traceback__))
    print(f"{frames}the job failed: {reason}", file=sys.stderr, flush=True)
    if container is not None:
        container.output.mkdir(parents=True, exist_ok=True)
        (container.output / "failure").write_text(reason[:LONGEST_FAILURE])


def without_values(sentence: str) -> str:
    """Take the first line of XGBoost's words, and out of it what may be a value; its later lines quote.

    >>> without_values("[10:04:55] /workspace/src/objective.cc:27: Unknown objective: `a`, not in (0,1)")
    'Unknown objective: …, not in (0,1)'
    >>> without_values("Invalid Parameter format for max_depth expect int but value='deep'")
    'Invalid Parameter format for max_depth expect int but value=…'
    >>> without_values("Invalid Parameter format for gamma expect float but value='O'Brien 4111'")
    'Invalid Parameter format for gamma expect float but value=…'
    >>> without_values("Check failed: a == b (4111 vs. 5) : Input data contains `inf`")
    'Check failed: a == b (… vs. 5) : Input data contains `inf`'
    """
    first = next(iter(sentence.strip().splitlines()), "")
    return VALUE.sub(lambda found: found[0] if found[0] in OWN_WORDS else "…", PLACE.sub("", first))
