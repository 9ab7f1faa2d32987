"""What the product's calls meet at the botocore boundary: throttling, faults, resets, lost answers."""

import json
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.sagemaker.models import sagemaker_backends

from driftwheel.algorithms.images import image_uri
from driftwheel.aws.sagemaker import (
    clear_failed_endpoint,
    create_once,
    existing,
    stop_job,
    update_endpoint,
)
from driftwheel.errors import CapacityExceeded
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Delivered, Objects
from driftwheel.ledger.table import Table
from driftwheel.processing import ProcessingJob, ProcessingPlace, processing_request
from driftwheel.spec import Preprocessing
from driftwheel_local.permissions.gate import Gate
from tests.bench.boundary import CODES, Boundary, Fault
from tests.bench.faults import Faults
from tests.bench.sagemaker import StrictSageMaker
from tests.bench.table import MemoryTable
from tests.security import asked
from tests.security.boundary import FixedFacts, acting_as, find, stand
from tests.security.iam import ACCOUNT, KEY, VPC

from .conftest import ROOT, Context, World
from .test_evaluation_gate import predictions, write_output

ROLE = "arn:aws:iam::123456789012:role/driftwheel-sagemaker"
IMAGE = image_uri("xgboost", "us-east-1")
OUTPUT = "s3://driftwheel-artifacts/runs/flights/r1"
TAGS = [{"Key": "driftwheel:stack", "Value": "driftwheel"}]
JOB = {
    "TrainingJobName": "driftwheel-flights-r1",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": OUTPUT, "KmsKeyId": KEY},
    "ResourceConfig": {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "VolumeSizeInGB": 5,
        "VolumeKmsKeyId": KEY,
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "EnableNetworkIsolation": True,
    "Tags": TAGS,
    **VPC.config(),
}
MODEL = {
    "ModelName": "driftwheel-m",
    "ExecutionRoleArn": ROLE,
    "PrimaryContainer": {"Image": IMAGE},
    "EnableNetworkIsolation": True,
    "Tags": TAGS,
    **VPC.config(),
}
VARIANT = {"VariantName": "serving", "ModelName": "driftwheel-m", "InitialInstanceCount": 1}
CONFIG = {
    "EndpointConfigName": "driftwheel-c",
    "ProductionVariants": [VARIANT | {"InstanceType": "ml.m5.large"}],
    "KmsKeyId": KEY,
    "Tags": TAGS,
}
ENDPOINT = {"EndpointName": "driftwheel-e", "EndpointConfigName": "driftwheel-c"}
PREPARATION = processing_request(
    Preprocessing(),
    ProcessingJob("driftwheel-flights-p1", "flights", "p1", "d" * 64, "driftwheel", {}, OUTPUT),
    ProcessingPlace("us-east-1", ROLE, KEY, VPC),
)
CREATES = {
    "training_job": (JOB, ["TrainingJobName"]),
    "processing_job": (PREPARATION, ["ProcessingJobName"]),
    "model": (MODEL, ["ModelName"]),
    "endpoint_config": (CONFIG, ["EndpointConfigName"]),
    "endpoint": (ENDPOINT | {"Tags": TAGS}, ["EndpointName"]),
}
ACTORS = {
    "training_job": "training_launch",
    "processing_job": "preprocessing_launch",
    "model": "deployment",
    "endpoint_config": "deployment",
    "endpoint": "deployment",
    "model_package": "job_callback",
    "stop": "job_callback",
}
DESCRIBED = [*CREATES, "model_package"]
FAULTS: list[list[Fault]] = [["throttle", "throttle"], ["500"], ["reset"]]


@pytest.fixture
def boundary(
    world: World, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> Iterator[Boundary]:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    sagemaker = world.client("sagemaker")
    for operation, (request, _) in CREATES.items():
        if operation not in {"training_job", "processing_job"}:
            getattr(sagemaker, f"create_{operation}")(**request)
    with Boundary().up() as boundary, pytest.MonkeyPatch.context() as before_it:
        # Also judges what the boundary answers itself; what is asked by hand here shows no use of a right.
        stand(before_it, Gate(ACCOUNT, find, FixedFacts(), asked.note_denial))
        yield boundary
    record_property("count faults at botocore's boundary", boundary.injected.total())


def client_of(operation: str) -> Any:
    """SageMaker's client of the function that makes such a thing, or looks at it, or stops it."""
    with acting_as(ACTORS[operation]):
        return boto3.client("sagemaker")


def camel(operation: str) -> str:
    return "".join(word.title() for word in operation.split("_"))


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("operation", CREATES)
def test_a_creation_that_meets_faults_makes_one_resource(
    boundary: Boundary, operation: str, faults: list[Fault]
) -> None:
    request, names = CREATES[operation]
    boundary.plan[f"Create{camel(operation)}"] = [*faults, "ok"]

    create_once(client_of(operation), operation, request, {name: request[name] for name in names}, {})

    assert boundary.attempts[f"Create{camel(operation)}"] == len(faults) + 1
    assert boundary.executed[f"Create{camel(operation)}"] == 1


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("operation", DESCRIBED)
def test_a_description_that_meets_faults_is_asked_for_again(
    boundary: Boundary, operation: str, faults: list[Fault]
) -> None:
    boundary.plan[f"Describe{camel(operation)}"] = [*faults, "ok"]

    found = existing(client_of(operation), operation, {f"{camel(operation)}Name": "driftwheel-x"})

    assert found is not None
    assert boundary.attempts[f"Describe{camel(operation)}"] == len(faults) + 1


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
def test_an_update_that_meets_faults_is_sent_again(boundary: Boundary, faults: list[Fault]) -> None:
    boundary.plan["UpdateEndpoint"] = [*faults, "ok"]

    update_endpoint(client_of("endpoint"), ENDPOINT)

    assert boundary.executed["UpdateEndpoint"] == 1


REGISTERING = (
    "DescribeModelPackageGroup",
    "CreateModelPackageGroup",
    "CreateModelPackage",
    "UpdateModelPackage",
)


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("operation", REGISTERING)
def test_a_registration_that_meets_faults_makes_one_approved_version(
    world: World,
    boundary: Boundary,
    event: Callable[[str], Any],
    context: Context,
    operation: str,
    faults: list[Fault],
) -> None:
    write_output(world, predictions(0.5, None))
    boundary.plan[operation] = [*faults]

    section = world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    assert boundary.attempts[operation] == len(faults) + 1
    assert [boundary.executed[each] for each in REGISTERING] == [1, 1, 1, 1]
    package = world.client("sagemaker").describe_model_package(ModelPackageName=section["model_package_arn"])
    assert package["ModelApprovalStatus"] == "Approved"


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
@pytest.mark.parametrize("kind", ["training", "processing"])
def test_a_stop_that_meets_faults_is_sent_again(
    boundary: Boundary, kind: Literal["training", "processing"], faults: list[Fault]
) -> None:
    client, (request, (name,)) = client_of(f"{kind}_job"), CREATES[f"{kind}_job"]
    getattr(client, f"create_{kind}_job")(**request)
    (job,) = getattr(sagemaker_backends["123456789012"]["us-east-1"], f"{kind}_jobs").values()
    setattr(job, f"{kind}_job_status", "InProgress")  # moto's are done at once
    boundary.plan[f"Stop{kind.title()}Job"] = [*faults, "ok"]

    assert stop_job(client_of("stop"), kind, request[name])

    assert boundary.attempts[f"Stop{kind.title()}Job"] == len(faults) + 1
    assert boundary.executed[f"Stop{kind.title()}Job"] == 1


@pytest.mark.case("SM-01")
@pytest.mark.parametrize("faults", FAULTS, ids=str)
def test_a_deletion_that_meets_faults_is_sent_again(boundary: Boundary, faults: list[Fault]) -> None:
    boundary.plan["DeleteEndpoint"] = [*faults, "ok"]

    with pytest.raises(CapacityExceeded, match="is being deleted"):
        clear_failed_endpoint(
            client_of("endpoint"), {"EndpointName": "driftwheel-e", "EndpointStatus": "Failed"}
        )

    assert boundary.executed["DeleteEndpoint"] == 1


@pytest.mark.case("SM-14")
@pytest.mark.parametrize("fault", ["denied", "expired", "skewed"])
@pytest.mark.parametrize("operation", CREATES)
def test_what_no_retry_mends_is_asked_once_and_said_in_awss_words(
    boundary: Boundary, operation: str, fault: Fault
) -> None:
    request, names = CREATES[operation]
    boundary.always[f"Create{camel(operation)}"] = fault
    client = client_of(operation)

    with pytest.raises(ClientError, match="said so") as refused:
        create_once(client, operation, request, {name: request[name] for name in names}, {})

    assert refused.value.response["Error"]["Code"] == CODES[fault][1]
    assert refused.value.operation_name == f"Create{camel(operation)}"
    assert boundary.attempts == {f"Create{camel(operation)}": 1}


def test_every_call_the_product_sends_is_tried_here() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))

    sent = {
        call: set(re.findall(rf"\b{call}\(\s*[\w.]+,\s*\"(\w+)\"", text))
        for call in ("create_once", "existing")
    }
    assert sent["create_once"] == set(CREATES)
    assert sent["existing"] < set(DESCRIBED)
    called = set(
        re.findall(r"\.((?:create|update|delete)_(?:model|endpoint|training|processing)\w*)\(", text)
    )
    tried = {camel(call) for call in called}
    assert tried == {"UpdateEndpoint", "DeleteEndpoint", *REGISTERING} - {"DescribeModelPackageGroup"}
    assert set(CREATES) < set(DESCRIBED)  # a creation that is refused describes what stands in its way


