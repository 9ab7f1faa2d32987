"""Held hours: traffic that a drift check found broken, kept out of data sets until a person releases it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class HeldHour:
    """One hour (``2026-11-29T09``, UTC) of a model's traffic.

    ``causes`` says by column what was found broken, several codes in their order with commas between; ``at``
    and ``report_uri`` are of the check that found something new last.
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
        """Put hours that a check found broken on the model's list; what is new in one of them is added.

        A person's word stands: an hour that was released is held again only by a later check, and only where
        it was not over when they released it. Every part may be repeated.
        """
        # Times are texts that sort as times do, and none of this hour sorts behind "~".
        known = {row.hour: row for row in self._all(model)}
        for row in rows:
            before = known.get(row.hour)
            if before is None:
                self._table.put_new(asdict(row) | _key(row))
            elif before.state == "released":
                self._change(
                    row,
                    "#state = :released AND #released_at < :at AND #released_at < :over",
                    {"released": "released", "at": row.at, "over": f"{row.hour}:~"},
                )
            elif row.at > before.at and (both := _joined(before.causes, row.causes)) != before.causes:
                told = replace(row, causes=both)
                self._change(told, "#state = :held AND #at = :seen", {"held": "held", "seen": before.at})

    def release(self, row: HeldHour, *, at: str, reason: str) -> bool:
        """Take an hour off the list; False when it is not on it, or more was found broken in it since."""
        released = replace(row, state="released", released_at=at, reason=reason)
        return self._change(released, "#state = :held AND #at = :seen", {"held": "held", "seen": row.at})

    def _change(self, row: HeldHour, condition: str, values: dict[str, str]) -> bool:
        """Write a row over itself where the condition still holds."""
        changes = {name: value for name, value in asdict(row).items() if name not in {"model", "hour"}}
        pk, sk = _key(row).values()
        return self._table.update(pk, sk, changes, condition=condition, values=values) is not None

    def held(self, model: str) -> list[HeldHour]:
        """List a model's held hours, oldest first."""
        return [row for row in self._all(model) if row.state == "held"]

    def held_names(self, model: str) -> list[str]:
        """Name a model's held hours, oldest first."""
        return [row.hour for row in self.held(model)]

    def _all(self, model: str) -> list[HeldHour]:
        return [row_of(HeldHour, item) for item in self._table.query(f"HOUR#{model}")]


def _joined(causes: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Add codes to those known of each column.

    >>> _joined({"city": "respelt_category"}, {"city": "null_burst", "temp": "constant"})
    {'city': 'null_burst, respelt_category', 'temp': 'constant'}
    """
    known = {column: set(codes.split(", ")) for column, codes in causes.items()}
    for column, codes in more.items():
        known.setdefault(column, set()).update(codes.split(", "))
    return {column: ", ".join(sorted(codes)) for column, codes in known.items()}


def _key(row: HeldHour) -> dict[str, str]:
    return {"pk": f"HOUR#{row.model}", "sk": row.hour}
