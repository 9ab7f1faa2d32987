"""Parked task tokens: what a waiting state machine gave us, kept under what is waited for, run by run."""

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
    """Every parked token. ARNs are compared in lower case: events spell endpoint names that way.

    A model has one endpoint, and its runs follow each other: of one that lost its lease and the one that
    overtook it both waits stand, each judged by its own ``detail``.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def park(self, parked: Parked) -> None:
        """Keep a token; a retried launcher replaces the token of its own earlier attempt."""
        self._table.put(asdict(parked) | {"pk": "TOKEN", "sk": _key(parked)})

    def waiting_for(self, arn: str) -> list[Parked]:
        """Find every run's wait for a resource, those under an older release's key too, in one read."""
        found = (row_of(Parked, item) for item in self._table.query("TOKEN", arn.lower()))
        return [parked for parked in found if parked.arn.lower() == arn.lower()]

    def all(self) -> list[Parked]:
        """List every wait, for the reconciler."""
        return [row_of(Parked, item) for item in self._table.query("TOKEN")]

    def settle(self, parked: Parked) -> bool:
        """Forget a wait that has ended; False when a newer attempt has parked another token."""
        reached("before_delete_token")
        is_ours, values = "#token = :token", {"token": parked.token}
        places = (_key(parked), parked.arn.lower())  # the second is where an older release parked it
        return any(self._table.delete("TOKEN", place, condition=is_ours, values=values) for place in places)


def _key(parked: Parked) -> str:
    return f"{parked.arn.lower()}#{parked.run_id}"
