"""Predictions and drift checks, asked for by a person."""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel.deployment import Canary
from driftwheel_cli import traffic

from .conftest import Recorder, World

REPORT: dict[str, Any] = {
    "severity": "major",
    "sentence": "Major drift: temp",
    "rows": 5000,
    "baseline_rows": 9000,
    "minimum_rows": 500,
    "tests_made": 24,
    "significance": 0.01,
    "findings": [
        {
            "feature": "humid",
            "kind": "fault",
            "code": "unit_changed",
            "sentence": "humid is 100 times smaller",
        }
    ],
    "features": [
        {
            "name": "temp",
            "weight": 0.3,
            "status": "drifted",
            "moved": [{"name": "from 70", "before": 0.1, "now": 0.4}],
            "tests": [
                {
                    "kind": "psi",
                    "effect": 1.25,
                    "p_value": 1e-9,
                    "adjusted": 2e-8,
                    "slight": 0.1,
                    "strong": 0.2,
                    "noise": 0.01,
                    "magnitude": "strong",
                },
                {
                    "kind": "missingness",
                    "effect": 0.0,
                    "p_value": 1.0,
                    "adjusted": 1.0,
                    "slight": 0.01,
                    "strong": 0.1,
                    "noise": 0.01,
                    "magnitude": "none",
                },
            ],
        }
    ],
    "quality": {
        "metric": "auc",
        "labelled": 800,
        "coverage": 0.4,
        "value": 0.65,
        "low": 0.63,
        "high": 0.67,
        "beside": [{"metric": "f1", "value": 0.5, "low": 0.45, "high": 0.55}],
    },
    "slices": {
        "metric": "auc",
        "measured": [
            {
                "column": "carrier",
                "slice": "UA",
                "rows": 700,
                "coverage": 0.4,
                "value": 0.61,
                "low": 0.58,
                "high": 0.64,
            }
        ],
        "few": 2,
        "not_captured": ["driver"],
    },
    "course": {
        "metric": "auc",
        "by": "hour",
        "periods": [
            {"at": "2026-11-24T09:00Z", "rows": 500, "coverage": 0.2, "value": 0.66, "low": 0.6, "high": 0.72}
        ],
    },
    "domain_classifier": {
        "job": "dw-flights-domain-1",
        "at": "2026-11-24T08:00:00+00:00",
        "state": "failed",
        "reason": "AlgorithmError: no",
    },
    "window": {
        "labels": {"known": 900, "corrected": 12, "repeated": 3},
        "malformed": {"captures": {"no score": 2, "not a data-capture record": 5}, "labels": {}},
    },
}


class Runtime(Recorder):
    """An endpoint that scores record n of a request n/10."""

    def __init__(self) -> None:
        super().__init__(invoke_endpoint=self.answer)
        self.records: list[list[Any]] = []

    def answer(self, **request: Any) -> dict[str, Any]:
        self.records.append(json.loads(request["Body"])["records"])
        scores = [{"score": n / 10} for n in range(len(self.records[-1]))]
        return {"Body": BytesIO(json.dumps({"predictions": scores}).encode())}


@pytest.fixture
def runtime(world: World) -> Runtime:
    world.register()
    world.fakes["sagemaker-runtime"] = Runtime()
    found: Runtime = world.fakes["sagemaker-runtime"]
    return found


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '[{"a": 1}]', '{"records": [{"a": 1}]}', '{"record": {"a": 1}}']
)
def test_a_record_may_be_written_in_every_way_the_endpoint_reads(
    world: World, runtime: Runtime, text: str
) -> None:
    told = world.json("predict", "flights", text, "--inference-id", "id-1")

    assert told == {"predictions": [{"score": 0.0}]}
    assert runtime.records == [[{"a": 1}]]
    (request,) = runtime.asked("invoke_endpoint")
    assert request["EndpointName"] == "driftwheel-flights"
    assert request["InferenceId"] == "id-1"


