import base64
import json
from pathlib import Path

import pytest

from driftwheel.drift import captured
from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.captured import BATCH_ROWS, lines_of
from driftwheel.drift.cleaned import CleaningReader
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.summaries import is_null
from driftwheel.recipe.columns import INVALID
from driftwheel.recipe.declare import declare
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import load_spec

SPEC = """
model: weather
source: {prefix: data/weather/, key: [id]}
columns:
  id: {type: integer, feature: false}
  origin: {type: category, canonical: {JFK: ["John F Kennedy"]}}
  temp: {type: number, range: [-40, 130]}
  late: {type: number, feature: false}
target: {column: late}
"""


@pytest.fixture(scope="module")
def recipe():
    declared = declare(load_spec(SPEC))
    return load_recipe(declared, {"medians": {}, "modes": {}, "categories": {"origin": ["JFK"]}})


def side(data, encoding):
    if encoding == "BASE64":
        data = base64.b64encode(data.encode()).decode()
    return {"observedContentType": "application/json", "mode": "INPUT", "data": data, "encoding": encoding}


def line(given, answered, encoding="JSON", *, inference="order-1", time="2026-02-14T17:25:49Z"):
    metadata = {"eventId": "aaaaaaaa", "inferenceTime": time}
    if inference:
        metadata["inferenceId"] = inference
    data = {"endpointInput": side(given, encoding)}
    if answered is not None:
        data["endpointOutput"] = side(answered, encoding)
    document = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
    return json.dumps(document).encode() + b"\n"


def answer(*scores):
    return json.dumps({"predictions": [{"score": score} for score in scores]})


def read(recipe, *lines, **window):
    reader = CleaningReader(recipe)
    return reader, list(reader.read([b"".join(lines)], "k.jsonl", **window))


def plain(batch):
    """Missing numbers as None: NaN equals nothing."""
    return {
        name: [None if is_null(value) else value for value in values]
        for name, values in batch.columns.items()
    }


def plain_column(batch, name):
    return plain(batch)[name]


COLD = {"origin": "john f  kennedy", "temp": "31.5"}
WARM = {"origin": "LGA", "temp": 70}


@pytest.mark.parametrize("encoding", ["JSON", "BASE64"])
def test_rows_of_one_request_are_cleaned_as_the_model_cleans_them(recipe, encoding):
    body = json.dumps({"records": [COLD, WARM]})

    _, [batch] = read(recipe, line(body, answer(0.9, 0.1), encoding))

    assert plain(batch) == {"origin": ["JFK", "LGA"], "temp": [31.5, 70.0]}
    assert batch.scores == [0.9, 0.1]
    assert batch.ids == ["order-1/0", "order-1/1"]


@pytest.mark.parametrize("encoding", ["CSV", "BASE64"])
def test_cells_of_csv_are_in_the_order_of_the_inputs(recipe, encoding):
    given = "origin,temp\nJohn F Kennedy,31.5\nLGA,\n"

    _, [batch] = read(recipe, line(given, "0.9\n0.1\n", encoding))

    assert recipe.inputs == ["origin", "temp"]
    assert plain(batch) == {"origin": ["JFK", "LGA"], "temp": [31.5, None]}
    assert (batch.scores, batch.ids) == ([0.9, 0.1], ["order-1/0", "order-1/1"])


def test_a_plain_record_keeps_the_id_of_its_request(recipe):
    _, [batch] = read(
        recipe,
        line(json.dumps(WARM), answer(0.5)),
        line(json.dumps({"records": [WARM]}), answer(0.5), inference="order-2"),
        line(json.dumps([WARM]), "0.5", inference=None),
    )

    assert batch.ids == ["order-1", "order-2/0", "aaaaaaaa/0"]


def test_input_without_output_is_traffic_without_a_score(recipe):
    _, [batch] = read(recipe, line(json.dumps(WARM), None))

    assert (batch.scores, plain(batch)["temp"]) == ([None], [70.0])


