"""The one policy, situation by situation."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftwheel.spec import ModelSpec, load_spec
from driftwheel.triggers.policy import DAY, decide
from driftwheel.triggers.state import Refuse, Situation, Start, Wait
from driftwheel.triggers.windows import remember

SPEC = load_spec(Path("examples/flights/model.yaml").read_text(encoding="utf-8"))
NOW = 1_000_000.0
QUIET = Situation(now=NOW)
DRIFTED = replace(QUIET, drift="major", drifted_windows=2, labelled_rows=5_000)


def code(situation: Situation, *, manual: bool = False) -> str:
    return decide(situation, SPEC, manual=manual).code


def test_without_files_and_drift_nothing_is_done() -> None:
    assert isinstance(decide(QUIET, SPEC), Refuse)


def test_files_wait_until_the_drop_is_over_and_then_start_one_run() -> None:
    dropping = replace(QUIET, pending=3, newest_arrival=NOW - 1)

    assert decide(dropping, SPEC) == Wait(
        NOW + 2, "quiet_period", "3 new files, the last one less than 3 s ago"
    )
    assert code(replace(dropping, now=NOW + 2)) == "new_files"


def test_files_to_join_wait_for_a_file_to_join_them_to() -> None:
    weather = replace(QUIET, pending=1, sourceless=True, newest_arrival=NOW - 60)

    assert decide(weather, SPEC) == Wait(
        None, "no_source", "1 new file, no source file among what has arrived: waiting for one"
    )
    assert code(replace(weather, sourceless=False)) == "new_files"
    assert code(weather, manual=True) == "asked"


@pytest.mark.case("DR-03")
def test_drift_without_labels_waits_for_labels_and_for_no_clock() -> None:
    answer = decide(replace(DRIFTED, labelled_rows=999), SPEC)

    assert isinstance(answer, Wait)
    assert (answer.code, answer.until) == ("waiting_for_labels", None)


def test_drift_with_enough_labels_starts_a_run() -> None:
    assert code(DRIFTED) == "drift"


@pytest.mark.parametrize(
    ("severity", "retrain_at", "starts"),
    [
        ("minor", "minor", True),
        ("minor", "major", False),
        ("major", "minor", True),
        ("major", "never", False),
    ],
)
def test_the_owner_says_from_which_severity_on_to_retrain(
    severity: str, retrain_at: str, *, starts: bool
) -> None:
    spec = SPEC.model_copy(update={"drift": SPEC.drift.model_copy(update={"retrain_at": retrain_at})})
    answer = decide(replace(DRIFTED, drift=severity), spec)  # type: ignore[arg-type]

    assert isinstance(answer, Start) is starts


@pytest.mark.case("DR-04")
def test_drift_waits_out_its_cooldown_but_a_dropped_file_does_not() -> None:
    cooling = replace(DRIFTED, last_ended=NOW - 60)

    assert code(cooling) == "cooldown"
    assert code(replace(cooling, pending=1)) == "new_files"


@pytest.mark.case("DR-05")
def test_challengers_that_keep_losing_are_tried_ever_more_rarely() -> None:
    waits = []
    for losses in (3, 4, 5, 6, 20):
        answer = decide(replace(DRIFTED, last_ended=NOW - 3_700, losses=losses), SPEC)
        assert isinstance(answer, Wait)
        assert answer.code == "cannot_improve"
        assert answer.until is not None
        waits.append(round((answer.until - NOW + 3_700) / DAY))

    assert waits == [1, 2, 4, 7, 7]
    assert code(replace(DRIFTED, last_ended=NOW - 3_700, losses=2)) == "drift"


def test_broken_data_blocks_retraining_but_not_a_person() -> None:
    broken = replace(DRIFTED, pending=1, fault="temp looks like °C")

    assert code(broken) == "data_fault"
    assert code(broken, manual=True) == "asked"


def test_drift_in_one_window_alone_is_not_believed() -> None:
    answer = decide(replace(DRIFTED, drifted_windows=1), SPEC)

    assert answer == Wait(None, "unconfirmed", "major drift in 1 of the last 3 windows, 2 are needed")
    assert code(replace(DRIFTED, drifted_windows=1, pending=1)) == "new_files"


def test_a_day_costs_no_more_than_declared() -> None:
    bounds = {"cost_per_day": 1.0, "cost_per_training_hour": 0.115}
    spec = SPEC.model_copy(update={"triggers": SPEC.triggers.model_copy(update=bounds)})
    nearly = replace(DRIFTED, cost_today=0.9, cost_next=0.1)

    assert decide(nearly, spec).code == "drift"
    assert decide(replace(nearly, cost_today=0.95), spec) == Wait(
        (NOW // DAY + 1) * DAY,
        "budget_spent",
        "trainings cost 0.95 today, one more about 0.10: cost_per_day is 1",
    )
    assert decide(replace(nearly, cost_today=0.95), spec, manual=True).code == "asked"


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [
        ({"cost_per_day": 1}, "together with cost_per_training_hour"),
        ({"cost_per_day": 1, "cost_per_training_hour": 2}, "does not pay for one training"),
        ({"drifted_windows": 4}, "4 of 3 windows can never be reached"),
    ],
)
def test_bounds_nobody_can_meet_are_refused(bounds: dict[str, float], complaint: str) -> None:
    document = SPEC.model_dump(mode="json")

    with pytest.raises(ValidationError, match=complaint):
        ModelSpec.model_validate(document | {"triggers": document["triggers"] | bounds})


def test_a_window_without_a_verdict_neither_confirms_nor_calms() -> None:
    seen = ["2026-01-01T10:00:00+00:00 major"]

    assert remember(seen, "2026-01-01T11:00:00+00:00", "insufficient_data", 60) == seen


def test_the_daily_budget_ends_at_midnight() -> None:
    answer = decide(replace(DRIFTED, runs_today=12), SPEC)

    assert isinstance(answer, Wait)
    assert (answer.code, answer.until) == ("budget_spent", (NOW // DAY + 1) * DAY)


SITUATIONS = st.builds(
    Situation,
    now=st.just(NOW),
    pending=st.integers(0, 3),
    newest_arrival=st.floats(NOW - 10, NOW),
    lease_run=st.sampled_from(["", "r1"]),
    lease_until=st.floats(NOW - 100, NOW + 100),
    last_ended=st.none() | st.floats(0, NOW),
    runs_today=st.integers(0, 15),
    losses=st.integers(0, 6),
    drift=st.sampled_from([None, "minor", "major"]),
    drifted_windows=st.integers(0, 3),
    labelled_rows=st.integers(0, 2_000),
    fault=st.sampled_from(["", "broken"]),
)


@given(SITUATIONS, st.booleans())
def test_a_held_lease_never_lets_a_second_run_start(situation: Situation, manual: bool) -> None:
    answer = decide(situation, SPEC, manual=manual)

    if situation.lease_run and situation.lease_until > NOW:
        assert isinstance(answer, Wait)
    elif manual:
        assert isinstance(answer, Start)


@given(SITUATIONS.filter(lambda s: s.pending > 0 and not s.fault))
def test_a_pending_file_is_used_by_some_later_tick(situation: Situation) -> None:
    for _ in range(4):
        answer = decide(situation, SPEC)
        if isinstance(answer, Start):
            return
        assert isinstance(answer, Wait)
        assert answer.until is not None
        assert answer.until > situation.now
        situation = replace(situation, now=answer.until + 1, runs_today=0)
    pytest.fail("waited four times for the same file")
