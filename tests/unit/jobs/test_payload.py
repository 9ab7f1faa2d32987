import json

import numpy as np
import pytest

from driftwheel.jobs.payload import JSON, RequestRefused, answer_type, parse, render

INPUTS = ["temp", "origin"]


def refused(body, content_type=JSON, inputs=INPUTS):
    with pytest.raises(RequestRefused) as caught:
        parse(body, content_type).named(inputs, frozenset())
    return caught.value


@pytest.mark.parametrize(
    "document",
    [
        {"records": [{"temp": 1, "origin": "JFK"}]},
        {"record": {"temp": 1, "origin": "JFK"}},
        {"temp": 1, "origin": "JFK"},
        [{"temp": 1, "origin": "JFK"}],
    ],
)
@pytest.mark.parametrize("as_bytes", [True, False])
def test_four_json_shapes_mean_the_same_record(document, as_bytes):
    body = json.dumps(document)

    rows = parse(body.encode() if as_bytes else body, "application/json; charset=utf-8")

    assert rows.named(INPUTS, frozenset(INPUTS)) == [{"temp": 1, "origin": "JFK"}]


def test_a_model_may_have_a_column_called_record():
    rows = parse('{"record": "LP", "temp": 1}', JSON)

    assert rows.named(["record"], {"record"}) == [{"record": "LP", "temp": 1}]


@pytest.mark.case("DE-13")
def test_an_absent_field_is_a_400_that_names_it_unless_the_column_is_optional():
    rows = parse('[{"temp": null, "origin": "JFK"}, {"temp": 1}]', JSON)

    with pytest.raises(RequestRefused) as caught:
        rows.named(INPUTS, frozenset(INPUTS))

    assert (caught.value.status_code, caught.value.row, caught.value.field) == (400, 1, "origin")
    assert caught.value.message == "row 1, field origin: is absent; send null where a value is missing"
    with pytest.raises(RequestRefused, match="field temp: is absent, and so are origin; send null"):
        parse('{"note": 1}', JSON).named(INPUTS, frozenset(INPUTS))
    assert len(rows.named(INPUTS, {"temp"})) == 2


def test_csv_cells_are_named_by_the_recipes_inputs_and_its_header_is_no_row():
    expected = [{"temp": "1.5", "origin": "JFK"}, {"temp": "", "origin": "a,b"}]

    assert parse('1.5,JFK\n,"a,b"\n', "text/csv").named(INPUTS, frozenset()) == expected
    assert parse('temp,origin\n1.5,JFK\n,"a,b"\n\n', "text/csv").named(INPUTS, frozenset()) == expected


@pytest.mark.case("DE-13")
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("", 400, "empty"),
        ("   ", 400, "empty"),
        ("[]", 400, "no record"),
        ('{"records": []}', 400, "no record"),
        ("{}", 400, "row 0"),
        ("{", 400, "not JSON"),
        ("1", 400, "must be an object"),
        ('"text"', 400, "must be an object"),
        ("null", 400, "must be an object"),
        ('{"records": {"a": 1}}', 400, "list"),
        ('{"records": [{"a": 1}, 3]}', 400, "row 1"),
        ('{"record": 3}', 400, "row 0"),
        ('[{"temp": 1}, {"temp": NaN}]', 400, "row 1, field temp"),
        ('[{"temp": -Infinity}]', 400, "row 0, field temp"),
        ('[{"temp": 1e999}]', 400, "row 0, field temp"),
        ("[" * 100_000, 400, "too deep"),
        ('{"a": ' + "9" * 5_000 + "}", 400, "too long"),
        (b"\xff\xfe{}", 400, "UTF-8"),
        (b"\x1f\x8b\x08\x00", 400, "UTF-8"),
        (json.dumps([{"a": 1}] * 10_001), 413, "10000"),
    ],
)
def test_a_bad_json_body_is_a_4xx_that_says_where(body, status, words):
    refusal = refused(body)

    assert refusal.status_code == status
    assert words in refusal.message
    assert refusal.phrase
    assert json.loads(refusal.body())["error"]["message"] == refusal.message


@pytest.mark.case("DE-13")
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("", 400, "no record"),
        ("temp,origin\n", 400, "below the header"),
        ("1,JFK\n2\n", 400, "row 1: has 1 cells, expected 2: temp,origin"),
        ("1,JFK,3\n", 400, "row 0"),
        ('1,"JFK\n', 400, "not CSV"),
        ("1,JFK\n" * 10_001, 413, "10001"),
    ],
)
def test_a_bad_csv_body_is_a_4xx_that_says_where(body, status, words):
    refusal = refused(body, "text/csv")

    assert refusal.status_code == status
    assert words in refusal.message


@pytest.mark.parametrize(
    "kind", ["application/x-npy", "text/plain", "application/json; charset=latin-1", "x" * 500]
)
def test_another_content_type_is_415(kind):
    assert refused("{}", kind).status_code == 415


def test_exactly_ten_thousand_records_are_accepted():
    assert len(parse(json.dumps([{"a": 1}] * 10_000), JSON).records) == 10_000


def test_the_answer_comes_in_the_type_asked_for():
    scores = np.array([0.25, 1.0])

    assert render(scores, "application/json") == ('{"predictions": [{"score": 0.25}, {"score": 1.0}]}', JSON)
    assert render(scores, "text/csv") == ("0.25\n1.0\n", "text/csv")


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/csv;q=0, image/*"])
def test_nothing_acceptable_is_406(accept):
    with pytest.raises(RequestRefused) as caught:
        answer_type(accept)

    assert caught.value.status_code == 406


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", "text/csv;q=odd, application/json"])
def test_json_is_the_default_answer(accept):
    assert answer_type(accept) == JSON


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_never_leaves(bad):
    with pytest.raises(RequestRefused) as caught:
        render(np.array([0.5, bad]), JSON)

    assert caught.value.status_code == 500