def test_malformed_lines_are_counted_by_reason_and_never_fatal(recipe):
    good = line(json.dumps(WARM), answer(0.5))
    reader, [batch] = read(
        recipe,
        b"{half a line\n",
        b"\xff\xfe\n",
        b"\n",
        line("{", answer(0.5)),
        line('"text"', answer(0.5)),
        line("JFK,1,2", "0.5", "CSV"),
        line(json.dumps(WARM), answer(0.5, 0.6)),
        line(json.dumps(WARM), '{"predictions": [{"score": null}]}'),
        line(json.dumps(WARM), "nan", "CSV").replace(b'"CSV"', b'"XML"'),
        line("JFK,1", "nan", "CSV"),
        good,
    )

    assert len(batch) == reader.rows == 1
    assert sum(reader.captured.malformed.values()) == 9
    assert reader.captured.malformed["not a data-capture record"] == 2
    assert len(reader.captured.examples) == 5
    assert reader.captured.examples[0] == "k.jsonl line 1: not a data-capture record"


def test_broken_base64_is_malformed(recipe):
    broken = line("abc", "0.5", "BASE64").replace(base64.b64encode(b"abc"), b"%%%")

    reader, batches = read(recipe, broken)

    assert (batches, sum(reader.captured.malformed.values())) == ([], 1)


def test_a_value_of_the_wrong_type_is_marked_and_the_row_kept(recipe):
    given = json.dumps({"records": [{"origin": 5, "temp": True}, WARM]})

    _, [batch] = read(recipe, line(given, answer(0.9, 0.1)))

    assert plain(batch) == {"origin": [None, "LGA"], "temp": [INVALID, 70.0]}


def test_a_row_without_its_required_value_is_refused_and_counted():
    required = load_spec(SPEC.replace("range: [-40, 130]", "range: [-40, 130], missing: reject"))
    recipe = load_recipe(declare(required), {"medians": {}, "modes": {}, "categories": {"origin": []}})

    reader, [batch] = read(recipe, line(json.dumps({"records": [{"origin": "LGA"}, WARM]}), answer(0.1, 0.2)))

    assert (reader.refused, batch.ids, batch.scores) == (1, ["order-1/1"], [0.2])


def test_requests_outside_the_window_are_left_out(recipe):
    lines = [line(json.dumps(WARM), answer(0.5), time=f"2026-02-14T{hour:02}:00:00Z") for hour in range(5)]

    _, [batch] = read(recipe, *lines, since="2026-02-14T01:00:00Z", until="2026-02-14T03:00:00Z")

    assert batch.times == ["2026-02-14T01:00:00Z", "2026-02-14T02:00:00Z"]


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_lines_do_not_depend_on_how_the_bytes_come(size):
    data = b"one\ntwo\n\nlast without end"

    chunks = [data[i : i + size] for i in range(0, len(data), size)]

    assert list(lines_of(chunks)) == [b"one", b"two", b"", b"last without end"]


def test_plain_requests_are_read_at_once_as_one_by_one(recipe):
    cells = ["LGA,70", " john f kennedy ,1e2", "x,", ",-40", "LGA,warm", "LGA,70\n", "ü,999", "LGA,-0"]
    plain = [
        line(text, f"0.{n}", ("CSV", "BASE64")[n % 2], inference=f"r{n}") for n, text in enumerate(cells)
    ]
    for some in (plain, plain[::2], plain[1::2]):
        _, [together] = read(recipe, *some)
        apart = [batch for one in some for batch in read(recipe, one, line("{", "0.5"))[1]]

        assert together.ids == [f"{one}" for batch in apart for one in batch.ids]
        assert together.scores == [score for batch in apart for score in batch.scores]
        for name in recipe.inputs:
            assert plain_column(together, name) == [v for batch in apart for v in plain_column(batch, name)]


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ("LGA,1\nJFK,2", "0.5\n0.6"),
        ('"LGA",1', "0.5"),
        ("origin,temp\nLGA,1", "0.5"),
        ("origin,temp", ""),
        ("LGA,1,2", "0.5"),
        ("LGA", "0.5"),
        ("", "0.5"),
        ("LGA,1\r\n", "0.5"),
        ('{"origin": "LGA"}', "0.5"),
        ("LGA,1", "nan"),
        ("LGA,1", '{"predictions": [{"score": 0.5}]}'),
        ("LGA,1", None),
        ("LGA,1", "0.5,0.7"),
    ],
)
@pytest.mark.parametrize("encoding", ["CSV", "BASE64"])
def test_one_request_unlike_the_others_changes_nothing_for_them(recipe, given, answered, encoding):
    usual = [line("LGA,1", "0.1", "CSV", inference="a"), line("JFK,2", "0.2", "CSV", inference="c")]
    odd = line(given, answered, encoding, inference="b")

    reader, batches = read(recipe, usual[0], odd, usual[1])
    alone, single = read(recipe, odd, b"no record\n")

    ids = [one for batch in batches for one in batch.ids]
    assert [one for one in ids if one[0] == "b"] == [one for batch in single for one in batch.ids]
    assert [one for one in ids if one[0] != "b"] == ["a/0", "c/0"]
    assert reader.captured.requests == 3
    assert sum(reader.captured.malformed.values()) == sum(alone.captured.malformed.values()) - 1


