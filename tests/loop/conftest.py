"""The shipped template on this machine, in a process of its own, as ``driftwheel up`` runs it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from driftwheel.deployment.names import resource_name
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.steps.trigger import Ledger
from driftwheel.vpc import NO_VPC, Vpc
from tests.oracle.on_stack import assert_stack
from tests.oracle.processes import left_of
from tests.security import asked
from tests.security.iam import vpc_parameters

ROOT = Path(__file__).parents[2]
START_SECONDS, STOP_SECONDS, REST_SECONDS = 120, 90, 120
COMMAND_SECONDS = 900
LOOKS_EVERY = 0.2
"""Seconds between two looks at what is waited for: whoever looks takes the processor from the stack."""
CANARIES = {
    "data": "AKIA" + "PLANTEDINANID001",
    "card": "4012" + "888888881881",
    "e-mail": "planted.person" + "@canary.example",
    "environment": "hunter2-planted-in-the-environment",
    "metadata": "planted-in-an-objects-metadata",
}
"""Planted where secrets and people's data are, and may come out nowhere."""
PLANTED = {3: f"-{CANARIES['data']}", 5: f"-{CANARIES['card']}", 7: f"-{CANARIES['e-mail']}"}
"""Last digit of a row's number → what its key ends with."""
SPEC = """
model: parcels
source: {prefix: data/parcels/, key: [id]}
columns:
  id: {type: category, feature: false}
  at: {type: timestamp, feature: false}
  depot: {type: category, canonical: {North: [N]}}
  weight: {type: number, missing: median}
  rush: {type: number, missing: median}
  late: {type: boolean, feature: false}
features: {load: weight * rush, hour: extract(hour from at)}
target: {column: late}
split: {by: time, column: at, rollover: drift}
training: {algorithm: xgboost, rounds: 40, hyperparameters: {max_depth: 3}}
evaluation: {metric: auc, floor: 0.6, minimum_rows: 100, slices: [depot]}
deployment: {mode: canary, size: 10, bake_seconds: 60, capture: 100}
drift: {minimum_rows: 200, every_minutes: 1}
triggers: {quiet_seconds: 1, cooldown_minutes: 0, minimum_labelled_rows: 300, runs_per_day: 50,
  drifted_windows: 1, of_windows: 1}
"""


@dataclass
class Parcels:
    """Rows whose label a model can learn; ``season`` moves the inputs and turns the rule around."""

    dice: random.Random = field(default_factory=lambda: random.Random(7))
    next_id: int = 0

    def rows(
        self, count: int, *, season: int = 0, shuffled: bool = False, flipped: float = 0.0
    ) -> list[dict[str, Any]]:
        found = []
        for _ in range(count):
            weight, rush = self.dice.gauss(20 + 15 * season, 5), self.dice.random()
            depot = self.dice.choice(["N", "South", "East"])
            signal_ = (weight - 20 - 15 * season) / 5 + (2 * rush - 1) * (1 - 2 * season) * 2
            late = self.dice.random() < 1 / (1 + 2.718 ** (-2 * signal_))
            found.append(
                {
                    "id": f"p{self.next_id}{PLANTED.get(self.next_id % 10, '')}",
                    "at": f"2024-0{1 + self.next_id // 20_000}-{1 + self.next_id // 800 % 25:02d} "
                    f"{self.next_id % 800 // 34:02d}:{self.next_id % 34:02d}",
                    "depot": depot,
                    "weight": round(weight, 3),
                    "rush": round(rush, 3),
                    "late": str(late).lower(),
                }
            )
            self.next_id += 1
        for row in found if flipped else ():
            if self.dice.random() < flipped:
                row["late"] = "false" if row["late"] == "true" else "true"
        if shuffled:
            labels = [row["late"] for row in found]
            self.dice.shuffle(labels)
            found = [row | {"late": label} for row, label in zip(found, labels, strict=True)]
        return found

    def csv(self, rows: list[dict[str, Any]]) -> bytes:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        return ("\n".join(lines) + "\n").encode()


