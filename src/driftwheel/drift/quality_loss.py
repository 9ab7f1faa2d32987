"""Is the model worse on live rows than it was on the rows it was validated with?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftwheel.drift.finding import Finding, Magnitude
from driftwheel.drift.quality import Quality
from driftwheel.drift.significance import normal_two_sided

QUALITY = "(quality)"
"""A name no column can have."""

SLIGHT = 0.02
STRONG = 0.05
"""Losses of AUC or F1; of an error metric, as a share of its earlier value."""

LEAST_LABELLED = 200
"""Fewer labelled rows say nothing sure about a rank metric."""


@dataclass(frozen=True)
class QualityLoss:
    """A measured loss: its size decides what it means, the p-value (one-sided) whether it is sure."""

    before: float
    now: Quality
    loss: float
    p_value: float
    magnitude: Magnitude

    def finding(self) -> Finding:
        """Put the loss into words."""
        now = self.now
        of = f"the rows from {now.since} to {now.until}" if now.since else "the window"
        sentence = (
            f"Live {now.metric} is {now.value:.3f} ({now.low:.3f} to {now.high:.3f}) on {now.labelled:,} "
            f"labelled rows, {now.coverage:.0%} of {of}; {self.before:.3f} when the model was made."
        )
        numbers = now.to_json() | {"before": self.before, "loss": self.loss, "p_value": self.p_value}
        return Finding(QUALITY, "drift", "quality", self.magnitude, 0.0, sentence, numbers)


def quality_loss(baseline: Mapping[str, Any], live: Quality | None) -> QualityLoss | None:
    """Measure the loss of live quality against the baseline's; None where either is not known well enough.

    z = loss / sqrt(error² + error²) of the two independent estimates. The labels that came back may not be
    those of a random part of the rows: the finding says how many there are.
    """
    if live is None or live.value is None or live.error is None or live.labelled < LEAST_LABELLED:
        return None
    before, error = baseline["value"], baseline["error"]
    if before is None or error is None or baseline["metric"] != live.metric:
        return None
    higher_is_better = live.metric in {"auc", "f1"}
    loss = before - live.value if higher_is_better else live.value - before
    size = loss if higher_is_better or not before else loss / before
    spread = (error**2 + live.error**2) ** 0.5
    p_value = 0.5 * normal_two_sided(loss / spread) if spread and loss > 0 else 1.0
    magnitude: Magnitude = "strong" if size >= STRONG else "slight" if size >= SLIGHT else "none"
    return QualityLoss(before, live, loss, p_value, magnitude)
