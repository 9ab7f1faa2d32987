"""What people are to be told: written before it is published, so that a refusal of SNS costs time only."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from driftwheel.ledger.table import Table

HELD = timedelta(seconds=120)
"""No function that tells alerts runs longer: whoever took one earlier has told it, or never will."""

KEPT_SECONDS = 7 * 86_400
"""No run's end is recorded anew, and no day's news found anew, so long after it was told."""


@dataclass(frozen=True)
class Alert:
    """One message to people; ``key`` is its natural key: the same news is told once."""

    key: str
    subject: str
    message: str


class Outbox:
    """The alerts of every model. What was told stays for a while without its text, so that a retry knows."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, alert: Alert, now: datetime) -> bool:
        """Write an alert, which the caller then tells; False when it lies there already, or was told."""
        row = asdict(alert) | {"pk": "ALERT", "sk": alert.key, "taken": now.isoformat()}
        return self._table.put_new(row)

    def leave(self, alert: Alert, now: datetime) -> bool:
        """Write an alert for the next tick to tell; False when it lies there already, or was told."""
        return self.put(alert, now - HELD)

    def take(self, now: datetime) -> Iterator[Alert]:
        """Give what nobody has told, each to one caller, who then tells it."""
        for row in self._table.query("ALERT"):
            taken = row.get("taken")
            if taken is None or now - datetime.fromisoformat(taken) < HELD:
                continue
            if self._table.update(
                "ALERT",
                row["sk"],
                {"taken": now.isoformat()},
                condition="#taken = :seen",
                values={"seen": taken},
            ):
                yield Alert(row["key"], row["subject"], row["message"])

    def untold(self) -> list[Alert]:
        """List what nobody could be told yet."""
        rows = [row for row in self._table.query("ALERT") if "taken" in row]
        return [Alert(row["key"], row["subject"], row["message"]) for row in rows]

    def told(self, alert: Alert, now: datetime) -> None:
        """Note that people were told."""
        self._table.update(
            "ALERT",
            alert.key,
            {"expires": int(now.timestamp()) + KEPT_SECONDS},
            condition="attribute_exists(pk)",
            remove=("subject", "message", "taken"),
        )