def test_a_record_spread_over_two_lines_is_no_record(recipe):
    first, second = line("LGA,1", "0.1", "CSV"), line("JFK,2", "0.2", "CSV")

    reader, [batch] = read(recipe, first, second.replace(b'"captureData":', b'"captureData":\n'), b"\n")

    assert (reader.captured.requests, reader.rows, len(batch)) == (3, 1, 1)
    assert reader.captured.examples == [f"k.jsonl line {n}: not a data-capture record" for n in (2, 3)]


@pytest.mark.parametrize("block", [1, 500, 1 << 20])
@pytest.mark.parametrize("size", [1, 64, 1 << 20])
def test_blocks_do_not_depend_on_how_the_bytes_come(recipe, monkeypatch, block, size):
    monkeypatch.setattr(captured, "BLOCK", block)
    data = b"".join(line("LGA,1", "0.1", "CSV", inference=f"r{n}") for n in range(5)) + b"\n{"

    reader = CleaningReader(recipe)
    batches = list(reader.read([data[at : at + size] for at in range(0, len(data), size)], "k.jsonl"))

    assert [one for batch in batches for one in batch.ids] == [f"r{n}/0" for n in range(5)]
    assert reader.captured.examples == ["k.jsonl line 7: not a data-capture record"]


def test_a_large_file_comes_in_batches(recipe):
    body = json.dumps({"records": [WARM] * 5_000})

    _, batches = read(recipe, *[line(body, answer(*[0.5] * 5_000))] * 9)

    assert [len(batch) for batch in batches] == [BATCH_ROWS, BATCH_ROWS, 5_000]


def truth(row_id, data, encoding="CSV"):
    record = {
        "groundTruthData": {"data": data, "encoding": encoding},
        "eventMetadata": {"eventId": row_id},
        "eventVersion": "0",
    }
    return json.dumps(record).encode() + b"\n"


def test_a_later_label_corrects_an_earlier_one():
    labels = LabelReader()

    labels.read([truth("a", "1") + truth("b", "0")], "labels/m/1.jsonl")
    labels.read([truth("a", "0") + truth("b", 0, "JSON")], "labels/m/2.jsonl")

    assert (labels.known, labels.corrected) == ({"a": 0.0, "b": 0.0}, 1)


def test_labels_may_come_as_csv():
    labels = LabelReader()

    labels.read([b"\xef\xbb\xbfinference_id,label\r\n", b"a,1\r\nb,true\r\nc,2.5\r\n"], "labels/m/1.csv")

    assert labels.known == {"a": 1.0, "b": 1.0, "c": 2.5}


def test_malformed_labels_are_counted_and_passed_over():
    labels = LabelReader()

    labels.read(
        [b"{}\n" + truth("a", "late") + truth("", "1") + truth("b", "nan") + truth("c", "1")], "1.jsonl"
    )
    labels.read([b"id,label\na,1\n"], "2.csv")
    labels.read([b"inference_id,label\n,1\nd\ne,0\n"], "3.csv")

    assert labels.known == {"c": 1.0, "e": 0.0}
    assert sum(labels.malformed.values()) == 7
    assert "2.csv line 1: the header must name inference_id and label" in labels.examples


