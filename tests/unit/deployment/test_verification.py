from datetime import UTC, datetime, timedelta

import botocore.session
import pytest

from driftwheel.deployment.probe import Answered, AnsweredWrong, Probe, compare_answer
from driftwheel.deployment.verification import (
    NO_REASON,
    SPELLINGS,
    Failed,
    NotYet,
    RolledBack,
    Serving,
    Wanted,
    verify,
)

ASKED = datetime(2026, 1, 1, 12, tzinfo=UTC)
WANTED = Wanted("new", instance_count=2, requested_at=ASKED, limit_seconds=1800)


def described(status="InService", config="new", **changes):
    return {
        "EndpointStatus": status,
        "EndpointConfigName": config,
        "LastModifiedTime": ASKED + timedelta(seconds=30),
        "ProductionVariants": [
            {"VariantName": "serving", "CurrentWeight": 1.0, "CurrentInstanceCount": 2, "DesiredWeight": 1.0}
        ],
        **changes,
    }


def variant(**changes):
    return {"VariantName": "serving", "CurrentWeight": 1.0, "CurrentInstanceCount": 2, **changes}


def test_serving_is_status_and_config_and_variant_and_instances():
    assert verify(described(), WANTED) == Serving("new")


@pytest.mark.case("DE-02")
@pytest.mark.case("DE-03")
@pytest.mark.parametrize("reason", [{}, {"FailureReason": ""}, {"FailureReason": None}])
def test_in_service_on_the_old_config_is_a_rollback_even_without_a_reason(reason):
    outcome = verify(described(config="old", **reason), WANTED)

    assert isinstance(outcome, RolledBack)
    assert outcome.serving_config == "old"
    assert NO_REASON in outcome.reason


def test_a_rollback_quotes_the_reason_sagemaker_gave():
    assert "alarm errors" in verify(described(config="old", FailureReason="alarm errors"), WANTED).reason


def test_an_update_that_was_not_seen_yet_is_no_rollback():
    before = described(config="old", LastModifiedTime=ASKED - timedelta(hours=1))
    pending = described(config="old", PendingDeploymentSummary={"EndpointConfigName": "new"})

    assert verify(before, WANTED) == NotYet("Updating")
    assert verify(pending, WANTED) == NotYet("Updating")


@pytest.mark.case("DE-03")
@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(), timedelta(hours=1)])
def test_what_was_seen_before_asking_tells_our_update_from_the_one_before_whatever_our_clock_says(skew):
    rested = ASKED + timedelta(seconds=30)
    wanted = Wanted.of(
        {
            "endpoint_config": "new",
            "instance_count": 2,
            "limit_seconds": 1800,
            "seen_modified": rested.isoformat(),
        },
        (ASKED + skew).isoformat(),
    )

    moved = rested + timedelta(microseconds=1)
    assert verify(described(config="old"), wanted) == NotYet("Updating")
    assert isinstance(verify(described(config="old", LastModifiedTime=moved), wanted), RolledBack)


@pytest.mark.case("DE-04")
def test_every_status_of_the_service_model_has_a_path_and_every_wait_is_bounded():
    statuses = botocore.session.get_session().get_service_model("sagemaker").shape_for("EndpointStatus").enum
    assert set(SPELLINGS.values()) == set(statuses)

    for status in statuses:
        late = verify(described(status, config="old"), WANTED, ASKED + timedelta(seconds=1801))
        early = verify(described(status), WANTED, ASKED + timedelta(seconds=10))
        assert not isinstance(late, NotYet | Serving)
        assert isinstance(early, NotYet) == (
            status in {"Creating", "Updating", "SystemUpdating", "RollingBack"}
        )
        assert getattr(late, "reason", "")


@pytest.mark.case("DE-04")
def test_a_wait_for_an_update_nobody_began_is_bounded_too():
    before = described(config="old", LastModifiedTime=ASKED - timedelta(hours=1))

    assert isinstance(verify(before, WANTED, ASKED + timedelta(hours=1)), Failed)


@pytest.mark.parametrize(
    ("spelled", "outcome"),
    [("IN_SERVICE", Serving), ("UPDATING", NotYet), ("UPDATE_ROLLBACK_FAILED", Failed)],
)
def test_the_spelling_of_events_is_understood(spelled, outcome):
    assert isinstance(verify(described(spelled), WANTED), outcome)


def test_a_status_aws_invents_tomorrow_is_a_failure_that_names_it():
    assert verify(described("Dreaming"), WANTED) == Failed(
        "SageMaker reports a status we do not know: Dreaming"
    )


def test_a_rollback_that_failed_asks_for_a_person():
    assert "person" in verify(described("UpdateRollbackFailed"), WANTED).reason


@pytest.mark.parametrize(
    ("variants", "outcome"),
    [
        ([], Failed),
        ([variant(VariantName="AllTraffic")], Failed),
        ([variant(), variant(VariantName="shadow")], Failed),
        ([variant(CurrentWeight=0.0)], Failed),
        ([variant(CurrentInstanceCount=1)], NotYet),
    ],
)
def test_our_config_with_other_variants_weights_or_counts_is_not_serving(variants, outcome):
    assert isinstance(verify(described(ProductionVariants=variants), WANTED), outcome)


@pytest.fixture
def probe():
    return Probe.from_json('{"records": [{"a": 1}, {"a": 2}], "scores": [0.25, 120.0]}')


def test_the_probe_accepts_the_answers_the_trained_model_gave(probe):
    answer = b'{"predictions": [{"score": 0.2500001}, {"score": 120.0001}]}'

    outcome = compare_answer(probe, answer)

    assert isinstance(outcome, Answered)
    assert outcome.rows == 2


@pytest.mark.case("DE-05")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"predictions": [0.25, 120.0]}',
        b'{"predictions": [{"score": 0.25}]}',
        b'{"predictions": [{"score": 0.25}, {"score": NaN}]}',
        b'{"predictions": [{"score": 0.25}, {"score": null}]}',
        b'{"predictions": [{"score": true}, {"score": 120.0}]}',
        b'{"predictions": [{"score": "0.25"}, {"score": 120.0}]}',
        b'{"predictions": [{"score": 120.0}, {"score": 0.25}]}',
        b'{"predictions": [{"score": 0.2501}, {"score": 120.0}]}',
    ],
)
def test_any_other_answer_is_wrong_and_says_why(probe, answer):
    outcome = compare_answer(probe, answer)

    assert isinstance(outcome, AnsweredWrong)
    assert outcome.reason


@pytest.mark.parametrize("text", ['{"records": [], "scores": []}', '{"records": [{}], "scores": []}'])
def test_a_probe_that_proves_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"probe\.json"):
        Probe.from_json(text)
