import json
from types import SimpleNamespace

import pytest

from driftwheel_local.behaviour import Behaviour, BehaviourError
from driftwheel_local.clock import Clock
from driftwheel_local.disorder import Disorder
from driftwheel_local.object_events import Sequencer
from driftwheel_local.sagemaker.jobs import Limits


def world():
    """The parts that a behaviour is told to."""
    return SimpleNamespace(
        sagemaker=SimpleNamespace(limits=Limits()),
        router=SimpleNamespace(disorder=None),
        object_events=SimpleNamespace(sequencer=Sequencer(Clock())),
    )


def told(tmp_path, text):
    path, found = tmp_path / "behaviour.json", world()
    path.write_text(text)
    Behaviour.read(path).tell(found)
    return found


def test_without_a_word_everything_is_as_shipped(tmp_path):
    found = told(tmp_path, "{}")

    assert found.sagemaker.limits == Limits()
    assert found.router.disorder is None
    assert found.object_events.sequencer.digits == (18,)


def test_every_part_hears_its_own(tmp_path):
    given = {
        "sagemaker": {
            "training_outcomes": ["CapacityError: none"],
            "rollback_reason": "",
            "unseen_seconds": 2,
        },
        "events": {"seed": 4, "late": 0.5},
        "s3": {"sequencer_digits": [18, 14]},
    }

    found = told(tmp_path, json.dumps(given))

    limits = found.sagemaker.limits
    assert limits == Limits(training_outcomes=["CapacityError: none"], rollback_reason="", unseen_seconds=2)
    assert found.router.disorder == Disorder(seed=4, late=0.5)
    assert found.object_events.sequencer.digits == [18, 14]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sagemaker": {"outcomes": []}}', "sagemaker.outcomes is unknown; known: .*training_outcomes"),
        ('{"sqs": {}}', "sqs is unknown"),
        ("{", "Expecting"),
        ("[1]", "behaviour.json"),
    ],
)
def test_what_no_part_can_do_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(BehaviourError, match=message):
        told(tmp_path, text)


def test_sequencers_of_any_length_grow_when_padded_on_the_right_with_zeros():
    sequencer = Sequencer(Clock())
    sequencer.digits = (18, 14, 20, 16)

    found = [sequencer.next() for _ in range(200)]

    assert {len(each) for each in found} == {14, 16, 18, 20}
    padded = [each.ljust(20, "0") for each in found]
    assert padded == sorted(set(padded))
    assert found != sorted(found, key=lambda each: int(each, 16))
