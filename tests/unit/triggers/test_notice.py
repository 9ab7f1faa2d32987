"""What a person is told of a drift check, in one line."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from driftwheel.drift.finding import DriftReport, Finding
from driftwheel.drift.quality_loss import QUALITY
from driftwheel.spec import load_spec
from driftwheel.steps.notice import ACTIONS, message, notice_of
from driftwheel.triggers import policy
from driftwheel.triggers.state import Answer, Refuse, Start, Wait

SPEC = load_spec("""
model: rides
source: {prefix: data/rides/, key: [id]}
columns: {id: {type: integer, feature: false}, temp: {type: number}, delay: {type: number, feature: false}}
target: {column: late, expression: delay > 15}
""")
NONE = DriftReport("none", False, "No drift in 900 rows.", 900, 900, 500, 0.01, 9, 0.0, 0.25, [], [])
DRIFT = Finding("temp", "drift", "distribution", "strong", 0.8, "temp drifted strongly: mean 40 → 55.")
FAULT = Finding("temp", "fault", "constant", "strong", 0.8, "temp is 40 in all 900 rows: a dead sensor.")
LOSS = Finding(QUALITY, "drift", "quality", "strong", 0.0, "Live auc is 0.60; 0.74 when the model was made.")
MAJOR = replace(NONE, severity="major", sentence="Major drift: temp.", findings=[DRIFT])
BROKEN = replace(
    NONE, severity="fault", blocks_retraining=True, sentence="Broken data in temp.", findings=[FAULT, DRIFT]
)
WORSE = replace(NONE, severity="major", sentence="Major drift: (quality).", findings=[LOSS])
UNCONFIRMED = Wait(None, "unconfirmed", "major drift in 1 of the last 3 windows, 2 are needed")
STUCK = Wait(1_795_527_146.0, "cannot_improve", "3 runs in a row brought no better model")
BLOCKED = Refuse("data_fault", "live data is broken")
SINCE = {"temp": "2026-11-24T09:30:00+00:00"}


@pytest.mark.parametrize(
    ("report", "answer", "subject"),
    [
        (MAJOR, UNCONFIRMED, "rides: major drift in temp"),
        (BROKEN, BLOCKED, "rides: data fault in temp"),
        (WORSE, UNCONFIRMED, "rides: quality loss"),
        (replace(WORSE, findings=[LOSS, DRIFT]), UNCONFIRMED, "rides: quality loss and drift in temp"),
        (MAJOR, STUCK, "rides: major drift in temp, cannot improve"),
    ],
)
def test_a_subject_tells_a_fault_from_drift_and_from_lost_quality(
    report: DriftReport, answer: Answer, subject: str
) -> None:
    assert notice_of(SPEC, report, answer, SINCE, []).subject == subject


@pytest.mark.parametrize("name", ["température\n\x00\u202e", "x" * 400, "列"])
def test_a_subject_is_ascii_in_one_line_of_a_hundred_characters(name: str) -> None:
    findings = [replace(DRIFT, feature=f"{name}{n}") for n in range(9)]

    subject = notice_of(SPEC, replace(MAJOR, findings=findings), STUCK, SINCE, []).subject

    assert len(subject) <= 100
    assert all(" " <= character <= "~" for character in subject)
    assert subject.startswith("rides: major drift in ")
    assert subject.endswith(", cannot improve")


def test_the_first_line_says_what_how_much_since_when_what_comes_next_and_what_to_do() -> None:
    windows = ["2026-11-24T09:30:00+00:00 major", "2026-11-24T10:30:00+00:00 major"]
    notice = notice_of(SPEC, BROKEN, BLOCKED, SINCE, windows)

    first, *rest = message("rides", BROKEN, notice, "s3://a/drift.html", "s3://a/report.json").splitlines()

    assert first == (
        "rides: Broken data in temp. temp is 40 in all 900 rows: a dead sensor. "
        "Since the check of 2026-11-24 09:30 UTC, in 2 of the last 2 windows. "
        "Next: Driftwheel does not retrain on broken data; the champion keeps serving. "
        "`driftwheel hours rides` lists the hours that data sets leave out. "
        "You: Mend the source of temp; `driftwheel drift rides` then checks again."
    )
    assert rest == [
        "",
        "- temp: temp drifted strongly: mean 40 → 55.",
        "",
        "Page: s3://a/drift.html",
        "Report: s3://a/report.json",
    ]


def test_a_wait_says_until_when_and_a_start_that_it_starts() -> None:
    started = notice_of(SPEC, MAJOR, Start("drift", "drift", "major drift, 900 labelled rows"), SINCE, [])

    assert notice_of(SPEC, MAJOR, STUCK, SINCE, []).next == (
        "Driftwheel does not retrain yet: 3 runs in a row brought no better model. "
        "It decides again at 2026-11-24 13:32 UTC."
    )
    assert started.next == "Driftwheel retrains now (major drift, 900 labelled rows)."


def test_drift_that_may_not_retrain_says_which_setting_forbids_it() -> None:
    minor = replace(MAJOR, severity="minor")

    notice = notice_of(SPEC, minor, Refuse("nothing_new", "no new file and no drift"), SINCE, [])

    assert notice.reason == "minor drift does not retrain: drift.retrain_at is major"


def test_every_answer_of_the_policy_leaves_a_person_something_to_do_or_nothing() -> None:
    tree = ast.parse(Path(policy.__file__).read_text(encoding="utf-8"))
    place = {"Start": 1, "Wait": 1, "Refuse": 0}
    codes = {
        call.args[place[call.func.id]].value  # type: ignore[attr-defined]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in place
    }

    assert codes - {"asked"} == set(ACTIONS)