@pytest.mark.parametrize("refused", [False, True])
def test_a_prediction_is_captured_where_the_callers_are_to_capture(
    world: World, runtime: Runtime, refused: bool
) -> None:
    spec = world.register().model_copy(update={"deployment": Canary(captured_by="writer")})
    world.stack.ledger.models.register(spec, version="v2", at="2026-01-03T00:00:00+00:00")
    world.fakes["s3"] = Recorder(put_object="AccessDenied" if refused else {})

    shown = world.call("predict", "flights", '{"a": 1}', "--inference-id", "id-1")

    assert shown.exit_code == 0
    request = world.fakes["s3"].asked("put_object")[-1]
    assert request["Key"].startswith("capture/flights/driftwheel-flights/serving/")
    assert json.loads(request["Body"])["eventMetadata"]["inferenceId"] == "id-1"
    assert ("not captured" in shown.stderr) is refused


def test_a_csv_file_is_sent_by_column_names(world: World, runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "june.csv"
    file.write_text('carrier,dest\nUA,"A,B"\nB6,\n')

    shown = world.call("predict", "flights", "--file", str(file)).stdout

    assert runtime.records == [[{"carrier": "UA", "dest": "A,B"}, {"carrier": "B6", "dest": ""}]]
    assert "0.1" in shown


def test_many_records_are_sent_in_batches_with_ids_of_their_own(
    world: World, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "MOST_RECORDS", 2)
    file = tmp_path / "june.json"
    file.write_text(json.dumps([{"a": n} for n in range(3)]))

    told = world.json("predict", "flights", "--file", str(file), "--inference-id", "id")

    assert len(told["predictions"]) == 3
    assert [r["InferenceId"] for r in runtime.asked("invoke_endpoint")] == ["id", "id-1"]


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["{"], "RECORD is not JSON", 1),
        (["[1]"], "must be an object of named fields", 1),
        (["[]"], "no record", 1),
        ([], "give one record", 2),
    ],
)
def test_records_that_cannot_be_meant_are_refused_here(
    world: World, runtime: Runtime, arguments: list[str], says: str, code: int
) -> None:
    result = world.call("predict", "flights", *arguments)

    assert result.exit_code == code
    assert says in result.stderr
    assert runtime.calls == []


def test_a_csv_row_with_too_many_cells_is_named(world: World, runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "june.csv"
    file.write_text("a,b\n1,2\n1,2,3\n")

    assert "row 3" in world.call("predict", "flights", "--file", str(file)).stderr
    assert runtime.calls == []


def test_a_file_in_another_encoding_is_named(world: World, runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "june.csv"
    file.write_text("a\n1\n", encoding="utf-16")

    assert "is not UTF-8" in world.call("predict", "flights", "--file", str(file)).stderr


def refused(code: str, **more: str) -> Any:
    def answer(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "said so"}, **more}, "InvokeEndpoint")  # type: ignore[typeddict-unknown-key]

    return answer


def test_the_endpoints_own_words_about_a_bad_field_are_shown(world: World, runtime: Runtime) -> None:
    body = json.dumps({"error": {"message": "row 0, field temp: not a number", "row": 0, "field": "temp"}})
    runtime.answers["invoke_endpoint"] = refused("ModelError", OriginalMessage=body)

    result = world.call("predict", "flights", '{"temp": "x"}')

    assert result.exit_code == 1
    assert "row 0, field temp: not a number" in result.stderr


def test_without_a_champion_there_is_nobody_to_ask(world: World, runtime: Runtime) -> None:
    runtime.answers["invoke_endpoint"] = refused("ValidationError")

    assert "flights has no champion yet" in world.call("predict", "flights", '{"a": 1}').stderr


def test_a_missing_endpoint_of_a_champion_is_quoted(world: World, runtime: Runtime) -> None:
    world.champion()
    runtime.answers["invoke_endpoint"] = refused("ValidationError")

    assert "said so" in world.call("predict", "flights", '{"a": 1}').stderr


