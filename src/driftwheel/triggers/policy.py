"""The one policy: does a run start now?

Level-triggered: the answer depends on the situation alone, so whatever wakes the trigger, and however often,
the same situation gives the same answer and a lost event costs at most one tick.
"""

from datetime import UTC, datetime

from driftwheel.spec import ModelSpec
from driftwheel.triggers.state import Answer, Refuse, Situation, Start, Wait

DAY = 86_400
LONGEST_BACK_OFF = 7 * DAY
"""A model that cannot be improved is still tried once a week: the world may have changed back."""


def decide(situation: Situation, spec: ModelSpec, *, manual: bool = False) -> Answer:
    """Answer for one model.

    A person may skip everything but the lease: two runs of one model would
    judge each other's leavings. New files skip the cooldown, which is for retraining by itself; quiet period
    and the daily budget bound them.
    """
    if situation.lease_run and situation.lease_until > situation.now:
        return Wait(situation.lease_until, "run_in_flight", f"run {situation.lease_run} is at work")
    if manual:
        return Start("manual", "asked", "a person asked for it")
    if situation.fault:
        return Refuse("data_fault", f"live data is broken, not drifting: {situation.fault.rstrip('.')}")
    if not situation.pending and not _drifted(situation, spec):
        return Refuse("nothing_new", "no new file and no drift")
    if spent := _spent(situation, spec):
        return Wait((situation.now // DAY + 1) * DAY, "budget_spent", spent)
    by_drift = _by_drift(situation, spec) if _drifted(situation, spec) else None
    if isinstance(by_drift, Start) or not situation.pending:
        return by_drift or Refuse("nothing_new", "no new file and no drift")
    return _by_arrival(situation, spec)


def _spent(situation: Situation, spec: ModelSpec) -> str:
    """Say which of the day's budgets is spent; empty when none is. Days are UTC."""
    if situation.runs_today >= spec.triggers.runs_per_day:
        runs = f"{situation.runs_today} {'run' if situation.runs_today == 1 else 'runs'}"
        return f"{runs} today, runs_per_day allows no more"
    budget = spec.triggers.cost_per_day
    if budget is not None and situation.cost_today + situation.cost_next > budget:
        return (
            f"trainings cost {situation.cost_today:.2f} today, one more about {situation.cost_next:.2f}: "
            f"cost_per_day is {budget:g}"
        )
    return ""


def _drifted(situation: Situation, spec: ModelSpec) -> bool:
    wanted = spec.drift.retrain_at
    return wanted != "never" and situation.drift in {"major", wanted}


def _by_arrival(situation: Situation, spec: ModelSpec) -> Answer:
    files = f"{situation.pending} new {'file' if situation.pending == 1 else 'files'}"
    if situation.sourceless:
        return Wait(None, "no_source", f"{files}, no source file among what has arrived: waiting for one")
    quiet_until = situation.newest_arrival + spec.triggers.quiet_seconds
    if quiet_until > situation.now:
        sentence = f"{files}, the last one less than {spec.triggers.quiet_seconds} s ago"
        return Wait(quiet_until, "quiet_period", sentence)
    return Start("arrival", "new_files", f"{files}, quiet for {spec.triggers.quiet_seconds} s")


def _by_drift(situation: Situation, spec: ModelSpec) -> Answer:
    triggers = spec.triggers
    if situation.drifted_windows < triggers.drifted_windows:
        sentence = (
            f"{situation.drift} drift in {situation.drifted_windows} of the last {triggers.of_windows} "
            f"windows, {triggers.drifted_windows} are needed"
        )
        return Wait(None, "unconfirmed", sentence)
    if situation.last_ended is not None:
        beyond = situation.losses - triggers.give_up_after
        if beyond >= 0:
            pause = min(LONGEST_BACK_OFF, max(DAY, triggers.cooldown_minutes * 60) * 2.0 ** min(beyond, 10))
            if situation.last_ended + pause > situation.now:
                sentence = f"{situation.losses} runs in a row brought no better model: cannot improve for now"
                return Wait(situation.last_ended + pause, "cannot_improve", sentence)
        cooled = situation.last_ended + triggers.cooldown_minutes * 60
        if cooled > situation.now:
            at = datetime.fromtimestamp(cooled, UTC).strftime("%H:%M UTC")
            return Wait(cooled, "cooldown", f"{situation.drift} drift, cooling down until {at}")
    if situation.labelled_rows < triggers.minimum_labelled_rows:
        sentence = (
            f"{situation.drift} drift, {situation.labelled_rows} labelled rows, "
            f"minimum_labelled_rows is {triggers.minimum_labelled_rows}: waiting for labels"
        )
        return Wait(None, "waiting_for_labels", sentence)
    return Start(
        "drift", "drift", f"{situation.drift} drift and {situation.labelled_rows} newly labelled rows"
    )
