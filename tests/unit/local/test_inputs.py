import json

import pytest

from driftwheel_local.inputs import InvalidInputError, check_input, target_input

EVENT = {
    "id": "e-1",
    "source": "shop",
    "resources": ["r1", "r2"],
    "detail": {"state": 'RUN"NING', "n": 3, "deep": {"list": [{"k": "a"}, {"k": "b"}]}, "odd-name_1": True},
}


def received(**target):
    check_input(target)
    return target_input(target, EVENT, rule_arn="arn:rule", rule_name="rule", ingested="2026-01-01T00:00:00Z")


def transformed(template, **paths):
    return received(InputTransformer={"InputPathsMap": paths, "InputTemplate": template})


def test_without_input_settings_the_whole_event_is_sent():
    assert json.loads(received()) == EVENT


def test_a_constant_input_is_sent_as_written():
    assert received(Input='{"a":  1}') == '{"a":  1}'


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", EVENT),
        ("$.detail.n", 3),
        ("$.detail.deep.list[1].k", "b"),
        ("$.detail.deep.list[*].k", ["a", "b"]),
        ("$.resources", ["r1", "r2"]),
        ("$.detail.odd-name_1", True),
        ("$.detail.absent", None),
    ],
)
def test_an_input_path_sends_that_part(path, expected):
    assert json.loads(received(InputPath=path)) == expected


def test_a_variable_outside_quotes_is_json_and_inside_quotes_text():
    text = transformed(
        '{"s": <s>, "t": "is <s>", "n": <n>, "m": "<n>", "o": <o>}',
        s="$.detail.state",
        n="$.detail.n",
        o="$.detail.deep",
    )

    assert json.loads(text) == {
        "s": 'RUN"NING',
        "t": 'is RUN"NING',
        "n": 3,
        "m": "3",
        "o": {"list": [{"k": "a"}, {"k": "b"}]},
    }


def test_a_text_template_is_filled_in_place():
    assert transformed("<n> of <s>", n="$.detail.n", s="$.source") == "3 of shop"
    assert json.loads(transformed('"<s> said <n>"', n="$.detail.n", s="$.detail.state")) == 'RUN"NING said 3'


def test_a_variable_that_leads_nowhere_is_empty():
    assert json.loads(transformed('{"a": "<x>", "b": <x>}', x="$.detail.absent")) == {"a": "", "b": ""}


def test_the_predefined_variables_are_filled():
    text = transformed(
        '{"e": <aws.events.event.json>, "head": <aws.events.event>, "rule": "<aws.events.rule-name>",'
        ' "arn": "<aws.events.rule-arn>", "at": "<aws.events.event.ingestion-time>"}'
    )

    assert json.loads(text) == {
        "e": EVENT,
        "head": {name: value for name, value in EVENT.items() if name != "detail"},
        "rule": "rule",
        "arn": "arn:rule",
        "at": "2026-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Input": "{}", "InputPath": "$"}, "Only one of"),
        ({"Input": "{"}, "not valid JSON"),
        ({"InputPath": "detail"}, r"begin with \$"),
        ({"InputPath": "$.detail[?(@.n>1)]"}, "not a JSON path EventBridge supports"),
        ({"InputTransformer": {"InputPathsMap": {"AWS.x": "$"}, "InputTemplate": "x"}}, "reserved"),
        ({"InputTransformer": {"InputPathsMap": {}, "InputTemplate": "<who>"}}, "<who>, which InputPathsMap"),
        ({"InputTransformer": {"InputPathsMap": {}}}, "needs an InputTemplate"),
        ({"Input": json.dumps("x" * 8200)}, "longer than"),
    ],
)
def test_an_input_setting_that_cannot_work_is_refused(target, message):
    with pytest.raises(InvalidInputError, match=message):
        check_input(target)