def test_a_single_row_may_be_labelled_with_or_without_its_number(recipe):
    _, [batch] = read(
        recipe,
        line(json.dumps(WARM), answer(0.5), inference="a"),
        line(json.dumps({"records": [WARM]}), answer(0.5), inference="b"),
        line(json.dumps(WARM), answer(0.5), inference="c"),
    )

    assert batch.labels({"a/0": 1.0, "b": 0.0}) == [1.0, 0.0, None]


def test_a_window_is_read_from_files_and_joined_with_its_labels(recipe):
    columns = {"origin": ["JFK", "LGA"] * 50, "temp": [31.5, 70.0] * 50}
    kinds = {"origin": "category", "temp": "number"}
    baseline = build_baseline(columns, kinds, [0.2, 0.8], [0.0, 1.0], {})
    labels = LabelReader()
    labels.read([truth("order-1/0", "1") + truth("order-9", "1")], "labels/m/1.jsonl")
    first = line(json.dumps({"records": [COLD, WARM]}), answer(0.9, 0.1))
    second = line(json.dumps(WARM), answer(0.4), inference="order-2", time="2026-02-15T00:00:00Z")

    window = read_window(baseline, recipe, [("a.jsonl", [first, b"oops\n"]), ("b.jsonl", [second])], labels)

    assert window.summary.rows == 3
    assert window.about["labelled_rows"] == 1
    assert (window.about["first"], window.about["last"]) == ("2026-02-14T17:25:49Z", "2026-02-15T00:00:00Z")
    assert window.about["malformed"] == {"captures": {"not a data-capture record": 1}, "labels": {}}
    assert (window.quality.labelled, window.quality.predicted) == (1, 3)
    assert window.about["requests"] == 3


@pytest.mark.parametrize("plain", [True, False])
def test_requests_of_other_hours_in_the_same_file_are_not_counted(recipe, plain):
    asked = ("JFK,31.5", "0.4", "CSV") if plain else (json.dumps(WARM), answer(0.4))
    baseline = build_baseline({"temp": [1.0, 2.0]}, {"temp": "number"}, [0.2, 0.8], [0.0, 1.0], {})
    body = b"".join(line(*asked, inference=f"i{n}", time=f"2026-02-15T0{n}:00:00Z") for n in range(4))

    window = read_window(
        baseline,
        recipe,
        [("a.jsonl", [body])],
        LabelReader(),
        since="2026-02-15T01:00:00Z",
        until="2026-02-15T03:00:00Z",
    )

    assert (window.about["requests"], window.about["rows"]) == (2, 2)


def test_the_flights_example_can_be_read_back(tmp_path):
    spec = load_spec(Path("examples/flights/model.yaml").read_text(encoding="utf-8"))
    recipe = load_recipe(
        declare(spec),
        {
            "medians": dict.fromkeys(spec.columns, 1.0),
            "modes": {},
            "categories": {name: [] for name in spec.columns},
            "encodings": {name: {"prior": 0.0, "keys": [], "means": []} for name in spec.encode},
        },
    )
    record = {"time_hour": "2013-06-01T10:00:00Z", "carrier": "UA", "temp": 71.6}

    reader, [batch] = read(recipe, line(json.dumps(record), answer(0.5)))

    assert set(batch.columns) == set(recipe.inputs)
    assert plain(batch)["temp"] == [71.6]
    assert reader.refused == 0


def test_a_row_is_refused_for_a_required_column_that_nobody_collects():
    required = load_spec(SPEC.replace("range: [-40, 130]", "range: [-40, 130], missing: reject"))
    recipe = load_recipe(declare(required), {"medians": {}, "modes": {}, "categories": {"origin": []}})
    reader = CleaningReader(recipe, columns=["origin"])

    [batch] = reader.read([line("LGA,", "0.1", "CSV") + line("JFK,2", "0.2", "CSV", inference="b")])

    assert (reader.refused, batch.ids, list(batch.columns)) == (1, ["b/0"], ["origin"])


def test_the_values_of_a_column_are_told_as_they_were_sent(recipe):
    [batch] = read(recipe, line("LGA,1\nJFK,\nLGA,2.5", "0.1\n0.2\n0.3", "CSV"))[1]

    assert batch.values("temp", "number") == [1.0, None, 2.5]
    assert batch.values("origin", "category") == ["LGA", "JFK", "LGA"]
