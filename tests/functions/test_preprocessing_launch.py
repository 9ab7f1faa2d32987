"""A large data set on its way through Spark: what is copied, asked for, and published afterwards."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
import pytest

from driftwheel.aws.objects import Objects
from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.errors import ArtifactInvalid, CapacityExceeded, NameTaken
from driftwheel.jobs.code import sources, spark_bundle
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Run
from driftwheel.steps.preprocessing_launch import launch
from driftwheel.steps.training_launch import Place
from driftwheel.steps.waiting import Waiting
from driftwheel_local.sagemaker.validation import operation, validate
from tests.security.boundary import acting_as
from tests.security.iam import KEY, VPC
from tests.security.sent import faults

from .conftest import Context, World
from .test_job_callback import Recorder
from .test_preprocessing import RUN, Events, champion, files, flights, freeze

RUN_ID = RUN.rpartition("/")[2]
NAME = f"driftwheel-flights-{RUN_ID}"
PLACE = Place(
    "driftwheel", "driftwheel-artifacts", "arn:aws:iam::123456789012:role/driftwheel-sagemaker", KEY, VPC
)
STAGED = f"staging/flights/{RUN_ID}"
Launch = Callable[..., str]


@pytest.fixture
def sagemaker() -> Recorder:
    return Recorder()


@pytest.fixture
def start(world: World, event: Events, sagemaker: Recorder, tmp_path: Path) -> Launch:
    sagemaker.role = ("preprocessing_launch", "sagemaker")

    def call(**changes: Any) -> str:
        given = event("preprocessing_launch")
        run = Run.model_validate(given["run"] | changes)
        waiting = Waiting(given["task_token"], given["execution_arn"], "2026-01-02T03:04:05+00:00")
        with acting_as("preprocessing_launch"):
            objects = Objects(boto3.client("s3"))
            tokens = Tokens(Table(boto3.resource("dynamodb").Table("ledger")))
        return launch(run, waiting, PLACE, spark_bundle(), objects, tokens, sagemaker, tmp_path)

    return call


@pytest.fixture
def publish(world: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PREPROCESSING_MEMORY_MB", "500")

    def call() -> dict[str, Any]:
        run = event("preprocessing") | {"preprocessing_launch": SECTION}
        answer: dict[str, Any] = world.load("preprocessing").handler(run, context)
        return answer

    return call


def body(world: World, key: str) -> bytes:
    found: bytes = world.client("s3").get_object(Bucket=world.artifacts, Key=key)["Body"].read()
    return found


@pytest.mark.case("SE-14")
def test_the_job_gets_the_frozen_versions_the_plan_and_the_code_and_nothing_else(
    world: World, start: Launch, sagemaker: Recorder
) -> None:
    freeze(world, files())
    world.put(world.landing, "data/flights/a.csv", b"overwritten meanwhile")

    assert start() == NAME

    (request,) = sagemaker.asked("create_processing_job")
    validate(operation("sagemaker", "CreateProcessingJob"), request)
    assert list(faults("CreateProcessingJob", request, VPC)) == []
    inputs = {item["InputName"]: item["S3Input"] for item in request["ProcessingInputs"]}
    assert set(inputs) == {"code", "plan", "source", "enrich-0"}
    plan = json.loads(body(world, f"{RUN}/preprocessing_launch/plan/plan.json"))
    staged = {file["key"]: f"{STAGED}/{file['role']}/{file['name']}" for file in plan["files"]}
    assert body(world, staged["data/flights/a.csv"]) == flights(range(1, 20))
    assert {uri["S3Uri"] for name, uri in inputs.items() if name not in {"code", "plan"}} == {
        f"s3://{world.artifacts}/{STAGED}/{role}/" for role in ("source", "enrich-0")
    }
    code = inputs["code"]["S3Uri"].partition(f"{world.artifacts}/")[2]
    with zipfile.ZipFile(io.BytesIO(body(world, f"{code}driftwheel.zip"))) as archive:
        assert "driftwheel/jobs/preprocess_spark.py" in archive.namelist()
    assert request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].endswith("/preprocessing")


def test_the_package_needs_nothing_that_sparks_image_is_not_known_to_have() -> None:
    found = sources(["driftwheel.jobs.preprocess_spark"])

    assert "driftwheel/dataset/finish.py" in found
    assert not {"driftwheel/spec.py", "driftwheel/run.py", "driftwheel/dataset/duck.py"} & set(found)


def test_a_retry_parks_anew_and_attaches_to_the_job_of_the_same_run(
    world: World, start: Launch, sagemaker: Recorder
) -> None:
    freeze(world, files())
    start()
    (request,) = sagemaker.asked("create_processing_job")
    same = {key: request[key] for key in ("RoleArn", "AppSpecification", "Environment")}
    sagemaker.answers |= {"create_processing_job": "ResourceInUse", "describe_processing_job": same}

    assert start() == NAME

    (parked,) = Tokens(world.table).all()
    assert (parked.arn, parked.kind) == (
        f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{NAME}",
        "processing_job",
    )
    sagemaker.answers["describe_processing_job"] = same | {"Environment": {"DRIFTWHEEL_RUN": "other"}}
    with pytest.raises(NameTaken, match="Environment"):
        start()
    sagemaker.answers["create_processing_job"] = "ResourceLimitExceeded"
    with pytest.raises(CapacityExceeded):
        start()


def test_a_version_that_was_deleted_is_left_out_and_named(world: World, start: Launch) -> None:
    freeze(world, files() | {"data/flights/b.csv": flights(range(20, 25))})
    frozen = world.read(f"{RUN}/data.json")
    entry = next(entry for entry in frozen["objects"] if entry["key"].endswith("b.csv"))
    world.client("s3").delete_object(Bucket=world.landing, Key=entry["key"], VersionId=entry["version"])

    start()

    plan = json.loads(body(world, f"{RUN}/preprocessing_launch/plan/plan.json"))
    assert {file["key"] for file in plan["files"]} == {"data/flights-weather/w.csv", "data/flights/a.csv"}
    assert plan["gone"][0][0] == "data/flights/b.csv"
    assert plan["gone"][0][1]["code"] == "object-gone"


def test_captured_labels_the_champions_judge_and_its_rows_travel_in_the_plan(
    world: World, event: Events, publish: Any, start: Launch, tmp_path: Path
) -> None:
    freeze(world, files())
    spark_leaves(world, event, tmp_path / "champion")
    section = publish()
    request = {"records": [{"carrier": "UA", "origin": "EWR"}]}
    sides = {
        "endpointInput": {"data": json.dumps(request), "encoding": "JSON", "mode": "INPUT"},
        "endpointOutput": {
            "data": json.dumps({"predictions": [{"score": 0.5}]}),
            "encoding": "JSON",
            "mode": "OUTPUT",
        },
    }
    metadata = {"eventId": "e", "inferenceId": "X", "inferenceTime": "2013-02-01T00:00:00Z"}
    line = json.dumps({"captureData": sides, "eventMetadata": metadata}).encode() + b"\n"
    capture = world.put(world.artifacts, "capture/flights/x.jsonl", line)
    late = {"labels/flights/late.csv": b"inference_id,label\nX/0,1\n"}
    captures = [{"bucket": capture["bucket"], "key": capture["key"]}]
    freeze(world, files(**late), captures=captures, rollover=True)
    spec = event("preprocessing_launch")["run"]["spec"] | {"split": {"by": "stratified"}}

    start(spec=spec, champion=champion(world, event, section))

    plan = json.loads(body(world, f"{RUN}/preprocessing_launch/plan/plan.json"))
    assert plan["captured"]["labelled"] == 1
    assert b"X/0" in body(world, f"{RUN}/preprocessing_launch/plan/captured.csv")
    assert plan["pinned"]["sha256"] == section["holdout_digest"]
    pinned = body(world, f"{RUN}/preprocessing_launch/plan/pinned.jsonl.gz")
    assert hashlib.sha256(pinned).hexdigest() == section["holdout_digest"]
    assert json.loads(body(world, f"{RUN}/preprocessing_launch/plan/baseline.json"))["model"] == "flights"
    assert plan["taught"] == ["champion-train.parquet", "champion-validation.parquet"]
    for name in plan["taught"]:
        was = body(world, f"{RUN}/preprocessing/{name.removeprefix('champion-')}")
        assert body(world, f"{RUN}/preprocessing_launch/plan/{name}") == was


def test_the_job_gets_nothing_that_was_asked_in_a_held_hour(
    world: World, event: Events, start: Launch
) -> None:
    sides = {
        "endpointInput": {"data": json.dumps({"records": [{}]}), "encoding": "JSON", "mode": "INPUT"},
        "endpointOutput": {"data": "0.5", "encoding": "CSV", "mode": "OUTPUT"},
    }
    lines = [
        {
            "captureData": sides,
            "eventMetadata": {
                "eventId": "e",
                "inferenceId": f"X{hour}",
                "inferenceTime": f"2013-02-01T{hour}:30:00Z",
            },
        }
        for hour in ("08", "09")
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    capture = world.put(world.artifacts, "capture/flights/x.jsonl", text)
    late = {"labels/flights/late.csv": b"inference_id,label\nX08/0,1\nX09/0,1\n"}
    captures = [{"bucket": capture["bucket"], "key": capture["key"]}]
    freeze(world, files(**late), captures=captures, held_hours=["2013-02-01T08"])

    start()

    plan = json.loads(body(world, f"{RUN}/preprocessing_launch/plan/plan.json"))
    counts = plan["captured"]
    assert (counts["labelled"], counts["held"], counts["held_hours"]) == (1, 1, 1)
    staged = body(world, f"{RUN}/preprocessing_launch/plan/captured.csv")
    assert (b"X09" in staged, b"X08" in staged) == (True, False)


def spark_leaves(world: World, event: Events, folder: Path) -> dict[str, Any]:
    """Put a data set into the run's place as the job does; both engines write the same files."""
    run = Run.model_validate(event("preprocessing"))
    folder.mkdir(exist_ok=True)
    local = []
    for n, (key, content) in enumerate(files().items()):
        path = folder / f"dropped-{n}"
        path.write_bytes(content)
        local.append(DataFile("enrich-0" if "weather" in key else "source", key, path))
    prepared = prepare(run.spec, Inputs(files=local), folder, memory_mb=300)
    described = {}
    for path in folder.iterdir():
        if path.suffix in {".parquet", ".json", ".jsonl", ".gz"}:
            content = path.read_bytes()
            described[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            world.put(world.artifacts, f"{RUN}/preprocessing/{path.name}", content)
    document = asdict(prepared) | {"refused": [], "problem": None, "files": described}
    world.put(world.artifacts, f"{RUN}/preprocessing/prepared.json", json.dumps(document).encode())
    return document


SECTION = {
    "processing_job": NAME,
    "processing_job_arn": f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{NAME}",
    "output_uri": f"s3://driftwheel-artifacts/{RUN}/preprocessing",
    "seconds": 60,
}


def test_what_spark_prepared_is_published_without_passing_through_the_function(
    world: World, event: Events, publish: Any, tmp_path: Path
) -> None:
    freeze(world, files())
    document = spark_leaves(world, event, tmp_path)

    section = publish()

    assert (section["outcome"], section["data_digest"]) == ("ready", document["data_digest"])
    manifest = world.read(f"{RUN}/preprocessing/manifest.json")
    assert manifest["files"]["train.parquet"] == document["files"]["train.parquet"]
    holdout = body(world, section["holdout_uri"].split("/", 3)[3])
    assert hashlib.sha256(holdout).hexdigest() == section["holdout_digest"]


def test_the_outcome_of_another_version_or_a_missing_file_is_no_data_set(
    world: World, event: Events, publish: Any, tmp_path: Path
) -> None:
    freeze(world, files())
    document = spark_leaves(world, event, tmp_path)
    world.client("s3").delete_object(Bucket=world.artifacts, Key=f"{RUN}/preprocessing/train.parquet")
    with pytest.raises(ArtifactInvalid, match=r"train\.parquet is missing"):
        publish()

    world.put(
        world.artifacts,
        f"{RUN}/preprocessing/prepared.json",
        json.dumps(document | {"unknown": 1}).encode(),
    )
    with pytest.raises(ArtifactInvalid, match=r"prepared\.json"):
        publish()


def test_what_spark_refused_is_set_aside_as_ever(world: World, publish: Any) -> None:
    freeze(world, files())
    refusal = {"code": "encoding", "message": "not UTF-8", "key": "data/flights/a.csv"}
    document = {
        "outcome": "refused",
        "rows": {},
        "refused": [["data/flights/a.csv", refusal]],
        "problem": {"code": "no-data", "message": "every source file of the data set was refused"},
        "files": {},
    }
    world.put(world.artifacts, f"{RUN}/preprocessing/prepared.json", json.dumps(document).encode())

    section = publish()

    assert section["outcome"] == "refused"
    assert [reason["code"] for reason in section["refused"]] == ["encoding", "no-data"]
