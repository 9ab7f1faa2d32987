"""The run index, and which run trained on which content."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from driftwheel.errors import LeaseLost
from driftwheel.ledger.table import Table, row_of

Status = Literal["running", "promoted", "rejected", "refused", "unchanged", "failed", "aborted"]
ENDED_WITHOUT_MODEL: frozenset[str] = frozenset({"failed", "aborted"})
FRUITLESS: frozenset[str] = frozenset({"failed", "refused", "unchanged"})


@dataclass(frozen=True)
class RunRow:
    """One run as the operator sees it.

    ``labelled_days`` are the champion's labelled rows, by day, when the run froze its data.
    """

    model: str
    run_id: str
    status: Status
    kind: str
    reason: str
    started_at: str
    execution_arn: str
    fence: int
    ended_at: str = ""
    outcome: str = ""
    billed_seconds: int = 0
    labelled_days: dict[str, int] = field(default_factory=dict)


class Runs:
    """The runs of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def start(self, run: RunRow) -> bool:
        """Enter a run once; False when it is already known."""
        return self._table.put_new(asdict(run) | {"pk": f"RUN#{run.model}", "sk": run.run_id})

    def end(
        self, model: str, run_id: str, status: Status, outcome: str, at: str, billed_seconds: int = 0
    ) -> bool:
        """Record how a run ended; False when it had ended before (the first word stands).

        ``billed_seconds`` is what its training is billed for.
        """
        changed = self._table.update(
            f"RUN#{model}",
            run_id,
            {"status": status, "outcome": outcome, "ended_at": at, "billed_seconds": billed_seconds},
            condition="#status = :running",
            values={"running": "running"},
        )
        return changed is not None

    def get(self, model: str, run_id: str) -> RunRow | None:
        """Read one run."""
        item = self._table.get(f"RUN#{model}", run_id)
        return row_of(RunRow, item) if item else None

    def of_model(self, model: str) -> list[RunRow]:
        """List a model's runs, newest first."""
        rows = [row_of(RunRow, item) for item in self._table.query(f"RUN#{model}")]
        return sorted(rows, key=lambda row: row.started_at, reverse=True)

    def losses(self, model: str, run_id: str, status: Status) -> int:
        """Count the runs since the last promotion that brought no better model, ``run_id`` ending so.

        Rejected challengers, and what drift started that failed, was refused or found nothing new. A dropped
        file that cannot be read says nothing about retraining, an aborted run nothing about anything.
        """
        rows = self.of_model(model)
        return losses(
            replace(row, status=status) if (row.run_id, row.status) == (run_id, "running") else row
            for row in rows
        )

    def claim_data(self, model: str, data_digest: str, run_id: str, fence: int) -> str:
        """Say which run has decided on this content; ours when none has.

        A run that ended without a model has decided nothing, and one that lost its lease to the run that asks
        will not. Raises LeaseLost when it is the run that asks which has lost it.
        """
        pk, ours = f"DATASET#{model}", {"run_id": run_id}
        if self._table.put_new({"pk": pk, "sk": data_digest} | ours):
            return run_id
        while (owner := str((self._table.get(pk, data_digest) or ours)["run_id"])) != run_id:
            run = self.get(model, owner)
            if run is not None and run.ended_at and run.status not in ENDED_WITHOUT_MODEL:
                return owner
            if run is not None and run.fence > fence:
                raise LeaseLost(f"run {run_id} of {model} (fence {fence}) lost its lease to run {owner}")
            self._table.update(pk, data_digest, ours, condition="#run_id = :owner", values={"owner": owner})
        return run_id


def losses(runs: Iterable[RunRow]) -> int:
    """Count, among runs listed newest first, the fruitless ones before the last promotion."""
    count = 0
    for run in runs:
        if run.status == "promoted":
            break
        count += run.status == "rejected" or (run.kind == "drift" and run.status in FRUITLESS)
    return count
