"""The demo's story at small size, on the shipped template: every line a claim of the README."""

import gzip
import hashlib
import json
import random
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftwheel.capture import CaptureWriter, CapturingRuntime
from driftwheel.deployment.endpoint import model_request, update_endpoint_request
from driftwheel.jobs.artifact import MANIFEST, describe, extract, read_members
from driftwheel.jobs.artifact import check as check_artifact
from driftwheel.layout import S3Uri
from driftwheel.ledger.decisions import Decision
from driftwheel.spec import ModelSpec
from driftwheel.steps.deployment import alarm_requests
from driftwheel.vpc import NO_VPC
from tests.security.iam import role_of
from tests.security.test_separation import HOT_PATH

from .conftest import SPEC, Loop, Parcels

TRAFFIC = 4_000
CAPTURED_BY_CALLERS = SPEC.replace("capture: 100", "capture: 100, captured_by: writer").replace(
    "drift: {minimum_rows: 200", f"drift: {{minimum_rows: {TRAFFIC}"
)
"""The demo's turn learns from what the endpoint captured, this one from what its callers did.

A scheduled check that comes amid the traffic has too few rows: its window is the whole, whenever it comes.
"""


def check(loop: Loop) -> dict[str, Any]:
    """Ask for a drift check and read its report."""
    answer = loop.client("lambda").invoke(
        FunctionName=loop.names["drift_check_function"], Payload=json.dumps({"model": "parcels"})
    )
    uri = json.load(answer["Payload"])["parcels"]["report_uri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found: dict[str, Any] = json.load(loop.client("s3").get_object(Bucket=bucket, Key=key)["Body"])
    return found


@pytest.mark.case("EV-12")
def test_dropped_files_become_a_champion_that_answers(loop: Loop, parcels: Parcels) -> None:
    loop.drop("models/parcels/model.yaml", CAPTURED_BY_CALLERS.encode())
    rows = parcels.rows(3_000)
    # The later file first: order of arrival must not matter.
    loop.drop("data/parcels/b.csv", parcels.csv(rows[1_500:]))
    loop.drop("data/parcels/a.csv", parcels.csv(rows[:1_500]))

    run = loop.ended(1)

    assert (run.status, run.kind) == ("promoted", "arrival"), run.outcome
    scores = loop.predict(parcels.rows(3), "hello")
    assert len(scores) == 3
    assert all(0 < score < 1 for score in scores)
    states = {row.key: row.state for row in loop.ledger.objects.of_model("parcels")}
    assert states == {"data/parcels/a.csv": "used", "data/parcels/b.csv": "used"}


ASKED = {"at": "2024-01-05 10:00", "depot": "N", "weight": 20, "rush": 0.5}
WRONG: dict[str, tuple[Any, str, int, str]] = {
    "a list for a number": ({**ASKED, "weight": [1]}, "application/json", 400, "row 0, field weight"),
    "a number for a name": ([ASKED, {**ASKED, "depot": 7}], "application/json", 400, "row 1, field depot"),
    "not a number": ({**ASKED, "weight": float("nan")}, "application/json", 400, "row 0, field weight"),
    "cut off": (json.dumps(ASKED)[:-1], "application/json", 400, "not JSON"),
    "no record": ('{"records": []}', "application/json", 400, "no record"),
    "too many records": ([ASKED] * 10_001, "application/json", 413, "10000"),
    "compressed": (gzip.compress(json.dumps(ASKED).encode()), "application/json", 400, "not JSON"),
    "a cell less": ("1,2\n", "text/csv", 400, "row 0"),
    "a picture": ("x", "image/png", 415, "image/png"),
}


@pytest.mark.case("DE-13")
def test_a_wrong_request_over_http_is_a_4xx_that_names_what_is_wrong(loop: Loop, parcels: Parcels) -> None:
    runtime, served = loop.client("sagemaker-runtime"), loop.endpoint
    dice, whole = random.Random(3), json.dumps({"records": [ASKED] * 3}).encode()

    for what, (body, kind, status, words) in WRONG.items():
        sent = body if isinstance(body, str | bytes) else json.dumps(body)
        with pytest.raises(ClientError) as refused:
            runtime.invoke_endpoint(EndpointName=served, ContentType=kind, Body=sent)
        answer = refused.value.response
        assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", status), what
        assert words in answer["OriginalMessage"], what
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            runtime.invoke_endpoint(EndpointName=served, ContentType="application/json", Body=bytes(damaged))
        except ClientError as refusal:
            assert 400 <= refusal.response["OriginalStatusCode"] < 500  # noqa: PT017  # not all damage is refused
    with pytest.raises(ClientError, match="6291456"):
        runtime.invoke_endpoint(EndpointName=served, ContentType="text/csv", Body=b"1" * 6_291_457)

    assert len(loop.predict(parcels.rows(1) * 10_000, "after")) == 10_000


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
STRUCTURES = st.lists(NUMBERS, max_size=2) | st.dictionaries(TEXTS, NUMBERS, max_size=2)
TIMES = st.datetimes().map(lambda when: when.isoformat(" ", "seconds"))
USABLE = {
    "at": st.none() | TIMES | TEXTS,
    "depot": st.none() | st.sampled_from(["N", " north ", "South"]) | TEXTS,
    "weight": st.none() | NUMBERS | TEXTS,
    "rush": st.none() | NUMBERS | TEXTS,
}
"""Each field's values by its declaration; a text that is no number or time is missing, as in training."""
UNUSABLE = {name: STRUCTURES | st.booleans() for name in ("weight", "rush")}
UNUSABLE |= {name: STRUCTURES | st.booleans() | NUMBERS for name in ("at", "depot")}
FIELDS = {
    name: st.tuples(st.just(value=True), USABLE[name]) | st.tuples(st.just(value=False), UNUSABLE[name])
    for name in USABLE
}
NOTE = {"note": st.tuples(st.just(value=True), STRUCTURES | NUMBERS | TEXTS)}
WHOLE = {name: st.tuples(st.just(value=True), values) for name, values in USABLE.items()}
RECORDS = st.fixed_dictionaries(NOTE | WHOLE) | st.fixed_dictionaries(NOTE, optional=FIELDS)
"""Field → whether it can be used, and its value; nobody declared a note, and no field may be absent."""


@pytest.mark.case("DE-13")
def test_any_request_of_the_schema_over_http_is_answered_or_refused_by_row_and_field(loop: Loop) -> None:
    runtime, served = loop.client("sagemaker-runtime"), loop.endpoint
    seen = set()

    @given(st.lists(RECORDS, min_size=1, max_size=4))
    @settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    def ask(records: list[dict[str, tuple[bool, Any]]]) -> None:
        sent = [{name: value for name, (_, value) in record.items()} for record in records]
        wrong = {
            (row, name)
            for row, record in enumerate(records)
            for name in record.keys() | USABLE
            if name not in record or not record[name][0]
        }
        body = json.dumps({"records": sent})
        seen.add(bool(wrong))
        try:
            answer = runtime.invoke_endpoint(EndpointName=served, ContentType="application/json", Body=body)
        except ClientError as refusal:
            answer = refusal.response
        if wrong:
            told = json.loads(answer["OriginalMessage"])["error"]
            assert answer["OriginalStatusCode"] == 400
            assert (told["row"], told["field"]) in wrong
        else:
            assert len(json.load(answer["Body"])["predictions"]) == len(records)

    ask()
    assert seen == {True, False}
    assert loop.predict([{**ASKED}], "after")


@pytest.mark.case("EV-06")
def test_the_same_file_again_starts_no_run(loop: Loop, parcels: Parcels) -> None:
    bucket = loop.names["landing_bucket"]
    body = loop.client("s3").get_object(Bucket=bucket, Key="data/parcels/a.csv")["Body"].read()

    version = loop.drop("data/parcels/a.csv", body)
    loop.until(lambda: loop.object_of(version), 20, "the second delivery is settled")

    row = loop.object_of(version)
    assert row is not None
    assert (row.state, row.reason.startswith("unchanged: same bytes")) == ("duplicate", True)
    assert len(loop.runs()) == 1


@pytest.mark.case("EV-05")
def test_the_same_rows_under_another_name_are_not_trained_twice(loop: Loop, parcels: Parcels) -> None:
    del parcels
    bucket = loop.names["landing_bucket"]
    body = loop.client("s3").get_object(Bucket=bucket, Key="data/parcels/a.csv")["Body"].read()

    loop.drop("data/parcels/copy.csv", body)

    run = loop.ended(2)
    assert run.status == "unchanged"
    jobs = loop.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert len(jobs) == 1


@pytest.mark.case("DE-01")
def test_worse_data_is_trained_and_rejected_and_the_champion_stays(loop: Loop, parcels: Parcels) -> None:
    before = loop.ledger.champions.get("parcels")

    version = loop.drop("data/parcels/shuffled.csv", parcels.csv(parcels.rows(6_000, shuffled=True)))

    run = loop.ended(3)
    assert run.status == "rejected", run.outcome
    left_out = loop.object_of(version)
    assert left_out is not None
    assert left_out.state == "rejected"
    assert loop.ledger.champions.get("parcels") == before
    assert loop.predict(parcels.rows(1), "still-there")


def decided(loop: Loop) -> list[Decision]:
    """What the policy has answered for the model so far."""
    decisions = loop.ledger.decisions.of_model("parcels", limit=200)
    return [each for each in decisions if each.step == "trigger"]


@pytest.mark.case("DR-03")
@pytest.mark.case("DR-04")
@pytest.mark.case("EV-12")
def test_drift_waits_for_labels_and_then_retrains_once_on_what_was_captured_and_labelled(
    loop: Loop, parcels: Parcels
) -> None:
    before = loop.ledger.champions.get("parcels")
    assert before is not None
    traffic = parcels.rows(TRAFFIC, season=1)
    labels = ["inference_id,label"]
    s3, bucket = loop.client("s3"), loop.names["artifact_bucket"]
    batches = {start: traffic[start : start + 100] for start in range(0, TRAFFIC, 100)}
    for start, batch in batches.items():
        labels += [f"req-{start}/{n},{int(row['late'] == 'true')}" for n, row in enumerate(batch)]
    with CaptureWriter(s3, bucket, "parcels", loop.endpoint) as writer:
        caller = CapturingRuntime(loop.client("sagemaker-runtime"), writer)
        for start, batch in batches.items():
            loop.predict(batch, f"req-{start}", caller)
    assert loop.captured("") == loop.captured("req-") == 40, "the endpoint captures nothing by itself"

    loop.until(lambda: check(loop)["severity"] == "major", 60, "the check calls it major drift")
    waits = "waiting_for_labels-"
    loop.until(lambda: any(each.id.startswith(waits) for each in decided(loop)), 30, "the trigger waits")
    assert len(loop.runs()) == 3

    # Too few to learn from, and wrong: the last word counts, and each row once.
    wrong = [f"{row_id},{1 - int(label)}" for row_id, label in (line.split(",") for line in labels[1:101])]
    loop.drop("labels/parcels/early.csv", "\n".join([labels[0], *wrong]).encode())
    loop.drop("labels/parcels/late.csv", "\n".join(labels).encode())
    loop.until(lambda: check(loop) and loop.running(), 60, "a run is at work")
    with ThreadPoolExecutor() as pool:
        list(pool.map(check, [loop] * 3))
    run = loop.ended(4)
    checked = [each for each in loop.ledger.decisions.of_model("parcels", 200) if each.step == "drift_check"]
    assert [each for each in checked if run.started_at < each.at < run.ended_at and each.outcome == "major"]

    assert (run.status, run.kind) == ("promoted", "drift"), run.outcome
    states = loop.client("stepfunctions")
    listed = states.list_executions(stateMachineArn=loop.names["state_machine_arn"])["executions"]
    kinds = [each.kind for each in loop.runs()]
    assert (len(listed), kinds) == (4, ["drift", "arrival", "arrival", "arrival"]), "outputs start no run"
    after = loop.ledger.champions.get("parcels")
    assert after is not None
    assert (after.sequence, after.endpoint) == (before.sequence + 1, before.endpoint)
    prefix = f"runs/parcels/{run.run_id}/preprocessing/profile.json"
    found = json.loads(s3.get_object(Bucket=bucket, Key=prefix)["Body"].read())["captured"]
    assert (found["rows"], found["labelled"], found["corrected_labels"]) == (TRAFFIC, TRAFFIC, 100)
    assert sum(found["used"].values()) == TRAFFIC


def test_a_poisoned_file_is_quarantined_with_its_reason_and_costs_no_training(
    loop: Loop, parcels: Parcels
) -> None:
    before = len(loop.client("sagemaker").list_training_jobs()["TrainingJobSummaries"])
    body = parcels.csv(parcels.rows(50)).decode().replace(",", ";").encode()

    version = loop.drop("data/parcels/poison.csv", body)
    loop.until(lambda: loop.object_of(version), 60, "the poisoned file is settled")

    row = loop.object_of(version)
    assert row is not None
    assert row.state == "quarantined"
    assert "wrong-delimiter" in row.reason
    assert len(loop.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]) == before


