"""`make sam-local` takes no failure for an answer, however alike two failures are."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "sam"))
import compare  # a script, not a package

LOST, BROKEN = {"errorType": "LeaseLost"}, {"errorType": "Runtime.ImportModuleError"}


@pytest.mark.parametrize(
    ("step", "ours", "theirs", "verdict"),
    [
        ("trigger", {"batchItemFailures": []}, {"batchItemFailures": []}, "alike"),
        ("trigger", {"batchItemFailures": []}, {"batchItemFailures": [{}]}, "DIFFERS"),
        ("trigger", BROKEN, BROKEN, "FAILS"),
        ("trigger", LOST, LOST, "FAILS"),
        ("deployment", LOST, LOST, "alike"),
        ("deployment", BROKEN, BROKEN, "FAILS"),
        ("deployment", {"endpoint_config": "c"}, {"endpoint_config": "c"}, "FAILS"),
        ("drift_check", None, None, "alike"),
    ],
)
def test_two_answers_count_when_they_are_alike_and_no_failure(
    step: str, ours: Any, theirs: Any, verdict: str
) -> None:
    assert compare.verdict_on(step, ours, theirs) == verdict
    assert set(compare.REFUSES) <= set(compare.LOGICAL)
