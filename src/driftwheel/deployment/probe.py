"""The last proof before a model is champion: real rows are asked, and the answers are compared.

The training job writes ``probe.json``: records as a client sends them, and the scores the model gave them.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-5
"""Scores are 32-bit sums of leaves: another processor may add them in another order (about 1e-7 measured)."""


@dataclass(frozen=True)
class Probe:
    """Records and the scores they must get, in the same order."""

    records: tuple[dict[str, Any], ...]
    scores: tuple[float, ...]

    @classmethod
    def from_json(cls, text: str | bytes) -> "Probe":
        """Read ``probe.json``; raises ValueError when records and scores do not pair up or there are none."""
        document = json.loads(text)
        probe = cls(tuple(document["records"]), tuple(document["scores"]))
        if not probe.records or len(probe.records) != len(probe.scores):
            raise ValueError(f"probe.json holds {len(probe.records)} records and {len(probe.scores)} scores")
        return probe

    def body(self) -> bytes:
        """The request to send as ``application/json``."""
        return json.dumps({"records": self.records}).encode()


@dataclass(frozen=True)
class Answered:
    """When every score came back within the tolerance."""

    rows: int
    largest_difference: float


@dataclass(frozen=True)
class AnsweredWrong:
    """When the answer has another shape or other scores; ``reason`` names the first difference."""

    reason: str


def compare_answer(probe: Probe, answer: bytes, tolerance: float = TOLERANCE) -> Answered | AnsweredWrong:
    """Compare an endpoint's JSON answer with what the model said when it was trained."""
    try:
        document = json.loads(answer)
        scores = [prediction["score"] for prediction in document["predictions"]]
    except (ValueError, KeyError, TypeError):
        return AnsweredWrong('the answer is not JSON of the form {"predictions": [{"score": …}]}')
    if len(scores) != len(probe.scores):
        return AnsweredWrong(f"{len(probe.scores)} records were sent, {len(scores)} scores came back")
    largest = 0.0
    for row, (got, wanted) in enumerate(zip(scores, probe.scores, strict=True)):
        if isinstance(got, bool) or not isinstance(got, int | float) or not math.isfinite(got):
            return AnsweredWrong(f"row {row} got a score that is no number")
        difference = abs(got - wanted) / max(1.0, abs(wanted))
        if difference > tolerance:
            return AnsweredWrong(f"row {row} scored {got}, the trained model says {wanted}")
        largest = max(largest, difference)
    return Answered(len(scores), largest)
