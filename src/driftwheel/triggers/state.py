"""What the policy looks at: everything that decides whether a run starts, read from the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["minor", "major"]


@dataclass(frozen=True)
class Situation:
    """One model at one moment. Times are epoch seconds.

    ``pending`` counts object versions no run has used; ``sourceless`` says that none of them is a source file
    and no run has found one either. ``losses`` counts the runs since the last promotion that brought no
    better model, ``labelled_rows`` the champion's captured rows whose label came since a challenger was last
    trained on such; ``labelled_days`` are all of them, by day. ``drift`` is what the latest check found,
    ``drifted_windows`` in how many of the last ``triggers.of_windows`` checks drift was large enough to
    retrain, that one included. ``cost_today`` is what today's trainings cost, ``cost_next`` what one more is
    expected to.
    """

    now: float
    pending: int = 0
    sourceless: bool = False
    newest_arrival: float = 0.0
    lease_run: str = ""
    lease_until: float = 0.0
    last_ended: float | None = None
    runs_today: int = 0
    losses: int = 0
    cost_today: float = 0.0
    cost_next: float = 0.0
    drift: Severity | None = None
    drifted_windows: int = 1
    labelled_rows: int = 0
    labelled_days: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class Start:
    """When a run starts now, and because of what; ``run_id`` once it has started."""

    kind: Literal["arrival", "drift", "manual"]
    code: str
    sentence: str
    run_id: str = ""


@dataclass(frozen=True)
class Wait:
    """When something is to be done, but not yet; ``until`` is None when only an event can end the wait."""

    until: float | None
    code: str
    sentence: str


@dataclass(frozen=True)
class Refuse:
    """When nothing is to be done, or nothing may be done."""

    code: str
    sentence: str


Answer = Start | Wait | Refuse
