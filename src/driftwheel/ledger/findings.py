"""What drift checks found: the latest finding of each model, which the policy reads."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class Finding:
    """The last word on a model's live traffic.

    ``champion_sequence`` says whose traffic it was: a finding about an earlier champion is history.
    ``fault`` is empty, or says what is broken in the data. ``labelled_rows`` counts the rows whose label is
    known, ``labelled_days`` by the day (UTC) they were answered, ``held_labelled`` those of held hours by the
    hour. ``windows`` are the champion's last windows, this one included (``triggers/windows.py``);
    ``history`` has their numbers and ``since`` says from which check on each thing has been found
    (``drift/history.py``). ``untold``: a person was to be told and was not yet. ``whole_until`` is the hour
    before which traffic was last found whole (``drift/hours.py``).
    """

    model: str
    at: str
    champion_sequence: int
    severity: Literal["none", "minor", "major", "insufficient_data"]
    fault: str
    labelled_rows: int
    report_uri: str
    windows: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    since: dict[str, str] = field(default_factory=dict)
    untold: bool = False
    labelled_days: dict[str, int] = field(default_factory=dict)
    held_labelled: dict[str, int] = field(default_factory=dict)
    whole_until: str = ""


class Findings:
    """The findings of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record(self, finding: Finding) -> None:
        """Keep a finding as the model's latest."""
        self._table.put(asdict(finding) | {"pk": "FINDING", "sk": finding.model})

    def told(self, model: str) -> None:
        """Note that a person was told of a model's latest finding."""
        self._table.update("FINDING", model, {"untold": False}, condition="attribute_exists(pk)")

    def get(self, model: str) -> Finding | None:
        """Read a model's latest finding."""
        item = self._table.get("FINDING", model)
        return row_of(Finding, item) if item else None