def test_an_answer_of_another_shape_is_quoted(world: World, runtime: Runtime) -> None:
    runtime.answers["invoke_endpoint"] = lambda **_: {"Body": BytesIO(b"hello")}

    assert "hello" in world.call("predict", "flights", '{"a": 1}').stderr


@pytest.fixture
def checked(world: World) -> World:
    """A champion whose traffic the deployed function has looked at."""
    world.register()
    world.champion()
    world.put("drift/flights/1/report.json", REPORT)
    told = {"flights": {"severity": "major", "report_uri": "s3://artifacts/drift/flights/1/report.json"}}
    body = json.dumps(told).encode()
    world.fakes["lambda"] = Recorder(invoke=lambda **_: {"Payload": BytesIO(body)})
    return world


def test_a_drift_check_shows_every_test_with_effect_threshold_p_and_verdict(checked: World) -> None:
    shown = checked.call("drift", "flights").stdout

    for words in (
        "Major drift: temp",
        "psi",
        "1.25",
        "0.1 / 0.2",
        "2e-08",
        "strong",
        "unit_changed",
        "1 further tests found nothing",
    ):
        assert words in shown
    assert "800 labelled rows (40%): auc 0.6500 [0.6300, 0.6700]; f1 0.5000 [0.4500, 0.5500]" in shown
    assert "900 labels known: 12 corrected by a later one, 3 came again unchanged" in shown
    assert "7 lines of captures could not be read: not a data-capture record (5); no score (2)" in shown
    assert re.search(r"carrier = UA +700 +40% +0\.6100 \[0\.5800, 0\.6400\]", shown)
    assert "no request carries driver" in shown
    assert "2 further slices: too few labels to measure" in shown
    assert re.search(r"2026-11-24T09:00Z +500 +20% +0\.6600 \[0\.6000, 0\.7200\]", shown)
    assert "domain classifier: failed AlgorithmError: no (job dw-flights-domain-1, window" in shown
    assert "/drift.html" in shown
    request = checked.fakes["lambda"].asked("invoke")[0]
    assert request["FunctionName"] == "driftwheel-drift-check"
    assert json.loads(request["Payload"])["model"] == "flights"


def test_a_window_is_asked_for_in_hours(checked: World) -> None:
    assert checked.call("drift", "flights", "--window", "24").exit_code == 0
    request = checked.fakes["lambda"].asked("invoke")[0]
    assert json.loads(request["Payload"]) == {"kind": "asked", "model": "flights", "window_hours": 24}
    assert checked.call("drift", "flights", "--window", "0").exit_code == 2


def test_every_test_is_shown_when_asked_for(checked: World) -> None:
    assert "missingness" not in checked.call("drift", "flights").stdout
    assert "missingness" in checked.call("drift", "flights", "--all").stdout


def test_a_drift_check_for_machines_is_the_whole_report(checked: World) -> None:
    found = checked.json("drift", "flights")

    assert found["features"] == REPORT["features"]
    assert found["page_uri"] == found["report_uri"].replace("report.json", "drift.html")


def test_a_drift_check_is_written_as_a_page(checked: World, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"

    assert checked.call("drift", "flights", "--html", str(page)).exit_code == 0

    text = page.read_text(encoding="utf-8")
    assert "Major drift: temp" in text
    assert "humid is 100 times smaller" in text
    assert "default-src 'none'" in text


def test_a_function_that_failed_is_quoted(checked: World) -> None:
    failed = {"FunctionError": "Unhandled", "Payload": BytesIO(b'{"errorMessage": "baseline is missing"}')}
    checked.fakes["lambda"].answers["invoke"] = failed

    result = checked.call("drift", "flights")

    assert result.exit_code == 1
    assert "drift_check failed: baseline is missing" in result.stderr


def test_a_model_nobody_serves_is_not_checked(world: World) -> None:
    world.register()

    result = world.call("drift", "flights")

    assert result.exit_code == 1
    assert "no champion yet" in result.stderr