@pytest.mark.case("SM-02")
@pytest.mark.parametrize(
    ("operation", "kind", "call"),
    [
        (
            "CreateTrainingJob",
            "training_job",
            lambda client: create_once(client, "training_job", JOB, {"x": "x"}, {}),
        ),
        ("UpdateEndpoint", "endpoint", lambda client: update_endpoint(client, ENDPOINT)),
    ],
)
def test_ten_minutes_of_throttling_are_waited_out_at_less_than_a_call_a_second(
    boundary: Boundary, operation: str, kind: str, call: Callable[[Any], None]
) -> None:
    boundary.always[operation] = "throttle"
    client, calls, passed, turn = client_of(kind), 0, 0.0, 0
    machine = json.loads((ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8"))
    retry = machine["States"]["TrainingLaunch"]["Retry"][0]
    assert retry["ErrorEquals"] == ["CapacityExceeded"]
    assert retry == machine["States"]["Deployment"]["Retry"][0]
    dice = random.Random(2)
    while passed < 600:
        with pytest.raises(CapacityExceeded):
            call(client)
        calls = boundary.attempts[operation]
        longest = min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** turn)
        passed += dice.uniform(0, longest)
        turn += 1
    assert boundary.executed[operation] == 0
    assert turn < retry["MaxAttempts"]
    assert calls / passed < 0.2
    whole_wait = sum(min(1800, 60 * 2**n) for n in range(retry["MaxAttempts"])) / 2
    assert whole_wait > 24 * 3_600


@pytest.mark.case("SM-03")
def test_the_sdk_does_not_wait_for_capacity_so_we_name_it(boundary: Boundary) -> None:
    boundary.always["CreateTrainingJob"] = "limit"

    with pytest.raises(CapacityExceeded):
        create_once(client_of("training_job"), "training_job", JOB, {"TrainingJobName": "x"}, {})

    assert boundary.attempts["CreateTrainingJob"] == 1


@pytest.mark.case("SM-11")
@pytest.mark.parametrize("operation", CREATES)
def test_a_creation_whose_answer_was_lost_is_recognised_as_ours(operation: str) -> None:
    request, names = CREATES[operation]
    faults = Faults(plan={f"create_{operation}": ["lost"]})
    sagemaker = StrictSageMaker(faults, lambda: datetime(2026, 1, 2, tzinfo=UTC))

    create_once(sagemaker, operation, request, {name: request[name] for name in names}, {})

    jobs = (sagemaker.jobs, sagemaker.processing_jobs)
    rooms = (*jobs, sagemaker.models, sagemaker.configs, sagemaker.endpoints)
    assert sum(map(len, rooms)) == 1
    assert faults.counts[f"create_{operation}"] == 2


@pytest.mark.case("OP-06")
@pytest.mark.parametrize("operation", ["PutItem", "Query"])
def test_nothing_is_acknowledged_while_dynamodb_is_throttled(
    world: World, boundary: Boundary, event: Callable[[str], Any], context: Context, operation: str
) -> None:
    handler = world.load("trigger").handler
    boundary.always[operation] = "throttle"
    batch = {"Records": [one for one in event("trigger")["Records"] if "Object Created" in one["body"]]}

    try:
        failed = len(handler(batch, context)["batchItemFailures"])
    except Exception:  # noqa: BLE001  (Powertools raises when every message failed: SQS keeps them all)
        failed = len(batch["Records"])
    assert failed == len(batch["Records"])

    boundary.always.clear()
    assert handler(batch, context) == {"batchItemFailures": []}
    assert boundary.attempts[operation] >= 2


@pytest.mark.case("OP-06")
def test_in_a_storm_of_failed_conditions_one_holder_wins_and_every_delivery_counts() -> None:
    table = Table(MemoryTable(Faults()))
    version = Delivered("m", "source", "b", "data/m/a.csv", "v1", "e1", 1, "01", "now")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: Leases(table).acquire("m", f"r{n}", now=0, seconds=60), range(200)))
        list(pool.map(lambda _: Objects(table).deliver(version), range(200)))

    assert sum(lease is not None for lease in won) == 1
    (row,) = Objects(table).of_model("m")
    assert row.deliveries == 200
