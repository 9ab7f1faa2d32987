"""Handlers run as shipped: loaded from ``functions/``, with their own environment, against moto."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from driftwheel.ledger.table import Table
from tests.bench import ledger_table
from tests.security.boundary import acting_as, stand
from tests.security.iam import VPC

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
ACCOUNT = "123456789012"
Send = Callable[..., dict[str, Any]]


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "Driftwheel",
    "STACK": "driftwheel",
    "TABLE": "ledger",
    "LANDING_BUCKET": "driftwheel-landing",
    "ARTIFACT_BUCKET": "driftwheel-artifacts",
    "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/driftwheel-sagemaker",
    "DOMAIN_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/DomainClassifierRole",
    "KMS_KEY_ARN": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "STATE_MACHINE_ARN": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:driftwheel-model-loop",
    "VPC_SUBNET_IDS": ",".join(VPC.subnets),
    "VPC_SECURITY_GROUP_IDS": ",".join(VPC.security_groups),
    "APPROVAL_HOURS": "72",
    "SWEEP_AFTER_DAYS": "30",
}
"""What the template tells every function, and their clients."""


@dataclass
class World:
    """One stack's resources, as the template names them."""

    table: Table
    landing: str = "driftwheel-landing"
    artifacts: str = "driftwheel-artifacts"
    queue: str = ""
    loaded: dict[str, ModuleType] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def load(self, step: str) -> ModuleType:
        """Import a step's handler under a name of its own: all are called ``app``."""
        if step not in self.loaded:
            path = ROOT / "functions" / step / "app.py"
            spec = importlib.util.spec_from_file_location(f"functions_{step}", path)
            assert spec is not None
            assert spec.loader is not None
            self.loaded[step] = importlib.util.module_from_spec(spec)
            with acting_as(step):
                spec.loader.exec_module(self.loaded[step])
        return self.loaded[step]

    def put(self, bucket: str, key: str, body: bytes) -> dict[str, Any]:
        answer = self.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return {
            "bucket": bucket,
            "key": key,
            "version": answer.get("VersionId", ""),
            "etag": answer["ETag"].strip('"'),
            "size": len(body),
        }

    def read(self, key: str) -> Any:
        return json.loads(self.client("s3").get_object(Bucket=self.artifacts, Key=key)["Body"].read())

    def messages(self) -> list[Any]:
        answer = self.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


class Context:
    """The Lambda context Powertools reads."""

    function_name = "driftwheel-test"
    memory_limit_in_mb = 512
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:driftwheel-test"
    aws_request_id = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def event() -> Callable[[str], dict[str, Any]]:
    """Read ``events/<step>.json``, the files ``sam local invoke -e`` uses."""
    return lambda step: json.loads((ROOT / "events" / f"{step}.json").read_text(encoding="utf-8"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stand(monkeypatch)
    with mock_aws():
        world = World(Table(ledger_table.create(REGION)))
        s3 = world.client("s3")
        for bucket in (world.landing, world.artifacts):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=world.landing, VersioningConfiguration={"Status": "Enabled"})
        world.queue = world.client("sqs").create_queue(QueueName="arrival")["QueueUrl"]
        monkeypatch.setenv("ARRIVAL_QUEUE_URL", world.queue)
        topic = world.client("sns").create_topic(Name="alerts")["TopicArn"]
        monkeypatch.setenv("ALERT_TOPIC_ARN", topic)
        yield world
        for module in world.loaded.values():
            sys.modules.pop(module.__name__, None)


class Clock(datetime):
    """Stands still until a test moves it."""

    at = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.at


@pytest.fixture
def states(world: World) -> Any:
    """A state machine that accepts executions; nothing runs."""
    client = world.client("stepfunctions")
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    client.create_state_machine(
        name="driftwheel-model-loop", definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/r"
    )
    return client


@pytest.fixture
def send(world: World, states: Any, context: Context, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Hand the trigger a batch of message bodies at ``seconds`` after noon."""
    module = world.load("trigger")
    monkeypatch.setattr(module, "datetime", Clock)

    def call(*bodies: Any, seconds: float = 0) -> dict[str, Any]:
        Clock.at = datetime(2026, 1, 2, 12, 0, tzinfo=UTC) + timedelta(seconds=seconds)
        records = [
            {
                "messageId": f"m{n}",
                "receiptHandle": "r",
                "body": body if isinstance(body, str) else json.dumps(body),
                "eventSource": "aws:sqs",
            }
            for n, body in enumerate(bodies)
        ]
        answer: dict[str, Any] = module.handler({"Records": records}, context)
        return answer

    return call


def created(world: World, key: str, body: bytes = b"x\n1\n", sequencer: str = "01") -> dict[str, Any]:
    """Put an object and word its event as S3 does."""
    put = world.put(world.landing, key, body)
    object_ = {
        "key": key,
        "size": len(body),
        "etag": put["etag"],
        "version-id": put["version"],
        "sequencer": sequencer,
    }
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-01-02T12:00:00Z",
        "region": REGION,
        "detail": {"bucket": {"name": world.landing}, "object": object_, "reason": "PutObject"},
    }


def executions(states: Any) -> list[Any]:
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:driftwheel-model-loop"
    listed: list[Any] = states.list_executions(stateMachineArn=arn)["executions"]
    return listed