def changed(archive: bytes, folder: Path, answer: Callable[[float], float]) -> Path:
    """Write a champion's artifact with other leaves in its trees, its digests put right."""
    packed = folder / "model.tar.gz"
    packed.write_bytes(archive)
    extract(packed, model := folder / "model")
    document = json.loads((model / "model.json").read_bytes())
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        leaves = [number for number, child in enumerate(tree["left_children"]) if child == -1]
        for number in leaves:
            tree["split_conditions"][number] = answer(tree["split_conditions"][number])
    (model / "model.json").write_text(json.dumps(document), encoding="utf-8")
    manifest = json.loads((model / MANIFEST).read_bytes())
    manifest["files"] = describe(model, manifest["files"])
    (model / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    check_artifact(model)
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(model, ".")
    return packed


def manifest_of(archive: Path) -> str:
    """The digest the gate would have recorded of an archive."""
    return next(
        hashlib.sha256(member.content).hexdigest()
        for member in read_members(archive)
        if member.name == MANIFEST
    )


@pytest.mark.case("DE-05")
@pytest.mark.parametrize(
    ("name", "answer"),
    [("wrong", lambda leaf: -leaf), ("constant", lambda _: 0.0)],
    ids=["wrong", "constant"],
)
def test_a_canary_whose_model_answers_otherwise_than_in_training_gets_no_request(
    loop: Loop, parcels: Parcels, tmp_path: Path, name: str, answer: Callable[[float], float]
) -> None:
    sagemaker, s3, endpoint = loop.client("sagemaker"), loop.client("s3"), loop.endpoint
    before = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    config = sagemaker.describe_endpoint_config(EndpointConfigName=before)
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    where = S3Uri.parse(model["PrimaryContainer"]["ModelDataUrl"])
    archive = s3.get_object(Bucket=where.bucket, Key=where.key)["Body"].read()
    harmed = changed(archive, tmp_path, answer)
    s3.upload_file(str(harmed), where.bucket, f"harmed/{name}/model.tar.gz")
    request = model_request(
        name=name,
        image=model["PrimaryContainer"]["Image"],
        model_data_url=f"s3://{where.bucket}/harmed/{name}/model.tar.gz",
        manifest_sha256=manifest_of(harmed),
        role_arn=model["ExecutionRoleArn"],
        tags={},
        vpc=NO_VPC,
    )
    sagemaker.create_model(**request)
    variants = [config["ProductionVariants"][0] | {"ModelName": name}]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    mode = ModelSpec.model_validate(yaml.safe_load(CAPTURED_BY_CALLERS)).deployment
    asked = parcels.rows(3)
    right = loop.predict(asked, "right")

    alarms = [alarm["AlarmName"] for alarm in alarm_requests(endpoint, "")]
    update = update_endpoint_request(name=endpoint, config_name=name, mode=mode, alarms=alarms)
    sagemaker.update_endpoint(**update)
    answers, began = [], time.monotonic()
    while sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] != "InService":
        assert time.monotonic() - began < 60
        answers.append(loop.predict(asked, "meanwhile"))

    found = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert found["EndpointConfigName"] == before
    assert len(answers) > 3
    assert all(each == right for each in answers)
    logs = loop.client("logs").filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}")[
        "events"
    ]
    assert any("its score differs from the one it had in training" in each["message"] for each in logs)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)


@pytest.mark.case("SM-10")
def test_no_function_of_a_run_listed_anything_but_captured_hours(loop: Loop) -> None:
    """Every call the functions made in the runs above, as the stack judged it."""
    lines = (loop.folder / "permissions.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [(role_of(entry["role"]), entry) for entry in map(json.loads, lines)]

    assert {role for role, _ in calls} >= HOT_PATH - {
        "ApprovalFunctionRole",
        "PreprocessingLaunchFunctionRole",
    }
    listed = [(role, e) for role, e in calls if role in HOT_PATH and ":List" in e["call"]]
    assert {(role, entry["call"]) for role, entry in listed} == {("TriggerFunctionRole", "s3:ListObjectsV2")}
    asked_for = [need for _, entry in listed for need in entry["needs"]]
    assert {context["s3:prefix"] for _, _, context in asked_for} == {"capture/parcels/"}
