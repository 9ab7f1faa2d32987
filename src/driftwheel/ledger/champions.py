"""What serves: the champion pointer of each model, moved by compare-and-set on its sequence."""

from dataclasses import asdict, dataclass

from driftwheel.errors import ChampionMoved
from driftwheel.hooks import reached
from driftwheel.ledger.table import Table, row_of


@dataclass(frozen=True)
class ChampionRow:
    """One champion: the run that made it and what its endpoint runs.

    ``manifest_sha256`` is what the gate recorded of its artifact; empty where that was not yet recorded.
    """

    model: str
    sequence: int
    run_id: str
    endpoint: str
    endpoint_config: str
    model_data_url: str
    model_package_arn: str
    baseline_uri: str
    promoted_at: str
    reason: str
    manifest_sha256: str = ""


class Champions:
    """The champion pointers and their history."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, model: str) -> ChampionRow | None:
        """Read what serves now; None before the first promotion."""
        item = self._table.get("CHAMPION", model)
        return row_of(ChampionRow, item) if item else None

    def history(self, model: str) -> list[ChampionRow]:
        """List every champion there was, newest first; the pointer counts before its row is written."""
        rows = [
            row_of(ChampionRow, item) for item in self._table.query(f"CHAMPION#{model}", newest_first=True)
        ]
        stands = self.get(model)
        return [stands, *rows] if stands and stands.sequence not in {row.sequence for row in rows} else rows

    def move(self, champion: ChampionRow) -> None:
        """Make ``champion`` (sequence n) the pointer if it stands at n-1; doing it twice is one move.

        Raises ChampionMoved when another run was first.
        """
        fields = {k: v for k, v in asdict(champion).items() if k != "model"}
        fresh = champion.sequence == 1
        before = self.get(champion.model)
        if before is not None and before.sequence < champion.sequence:
            self._keep(before)  # whoever moved it may have died before this
        reached("before_champion_cas")
        moved = self._table.update(
            "CHAMPION",
            champion.model,
            fields | {"model": champion.model},
            condition="attribute_not_exists(pk)" if fresh else "#sequence = :before",
            values={} if fresh else {"before": champion.sequence - 1},
        )
        if moved is None:
            now = self.get(champion.model)
            if now is None or (now.sequence, now.run_id) != (champion.sequence, champion.run_id):
                stands = f"sequence {now.sequence} of run {now.run_id}" if now else "none"
                raise ChampionMoved(
                    f"{champion.model}: wanted sequence {champion.sequence}, champion is {stands}"
                )
            champion = now
        reached("after_champion_cas")
        self._keep(champion)

    def _keep(self, champion: ChampionRow) -> None:
        key = {"pk": f"CHAMPION#{champion.model}", "sk": f"{champion.sequence:08d}"}
        self._table.put(asdict(champion) | key)
