"""The decision ledger: every promote, reject, retrain, wait and skip with the numbers behind it."""

from dataclasses import asdict, dataclass
from typing import Any

from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class Decision:
    """One answer: what was decided, why in a sentence, and with which numbers.

    ``at`` and ``id`` are the decision's natural key: the same decision taken twice is one row. Where ``at``
    is the day or the run's start, ``numbers["at"]`` is the moment it was taken.
    """

    model: str
    at: str
    id: str
    step: str
    outcome: str
    reason: str
    numbers: dict[str, Any]
    run_id: str = ""


class Decisions:
    """The decisions of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record(self, decision: Decision) -> bool:
        """Write a decision once; False when it stands already."""
        key = {"pk": f"DECISION#{decision.model}", "sk": f"{decision.at}#{decision.id}"}
        return self._table.put_new(asdict(decision) | key)

    def of_model(self, model: str, limit: int = 50) -> list[Decision]:
        """List a model's decisions, newest first."""
        items = self._table.query(f"DECISION#{model}", newest_first=True, limit=limit)
        return [row_of(Decision, item) for item in items]
