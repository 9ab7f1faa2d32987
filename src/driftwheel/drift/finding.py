"""What a drift check says: every number it used, and a sentence for each thing it found."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["insufficient_data", "none", "minor", "major", "fault"]
Status = Literal["stable", "drifted", "fault", "insufficient_data"]
Magnitude = Literal["none", "slight", "strong"]


@dataclass(frozen=True)
class Moved:
    """A bin or category whose share changed."""

    name: str
    before: float
    now: float


@dataclass(frozen=True)
class Tested:
    """One test of one column.

    ``noise`` is the effect chance alone would reach once in 1/significance windows if this were corrected for
    every other test made; ``adjusted`` is the Benjamini-Hochberg p-value over all of them.
    """

    kind: str
    effect: float
    p_value: float
    adjusted: float
    slight: float
    strong: float
    noise: float
    magnitude: Magnitude


@dataclass(frozen=True)
class Finding:
    """One thing a person should know.

    ``kind`` tells the world changing (``drift``) from data that is broken (``fault``): only the first is
    answered by training.
    """

    feature: str
    kind: Literal["drift", "fault"]
    code: str
    magnitude: Magnitude
    weight: float
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)


@dataclass(frozen=True)
class Shape:
    """How a column's values lie, as shares of the rows with a value.

    Of numbers by bins, ``edges`` being one more than bins; of categories by the ``names`` of the commonest.
    """

    before: list[float]
    now: list[float]
    edges: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FeatureReport:
    """A column in the window beside the baseline."""

    name: str
    kind: str
    status: Status
    weight: float
    tests: list[Tested] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    shape: Shape | None = None


@dataclass(frozen=True)
class DriftReport:
    """The verdict over one window.

    ``drifted_weight`` is the share of the model's importance that rests on strongly drifted columns.
    ``quality`` is what labels showed, ``estimate`` what they will probably show (``drift/estimate.py``).
    ``course`` and ``slices`` are the same by the hour or day and by slice (``drift/course.py``).
    ``reference`` says what the window was compared with, and why not with what was declared.
    """

    severity: Severity
    blocks_retraining: bool
    sentence: str
    rows: int
    baseline_rows: int
    minimum_rows: int
    significance: float
    tests_made: int
    drifted_weight: float
    major_share: float
    findings: list[Finding]
    features: list[FeatureReport]
    quality: dict[str, Any] | None = None
    estimate: dict[str, Any] | None = None
    course: dict[str, Any] | None = None
    slices: dict[str, Any] | None = None
    window: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return asdict(self)

    def label_coverage(self) -> float | None:
        """Give the share of the champion's rows whose label has come, those before the window included.

        None without rows. Labels that come a day late are not missing, however short the window.
        """
        periods = (self.course or {"periods": []})["periods"]
        rows = sum(period["rows"] for period in periods)
        if rows:
            return float(sum(period["coverage"] * period["rows"] for period in periods) / rows)
        return int(self.window.get("labelled_rows", 0)) / self.rows if self.rows else None

    def headline(self, findings: int = 5) -> dict[str, Any]:
        """Give the few numbers that fit an event: EventBridge takes 256 KB, people a handful of lines."""
        return {
            "severity": self.severity,
            "blocks_retraining": self.blocks_retraining,
            "sentence": self.sentence,
            "rows": self.rows,
            "drifted_weight": self.drifted_weight,
            "findings": [
                {"feature": f.feature, "kind": f.kind, "code": f.code, "sentence": f.sentence}
                for f in self.findings[:findings]
            ],
        }
