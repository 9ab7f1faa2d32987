"""The gate: champion against challenger on the same rows, whatever the algorithm."""

from driftwheel.gate.decision import evaluate
from driftwheel.gate.verdict import Verdict

__all__ = ["Verdict", "evaluate"]
