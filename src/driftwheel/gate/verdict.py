"""What the gate answers: a value the state machine chooses by, with the numbers behind it."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from driftwheel.run import told

Decision = Literal["promote", "reject", "needs_approval"]

Rejection = Literal[
    "metric_unfit",
    "too_few_rows",
    "labels_unusable",
    "one_class",
    "predictions_unusable",
    "predictions_constant",
    "below_floor",
    "nothing_learned",
    "gain_not_shown",
    "slice_loss",
]
Approval = Literal[
    "champion_unusable",
    "suspicious_metric",
    "suspected_leakage",
    "distribution_shift",
    "request_change",
    "approval_required",
]
Promotion = Literal["first_model", "gain_shown"]
Code = Literal[Rejection, Approval, Promotion]

REJECTS: frozenset[Code] = frozenset(get_args(Rejection))
APPROVALS: frozenset[Code] = frozenset(get_args(Approval))


class Part(BaseModel):
    """A frozen, JSON-able piece of a verdict; no NaN, no infinity: an open bound is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reason(Part):
    """One thing that decided, in words a person reads and numbers a machine can."""

    code: Code
    sentence: str
    numbers: dict[str, float | int | str] = {}


class Measured(Part):
    """A value and its bounds, each holding alone with the verdict's confidence."""

    value: float
    low: float | None
    high: float | None


class Slice(Part):
    """How both models do on the rows with one value of one column; ``gain`` needs a champion."""

    column: str
    value: str
    rows: int
    challenger: float
    champion: float | None
    gain: Measured | None
    worse: bool


class Verdict(Part):
    """Whether this challenger may take over.

    ``champion`` and ``gain`` are None without a usable champion. ``slices_too_small`` counts the values whose
    rows were too few to say anything. ``holdout_digest`` names the rows both models were compared on.
    """

    decision: Decision
    reasons: list[Reason]
    metric: str
    confidence: float
    rows: int
    positives: int | None
    holdout_digest: str
    challenger: Measured | None = None
    champion: Measured | None = None
    gain: Measured | None = None
    also: dict[str, dict[str, float | None]] = {}
    slices: list[Slice] = []
    slices_too_small: int = 0

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return f"{self.decision}: {told(reason.model_dump() for reason in self.reasons)}"


def decision_of(reasons: list[Reason]) -> Decision:
    """Turn reasons into the decision: one rejection suffices, then one wish for a person's approval."""
    codes = {reason.code for reason in reasons}
    if not codes or codes & REJECTS:
        return "reject"
    return "needs_approval" if codes & APPROVALS else "promote"