class Loop:
    """A local stack and what a user does with it, by AWS APIs alone."""

    def __init__(
        self, root: Path, time_scale: float = 0.01, folder: Path | None = None, vpc: Vpc = NO_VPC
    ) -> None:
        self.root, self.time_scale, self.vpc = root, time_scale, vpc
        self.folder = folder or root / "stack"
        """What the stack keeps; ``root`` has what its test writes, too."""
        self.behaviour: dict[str, Any] = {}
        """What AWS may do and the stack does only when it is told to, from its next start on."""
        self.process: subprocess.Popen[bytes] | None = None
        self.state: dict[str, Any] = {}
        self.canaries = tuple(CANARIES.values())
        self.alerts: list[str] = []
        self.wrong_answers = 0
        self.repeated = 0
        """How many publications lost their answer, so that the SDK repeated them."""
        self.judged = True
        """Whether the oracle looks at it after each test; a stack that was taken down has nothing to show."""
        self.cut = False
        """Whether it was ever killed: what was told and not yet heard is then lost to the test."""
        self._clients: dict[str, Any] = {}
        self._names: dict[str, Any] = {}
        self._table: Table | None = None
        self._inbox = ""

    @property
    def output(self) -> Path:
        """Where the process writes what it prints."""
        return self.root / "server.log"

    def command(self) -> list[str]:
        behaviour = self.root / "behaviour.json"
        behaviour.write_text(json.dumps(self.behaviour), encoding="utf-8")
        return [
            *(sys.executable, "-m", "driftwheel_local.server", "--root", str(self.folder)),
            *("--template", str(ROOT / "template.yaml"), "--time-scale", str(self.time_scale)),
            *("--behaviour", str(behaviour)),
            *(f"--parameter={name}={value}" for name, value in vpc_parameters(self.vpc).items()),
            "--record-permissions",
        ]

    def up(self) -> None:
        self._start(self.command())

    def run(self, command: list[str]) -> int:
        """Run a command that has the stack within it, from its begin to its end; give its exit code.

        What people are told is heard meanwhile: the queue that listens does not outlive the stack.
        """
        process, deadline = self._start(command), time.monotonic() + COMMAND_SECONDS
        while process.poll() is None:
            assert time.monotonic() < deadline, self.output.read_text(encoding="utf-8")[-3_000:]
            with suppress(BotoCoreError, ClientError):  # the stack ends before its process
                self._hear()
            time.sleep(0.2)
        self._ended()
        return process.returncode

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a process, wait until its stack says where it is, and listen to what it tells people."""
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "OPERATORS_PASSWORD": CANARIES["environment"]},
            )
        announced = self.folder / "stack.json"
        self.until(lambda: self._announced(announced), START_SECONDS, "the stack starts")
        self._clients.clear()
        self._names, self._table = {}, None
        self._listen()
        return self.process

    def _listen(self) -> None:
        """Subscribe a queue to what people are told."""
        sns, sqs = self.client("sns"), self.client("sqs")
        self._inbox = sqs.create_queue(QueueName="oracle-inbox")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._inbox, AttributeNames=["QueueArn"])["Attributes"]
        topics = [topic["TopicArn"] for topic in sns.list_topics()["Topics"] if "Alert" in topic["TopicArn"]]
        for topic in topics:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    def _hear(self) -> None:
        for body in self.taken(self._inbox):
            self.alerts.append(json.loads(body)["Message"])

    def taken(self, url: str) -> Iterator[str]:
        """Give what lies in a queue now; each message goes when the next one is asked for."""
        sqs = self.client("sqs")
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                yield message["Body"]
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def running(self) -> list[dict[str, Any]]:
        """The executions at work, as Step Functions lists them."""
        states, machine = self.client("stepfunctions"), self.names["state_machine_arn"]
        listed = states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")
        executions: list[dict[str, Any]] = listed["executions"]
        return executions

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def now(self) -> float:
        return time.time()

    def rest(self, seconds: float = REST_SECONDS) -> None:
        """Wait until nothing is under way."""
        self.until(lambda: not any(self._at_work()), seconds, lambda: f"rest; at work: {[*self._at_work()]}")

    def _at_work(self) -> Iterator[str]:
        """Name what is under way: first what nearly always is while anything is.

        Then in the order in which work moves on: event, message, execution.
        """
        yield from (one["name"] for one in self.running())
        for place in (self.folder / "events" / "pending", self.folder / "lambda" / "events"):
            yield from (f"event {file.name}" for file in place.iterdir())
        sqs = self.client("sqs")
        names = [f"ApproximateNumberOf{each}" for each in ("Messages", "MessagesNotVisible")]
        for url in sqs.list_queues()["QueueUrls"]:
            if url == self._inbox or "DeadLetter" in url:
                continue
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            yield from (f"{name} {told[name]} in {url}" for name in names if told[name] != "0")
        yield from (one["name"] for one in self.running())
        endpoints = self.client("sagemaker").list_endpoints()["Endpoints"]
        moving = {"Creating", "Updating", "RollingBack", "Deleting"}
        yield from (e["EndpointName"] for e in endpoints if e["EndpointStatus"] in moving)
        for spec in self.ledger.models.all():
            lease = self.ledger.leases.get(spec.model)
            if lease is not None and lease.expires_at > self.now():
                yield f"the lease of {lease.run_id}"

    def judge(self) -> int:
        """Let everything come to rest and hold it to the invariants; give how many models there were."""
        return self.judge_models([])

    def judge_models(self, names: list[str]) -> int:
        """Judge the named models, or all."""
        self.rest()
        self._hear()
        return assert_stack(self, names)

    def _announced(self, path: Path) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(self.output.read_text(encoding="utf-8")[-3_000:])
        with suppress(OSError, ValueError):
            self.state = json.loads(path.read_text(encoding="utf-8"))
            return bool(self.state["pid"] == self.process.pid)
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.cut = True
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._ended()
        asked.note_file(self.folder / "permissions.jsonl", self.vpc)

    def down(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self._ended()
        asked.note_file(self.folder / "permissions.jsonl", self.vpc)
        assert left_of(self.folder) == []

    def _ended(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # of a line it did not live to read
            self.process.stdin.close()
        self.process.wait(STOP_SECONDS)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.state["endpoint_url"],
                region_name=self.state["region"],
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    @property
    def names(self) -> dict[str, Any]:
        """What the stack's parameter says; it stays as it is until the next start."""
        if not self._names:
            parameter = self.client("ssm").get_parameter(Name="/driftwheel/driftwheel")["Parameter"]
            self._names = json.loads(parameter["Value"])
        return self._names

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.table)

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.table)

    @property
    def table(self) -> Table:
        if self._table is None:
            resource = boto3.resource(
                "dynamodb",
                endpoint_url=self.state["endpoint_url"],
                region_name=self.state["region"],
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            self._table = Table(resource.Table(self.names["table"]))
        return self._table

    def drop(self, key: str, body: bytes) -> str:
        answer = self.client("s3").put_object(
            Bucket=self.names["landing_bucket"],
            Key=key,
            Body=body,
            Metadata={"uploaded-by": CANARIES["metadata"]},
        )
        return str(answer["VersionId"])

    def captured(self, prefix: str, under: str = "capture/parcels/") -> int:
        """Count captured requests whose inference id begins so."""
        s3, bucket = self.client("s3"), self.names["artifact_bucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=under)
        listed = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in listed]
        lines = [json.loads(line) for body in bodies for line in body.splitlines()]
        return sum(line["eventMetadata"].get("inferenceId", "").startswith(prefix) for line in lines)

    def runs(self) -> list[RunRow]:
        return self.ledger.runs.of_model("parcels")

    def ended(self, count: int, seconds: float = 90) -> RunRow:
        """Wait until so many runs have ended; give the newest."""
        self.until(lambda: sum(bool(run.ended_at) for run in self.runs()) >= count, seconds, f"run {count}")
        return self.runs()[0]

    def until(self, happened: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                log = self.folder / "logs" / "stack.log"
                tail = log.read_text(encoding="utf-8")[-2_000:] if log.exists() else ""
                awaited = what if isinstance(what, str) else what()
                raise AssertionError(f"waited {seconds} s for: {awaited}\n{tail}")
            time.sleep(LOOKS_EVERY)

    def object_of(self, version: str) -> ObjectRow | None:
        """What became of one object version, once it is settled."""
        rows = self.ledger.objects.of_model("parcels")
        return next((row for row in rows if row.version == version and row.state != "pending"), None)

    def predict(self, rows: list[dict[str, Any]], inference_id: str, caller: Any = None) -> list[float]:
        inputs = ("at", "depot", "weight", "rush")
        records = [{name: row[name] for name in inputs} for row in rows]
        answer = (caller or self.client("sagemaker-runtime")).invoke_endpoint(
            EndpointName=self.endpoint,
            ContentType="application/json",
            InferenceId=inference_id,
            Body=json.dumps({"records": records}),
        )
        return [prediction["score"] for prediction in json.load(answer["Body"])["predictions"]]

    @property
    def endpoint_name(self) -> str:
        """What the model's endpoint and package group are called."""
        return resource_name("driftwheel", "parcels")

    @property
    def endpoint(self) -> str:
        champion = self.ledger.champions.get("parcels")
        assert champion is not None
        return champion.endpoint


@pytest.fixture(autouse=True)
def _judged(request: pytest.FixtureRequest) -> Iterator[None]:
    """The oracle, after every test, on every stack that the test had."""
    yield
    for stack in request.node.funcargs.values():
        if isinstance(stack, Loop) and stack.judged and stack.is_up():
            stack.judge()


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("loop"))
    loop.up()
    yield loop
    loop.down()


@pytest.fixture(scope="module")
def parcels() -> Parcels:
    return Parcels()
