"""One run per model at a time: a lease with an expiry and a fencing token.

A holder that was merely slow keeps an old token; whatever it writes later is refused.
"""

from dataclasses import dataclass

from driftwheel.errors import LeaseLost
from driftwheel.ledger.table import Table

HELD_SECONDS = 900
"""Between a look at the lease and the act that follows: the longest a function may live at all."""


@dataclass(frozen=True)
class Lease:
    """Who may run until ``expires_at`` (epoch seconds); ``fence`` grows with every new holder."""

    model: str
    run_id: str
    fence: int
    expires_at: int


class Leases:
    """The lease of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def acquire(self, model: str, run_id: str, *, now: int, seconds: int) -> Lease | None:
        """Take the lease when it is free, expired or already ours; None when another run holds it.

        Our own lease is extended under its old token: a run that crashed while starting goes on as itself,
        and of two triggers that start one run at once neither takes it from the other. One that lasts longer
        already is left as it is: the run it was extended for is at work.
        """
        until = now + seconds
        changes = {"run_id": run_id, "expires_at": until}
        # Whose the lease is when it is written decides about the fence, not whose it was when it was read.
        for condition, values, written, fences in (
            ("attribute_not_exists( #run_id ) OR #run_id = :free", {"free": ""}, changes, 1),
            ("#run_id = :mine AND #expires_at >= :until", {"mine": run_id, "until": until}, {}, 0),
            ("#run_id = :mine", {"mine": run_id}, changes, 0),
            ("#expires_at <= :now AND #run_id <> :mine", {"now": now, "mine": run_id}, changes, 1),
        ):
            item = self._table.update(
                "LEASE", model, written, condition=condition, values=values, add={"fence": fences}
            )
            if item:
                return Lease(model, run_id, item["fence"], item["expires_at"])
        return None

    def extend(self, lease: Lease, *, now: int, seconds: int) -> bool:
        """Hold a lease longer; False when it was given back, or lost, meanwhile: then it stays so."""
        changed = self._table.update(
            "LEASE",
            lease.model,
            {"expires_at": now + seconds},
            condition="#run_id = :mine AND #fence = :fence",
            values={"mine": lease.run_id, "fence": lease.fence},
        )
        return changed is not None

    def get(self, model: str) -> Lease | None:
        """Read who holds the lease; an expired holder is still shown."""
        item = self._table.get("LEASE", model)
        if item is None or not item["run_id"]:
            return None
        return Lease(model, item["run_id"], item["fence"], item["expires_at"])

    def check(self, model: str, run_id: str, fence: int) -> None:
        """Raise LeaseLost unless this holder still has the lease."""
        held = self.get(model)
        if held is None or (held.run_id, held.fence) != (run_id, fence):
            who = f"run {held.run_id}, fence {held.fence}" if held else "nobody"
            raise LeaseLost(f"run {run_id} of {model} (fence {fence}) lost its lease; it is with {who}")

    def hold(self, model: str, run_id: str, fence: int, *, now: int) -> None:
        """Raise LeaseLost unless this holder still has the lease; it then keeps it for ``HELD_SECONDS``.

        So nobody overtakes it between this look and the act that follows; a longer one is left alone.
        """
        until = now + HELD_SECONDS
        held = self._table.update(
            "LEASE",
            model,
            {"expires_at": until},
            condition="#run_id = :mine AND #fence = :fence AND #expires_at <= :until",
            values={"mine": run_id, "fence": fence, "until": until},
        )
        if held is None:
            self.check(model, run_id, fence)

    def release(self, model: str, run_id: str, fence: int) -> bool:
        """Give the lease back; False when it was no longer ours."""
        changed = self._table.update(
            "LEASE",
            model,
            {"run_id": "", "expires_at": 0},
            condition="#run_id = :mine AND #fence = :fence",
            values={"mine": run_id, "fence": fence},
        )
        return changed is not None
