"""Parked task tokens: what a waiting state machine gave us, kept under the ARN of what it waits for."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from driftwheel.hooks import reached
from driftwheel.ledger.table import Table, row_of

Kind = Literal["training_job", "processing_job", "endpoint", "model_package"]


@dataclass(frozen=True)
class Parked:
    """One wait: the resource, the token that ends it, and whose run it is.

    ``detail`` is what the callback needs to judge the truth (for an endpoint: what was wanted).
    """

    arn: str
    kind: Kind
    token: str
    model: str
    run_id: str
    fence: int
    execution_arn: str
    parked_at: str
    detail: dict[str, Any]


class Tokens:
    """Every parked token. ARNs are compared in lower case: events spell endpoint names that way."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def park(self, parked: Parked) -> None:
        """Keep a token; a retried launcher replaces the token of its own earlier attempt."""
        self._table.put(asdict(parked) | {"pk": "TOKEN", "sk": parked.arn.lower()})

    def get(self, arn: str) -> Parked | None:
        """Find the wait for a resource."""
        item = self._table.get("TOKEN", arn.lower())
        return row_of(Parked, item) if item else None

    def all(self) -> list[Parked]:
        """List every wait, for the reconciler."""
        return [row_of(Parked, item) for item in self._table.query("TOKEN")]

    def settle(self, parked: Parked) -> bool:
        """Forget a wait that has ended; False when a newer attempt has parked another token."""
        reached("before_delete_token")
        return self._table.delete(
            "TOKEN", parked.arn.lower(), condition="#token = :token", values={"token": parked.token}
        )
