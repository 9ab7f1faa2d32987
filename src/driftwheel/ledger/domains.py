"""The domain classifier's job of each model: the one asked for last, and what it answered."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class DomainRow:
    """A job about the window judged at ``at``; ``answer`` once it ended, ``reason`` where it failed."""

    model: str
    job: str
    at: str
    output_uri: str
    state: Literal["asked", "answered", "failed"] = "asked"
    answer: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class Domains:
    """The latest job of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record(self, row: DomainRow) -> None:
        """Keep a job as the model's latest."""
        self._table.put(asdict(row) | {"pk": "DOMAIN", "sk": row.model})

    def get(self, model: str) -> DomainRow | None:
        """Read a model's latest job."""
        item = self._table.get("DOMAIN", model)
        return row_of(DomainRow, item) if item else None
