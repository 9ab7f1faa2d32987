"""The operator's command against a small AWS in this process: names, ledger and state machine are real."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws
from tests.bench import ledger_table

from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.objects import Delivered
from driftwheel.ledger.runs import RunRow
from driftwheel.spec import ModelSpec, load_spec
from driftwheel_cli import connection
from driftwheel_cli.connection import Stack, open_stack
from driftwheel_cli.main import cli

ROOT = Path(__file__).parents[3]
REGION = "us-east-1"
MODEL_YAML = ROOT / "examples" / "flights" / "model.yaml"
T0, T1 = "2026-01-02T03:00:00+00:00", "2026-01-02T03:20:00+00:00"
RUN = "0f3c5a9be17d2468"

SECTIONS: dict[str, Any] = {
    "data_arrival": {"outcome": "ready", "objects": 2, "size_bytes": 4096, "refused": []},
    "preprocessing": {
        "outcome": "ready",
        "uri": "s3://a/p",
        "rows": {"train": 700, "validation": 150, "holdout": 150},
        "positives": 0.25,
        "refused": [],
    },
    "evaluation_gate": {
        "outcome": "promote",
        "reasons": [{"code": "gain_shown", "sentence": "0.03 better", "numbers": {}}],
        "metrics": {
            "metric": "auc",
            "rows": 150,
            "challenger": {"value": 0.71, "low": 0.69, "high": 0.73},
            "champion": {"value": 0.68, "low": 0.66, "high": 0.70},
            "gain": {"value": 0.03, "low": 0.01, "high": 0.05},
        },
        "model_package_arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/driftwheel-flights/1",
        "evaluation_uri": "s3://a/e",
    },
}


class Recorder(SimpleNamespace):
    """A client whose calls are kept; an answer that is an error code is raised, a function is called."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(answers=answers, calls=[])

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.calls.append((operation, request))
            answer = self.answers.get(operation, {})
            if isinstance(answer, str):
                raise ClientError({"Error": {"Code": answer, "Message": "said so"}}, operation)
            return answer(**request) if callable(answer) else answer

        return call

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.calls if name == operation]


@dataclass
class World:
    """One stack and the command that asks it."""

    stack: Stack
    machine: str
    fakes: dict[str, Any] = field(default_factory=dict)

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments))

    def json(self, *arguments: str) -> Any:
        result = self.call(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def register(self) -> ModelSpec:
        spec = load_spec(MODEL_YAML.read_bytes())
        self.stack.ledger.models.register(spec, version="v1", at=T0)
        return spec

    def put(self, key: str, document: Any) -> None:
        body = json.dumps(document).encode()
        self.stack.client("s3").put_object(Bucket=self.stack.names.artifact_bucket, Key=key, Body=body)

    def delivered(self, key: str = "data/flights/a.csv", version: str = "v-a") -> Delivered:
        found = Delivered(
            "flights", "source", self.stack.names.landing_bucket, key, version, version, 2048, "01", T0
        )
        self.stack.ledger.objects.deliver(found)
        return found

    def champion(self, sequence: int = 1, run_id: str = RUN, **changes: Any) -> ChampionRow:
        fields: dict[str, Any] = {
            "model": "flights",
            "sequence": sequence,
            "run_id": run_id,
            "endpoint": "driftwheel-flights",
            "endpoint_config": f"driftwheel-flights-{run_id}",
            "model_data_url": "s3://a/m",
            "model_package_arn": SECTIONS["evaluation_gate"]["model_package_arn"],
            "baseline_uri": "s3://a/b",
            "promoted_at": T1,
            "reason": "first model",
        }
        row = ChampionRow(**(fields | changes))
        self.stack.ledger.champions.move(row)
        return row

    def start_run(
        self, run_id: str = RUN, document: Any = None, versions: Any = (), **changes: Any
    ) -> RunRow:
        """Enter a run and start its execution; it goes through two states and ends at once."""
        arn = self.stack.client("stepfunctions").start_execution(
            stateMachineArn=self.machine,
            name=f"flights-{run_id}",
            input=json.dumps({"model": "flights", "run_id": run_id} | (document or {})),
        )["executionArn"]
        row = RunRow(
            **(
                {
                    "model": "flights",
                    "run_id": run_id,
                    "status": "running",
                    "kind": "arrival",
                    "reason": "2 new files",
                    "started_at": T0,
                    "execution_arn": arn,
                    "fence": 1,
                }
                | changes
            )
        )
        self.stack.ledger.runs.start(row)
        entries = [
            {"role": "source", "bucket": "b", "key": k, "version": v, "etag": "e", "size": 2048}
            for k, v in versions
        ]
        self.put(f"runs/flights/{run_id}/data.json", {"objects": entries, "captures": [], "rollover": False})
        return row

    def end_run(self, status: Any = "promoted", outcome: str = "champion 1 serves", **sections: Any) -> None:
        """Write what RecordOutcome writes: the record, then the index."""
        document = {"model": "flights", "run_id": RUN} | (sections or SECTIONS)
        self.put(f"runs/flights/{RUN}/run.json", document)
        self.stack.ledger.runs.end("flights", RUN, status, outcome, T1)


MACHINE = {
    "StartAt": "DataArrival",
    "States": {
        "DataArrival": {
            "Type": "Pass",
            "Result": SECTIONS["data_arrival"],
            "ResultPath": "$.data_arrival",
            "Next": "DataArrived",
        },
        "DataArrived": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.model", "StringEquals": "broken", "Next": "RunFailed"}],
            "Default": "EvaluationGate",
        },
        "EvaluationGate": {
            "Type": "Pass",
            "Result": SECTIONS["evaluation_gate"],
            "ResultPath": "$.evaluation_gate",
            "End": True,
        },
        "RunFailed": {"Type": "Fail", "Error": "TrainingFailed", "Cause": "no rows"},
    },
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    for name in ("DRIFTWHEEL_LOCAL", "DRIFTWHEEL_STACK", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.chdir(tmp_path)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield _world(monkeypatch)


def _world(monkeypatch: pytest.MonkeyPatch) -> World:
    session = boto3.Session(region_name=REGION)
    s3 = session.client("s3")
    for bucket in ("landing", "artifacts"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    ledger_table.create(REGION)
    machine = session.client("stepfunctions").create_state_machine(
        name="driftwheel-model-loop",
        definition=json.dumps(MACHINE),
        roleArn="arn:aws:iam::123456789012:role/states",
    )["stateMachineArn"]
    names = {
        "stack": "driftwheel",
        "landing_bucket": "landing",
        "artifact_bucket": "artifacts",
        "table": "ledger",
        "arrival_queue_url": session.client("sqs").create_queue(QueueName="arrival")["QueueUrl"],
        "state_machine_arn": machine,
        "drift_check_function": "driftwheel-drift-check",
    }
    session.client("ssm").put_parameter(Name="/driftwheel/driftwheel", Type="String", Value=json.dumps(names))
    world = World(open_stack(session, "driftwheel"), machine)
    real = connection._client

    def client(session_: Any, service: str, endpoint_url: str | None) -> Any:
        return world.fakes.get(service) or real(session_, service, endpoint_url)

    monkeypatch.setattr(connection, "_client", client)
    return world


@pytest.fixture
def messages(world: World) -> Callable[[], list[Any]]:
    """What lies in the arrival queue."""

    def read() -> list[Any]:
        answer = world.stack.client("sqs").receive_message(
            QueueUrl=world.stack.names.arrival_queue_url, MaxNumberOfMessages=10
        )
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    return read
