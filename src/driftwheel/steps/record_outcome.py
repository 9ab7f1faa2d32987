"""RecordOutcome and RecordFailure: how the run ended, said once, and everything it held given back."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.layout import RunLayout, S3Uri
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Delivered, State
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.runs import Runs, Status
from driftwheel.ledger.table import Table
from driftwheel.run import Run, told
from driftwheel.steps.remedy import end_alert


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in one word and one sentence; ``alert`` is what its recorder still has to tell."""

    status: Status
    sentence: str
    alert: Alert | None = None


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger a run's end touches."""

    objects: ObjectLedger
    runs: Runs
    leases: Leases
    decisions: Decisions
    outbox: Outbox

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open those parts of one table."""
        return cls(
            objects=ObjectLedger(table),
            runs=Runs(table),
            leases=Leases(table),
            decisions=Decisions(table),
            outbox=Outbox(table),
        )


def outcome_of(run: Run) -> Outcome:
    """Read how a run ended from its sections; an unexpected end is a failure, never a success."""
    gate = run.evaluation_gate
    if run.failure is not None:
        return Outcome("failed", f"{run.failure.get('Error', 'fault')}: {_cause(run.failure)}")
    if run.deployment is not None:
        return Outcome("promoted", f"champion {run.deployment.sequence} serves at {run.deployment.endpoint}")
    if gate is not None and run.approval is not None:
        if run.approval.get("outcome") == "rejected":
            return Outcome(
                "rejected", f"a person rejected it: {run.approval.get('description') or 'no reason given'}"
            )
        return Outcome("rejected", "nobody approved it in time")
    if gate is not None and gate.outcome == "reject":
        return Outcome("rejected", told(gate.reasons))
    prepared = run.preprocessing
    if prepared is not None and prepared.outcome == "unchanged":
        return Outcome("unchanged", f"the same rows as run {prepared.same_as}: nothing new to learn")
    section = prepared or run.data_arrival
    if section is not None and section.outcome == "refused":
        more = [f"and {section.more_refused:,} more in {section.refused_uri}"] if section.more_refused else []
        return Outcome("refused", "; ".join([*(refusal.message for refusal in section.refused), *more]))
    return Outcome("failed", "the run ended where no run should end: read its execution history")


def record(run: Run, now: str, objects: Objects, ledger: Ledger, artifact_bucket: str) -> Outcome:
    """Settle the run's objects, write ``run.json``, the decision, the alert and the index, release the lease.

    Every part may be repeated: a crash in between costs a retry, not a wrong word. The alert stands before
    the index does, so that no run has ended of which nobody will hear.
    """
    outcome = outcome_of(run)
    settle_objects(run, outcome, objects, ledger.objects)
    document = run.model_dump(mode="json", exclude_none=True)
    document["record_outcome"] = {"status": outcome.status, "sentence": outcome.sentence, "at": now}
    objects.write_json(RunLayout(artifact_bucket, run.model, run.run_id).record, document)
    ledger.decisions.record(
        Decision(
            model=run.model,
            at=run.started.at,
            id=f"{run.run_id}-outcome",
            step="record_outcome",
            outcome=outcome.status,
            reason=outcome.sentence,
            numbers=(run.evaluation_gate.metrics if run.evaluation_gate else {}) | {"at": now},
            run_id=run.run_id,
        )
    )
    row = ledger.runs.get(run.model, run.run_id)
    # Of a run that ended before, the first word stands, and what it had people told.
    alert = None if row is not None and row.ended_at else alert_of(run, outcome, ledger.runs)
    is_ours = alert is not None and ledger.outbox.put(alert, datetime.fromisoformat(now))
    ledger.runs.end(run.model, run.run_id, outcome.status, outcome.sentence, now, billed_seconds(run, now))
    ledger.leases.release(run.model, run.run_id, run.fence)
    return replace(outcome, alert=alert if is_ours else None)


def billed_seconds(run: Run, now: str) -> int:
    """Say what the run's training is billed for; of one that never reported, the most it can be."""
    if run.training_launch is not None:
        return run.training_launch.billable_seconds or run.training_launch.seconds or 0
    if run.preprocessing is None or run.preprocessing.outcome != "ready":
        return 0
    passed = (datetime.fromisoformat(now) - datetime.fromisoformat(run.started.at)).total_seconds()
    return int(min(max(passed, 0), run.spec.training.max_runtime_seconds))


def alert_of(run: Run, outcome: Outcome, runs: Runs) -> Alert | None:
    """Word the alert about a run that ends; None when a person has nothing to learn.

    When ``give_up_after`` runs in a row brought no better model, that is said once; what drift tries after
    that stands in the ledger only.
    """
    if outcome.status not in {"failed", "refused", "rejected", "unchanged"}:
        return None
    lost, patience = runs.losses(run.model, run.run_id, outcome.status), run.spec.triggers.give_up_after
    if run.started.kind == "drift" and lost > patience:
        return None
    alert = end_alert(run.model, run.run_id, outcome.status, outcome.sentence)
    if lost == patience:
        subject = f"{run.model}: cannot improve"
        return Alert(
            alert.key,
            subject,
            f"{subject}: {lost} runs in a row brought no better model. Drift is now tried "
            f"more and more rarely, once a week at least. Last: {alert.message}",
        )
    return None if outcome.status == "unchanged" else alert


def settle_objects(run: Run, outcome: Outcome, objects: Objects, ledger: ObjectLedger) -> None:
    """Say what became of each object: used, the same content as another run's, or harmful, as there.

    After a refusal or a failure what is not quarantined stays pending: for more data or a mended cause.
    """
    if outcome.status in {"failed", "aborted", "refused"}:
        return
    state: State = "duplicate" if outcome.status == "unchanged" else "used"
    harm = _was_harmful(run, ledger) if outcome.status == "unchanged" else harmful(run)
    for entry in objects.read_json(S3Uri.parse(run.data_uri))["objects"]:
        harmed = entry["role"] == "source" and harm
        ledger.settle(
            _delivered(run.model, entry), "rejected" if harmed else state, outcome.sentence, run.run_id
        )


def _was_harmful(run: Run, ledger: ObjectLedger) -> bool:
    """Tell whether the run that decided on these rows found its new files harmful."""
    owner = run.preprocessing.same_as if run.preprocessing is not None else None
    return any(row.run_id == owner and row.state == "rejected" for row in ledger.of_model(run.model))


def harmful(run: Run) -> bool:
    """Tell whether a run's new files made the model surely worse: the whole interval of its gain is below 0.

    They are then left out of later data sets, or every later challenger would learn from them too. Files that
    merely did not help enough stay: what ten of them teach together may be worth it.
    """
    gate = run.evaluation_gate
    gain = gate.metrics.get("gain") if gate is not None and gate.outcome == "reject" else None
    return gain is not None and gain.get("high") is not None and gain["high"] < 0


def _cause(failure: dict[str, Any]) -> str:
    """Take the sentence out of a Cause: of a function that failed, Lambda writes JSON."""
    cause = str(failure.get("Cause", "no cause given"))
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def _delivered(model: str, entry: dict[str, Any]) -> Delivered:
    fields = {name: entry[name] for name in ("role", "bucket", "key", "version", "etag", "size")}
    return Delivered(model=model, sequencer="", received="", **fields)
