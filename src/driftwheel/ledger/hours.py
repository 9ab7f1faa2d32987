"""Held hours: traffic that a drift check found broken, kept out of data sets until a person releases it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class HeldHour:
    """One hour (``2026-11-29T09``, UTC) of a model's traffic.

    ``at`` is the time of the check that held it, ``causes`` says by column what was found broken.
    """

    model: str
    hour: str
    at: str
    causes: dict[str, str] = field(default_factory=dict)
    report_uri: str = ""
    state: Literal["held", "released"] = "held"
    released_at: str = ""
    reason: str = ""


class Hours:
    """The list of every model; its natural key is model and hour."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def hold(self, model: str, rows: Iterable[HeldHour]) -> None:
        """Put hours that a check found broken on the model's list; the first word about an hour stands.

        So does a person's: an hour that was released is held again only by a later check, and only where it
        was not over when they released it. Every part may be repeated.
        """
        # Times are texts that sort as times do, and none of this hour sorts behind "~".
        known = {row.hour: row.state for row in self._all(model)}
        for row in rows:
            if row.hour not in known:
                self._table.put_new(asdict(row) | _key(row))
            elif known[row.hour] == "released":
                self._table.update(
                    _key(row)["pk"],
                    row.hour,
                    {name: value for name, value in asdict(row).items() if name not in {"model", "hour"}},
                    condition="#state = :released AND #released_at < :at AND #released_at < :over",
                    values={"released": "released", "at": row.at, "over": f"{row.hour}:~"},
                )

    def release(self, row: HeldHour, *, at: str, reason: str) -> bool:
        """Take an hour off the list; False when it was not on it."""
        changes = {"state": "released", "released_at": at, "reason": reason}
        changed = self._table.update(
            _key(row)["pk"], row.hour, changes, condition="#state = :held", values={"held": "held"}
        )
        return changed is not None

    def held(self, model: str) -> list[HeldHour]:
        """List a model's held hours, oldest first."""
        return [row for row in self._all(model) if row.state == "held"]

    def held_names(self, model: str) -> list[str]:
        """Name a model's held hours, oldest first."""
        return [row.hour for row in self.held(model)]

    def _all(self, model: str) -> list[HeldHour]:
        return [row_of(HeldHour, item) for item in self._table.query(f"HOUR#{model}")]


def _key(row: HeldHour) -> dict[str, str]:
    return {"pk": f"HOUR#{row.model}", "sk": row.hour}
