"""Which windows were checked for drift: each once, however often, late and out of order its tick comes."""

from datetime import datetime

from driftwheel.ledger.table import Table

KEPT_SECONDS = 7 * 86_400
"""No scheduler delivers a tick later."""


class Checks:
    """The windows that were taken, by their natural key."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, window: str, now: datetime) -> datetime | None:
        """Take a window that nobody has; None when somebody has it.

        Give the time of its check: that of the first attempt where an earlier one was given back, so that a
        retry looks at the same traffic and writes in the same place.
        """
        expires = int(now.timestamp()) + KEPT_SECONDS
        row = {"pk": "CHECK", "sk": window, "state": "taken", "at": now.isoformat(), "expires": expires}
        if self._table.put_new(row):
            return now
        again = self._table.update(
            "CHECK", window, {"state": "taken"}, condition="#state = :open", values={"open": "open"}
        )
        return datetime.fromisoformat(str(again.get("at", now.isoformat()))) if again else None

    def give_back(self, window: str) -> None:
        """Let the retry of a window's tick check it."""
        self._table.update("CHECK", window, {"state": "open"}, condition="attribute_exists(pk)")
