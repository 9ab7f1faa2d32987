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

from driftwheel.deployment.names import resource_name
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.steps.trigger import Ledger
from tests.security import asked

ROOT = Path(__file__).parents[2]
START_SECONDS, STOP_SECONDS = 120, 30
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

    def rows(self, count: int, *, season: int = 0, shuffled: bool = False) -> list[dict[str, Any]]:
        found = []
        for _ in range(count):
            weight, rush = self.dice.gauss(20 + 15 * season, 5), self.dice.random()
            depot = self.dice.choice(["N", "South", "East"])
            signal_ = (weight - 20 - 15 * season) / 5 + (2 * rush - 1) * (1 - 2 * season) * 2
            late = self.dice.random() < 1 / (1 + 2.718 ** (-2 * signal_))
            found.append(
                {
                    "id": f"p{self.next_id}",
                    "at": f"2024-0{1 + self.next_id // 20_000}-{1 + self.next_id // 800 % 25:02d} "
                    f"{self.next_id % 800 // 34:02d}:{self.next_id % 34:02d}",
                    "depot": depot,
                    "weight": round(weight, 3),
                    "rush": round(rush, 3),
                    "late": str(late).lower(),
                }
            )
            self.next_id += 1
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

    def __init__(self, root: Path, time_scale: float = 0.01) -> None:
        self.root, self.time_scale = root, time_scale
        self.process: subprocess.Popen[bytes] | None = None
        self.state: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}

    def up(self) -> None:
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "driftwheel_local.server", "--root", str(self.root / "stack")),
                    *("--template", str(ROOT / "template.yaml"), "--time-scale", str(self.time_scale)),
                    "--record-permissions",
                ],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        announced = self.root / "stack" / "stack.json"
        self.until(lambda: self._announced(announced), START_SECONDS, "the stack starts")
        self._clients.clear()

    def _announced(self, path: Path) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self.root / "server.log").read_text(encoding="utf-8")[-3_000:])
        with suppress(OSError, ValueError):
            self.state = json.loads(path.read_text(encoding="utf-8"))
            return bool(self.state["pid"] == self.process.pid)
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        asked.note_file(self.root / "stack" / "permissions.jsonl")

    def down(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(STOP_SECONDS)
        asked.note_file(self.root / "stack" / "permissions.jsonl")

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
        parameter = self.client("ssm").get_parameter(Name="/driftwheel/driftwheel")["Parameter"]
        found: dict[str, Any] = json.loads(parameter["Value"])
        return found

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.table)

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.table)

    @property
    def table(self) -> Table:
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=self.state["endpoint_url"],
            region_name=self.state["region"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        return Table(resource.Table(self.names["table"]))

    def drop(self, key: str, body: bytes) -> str:
        answer = self.client("s3").put_object(Bucket=self.names["landing_bucket"], Key=key, Body=body)
        return str(answer["VersionId"])

    def captured(self, prefix: str) -> int:
        """Count captured requests whose inference id begins so."""
        s3, bucket = self.client("s3"), self.names["artifact_bucket"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="capture/parcels/").get("Contents", [])
        bodies = [s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed]
        lines = [json.loads(line) for body in bodies for line in body.splitlines()]
        return sum(line["eventMetadata"].get("inferenceId", "").startswith(prefix) for line in lines)

    def runs(self) -> list[RunRow]:
        return self.ledger.runs.of_model("parcels")

    def ended(self, count: int, seconds: float = 90) -> RunRow:
        """Wait until so many runs have ended; give the newest."""
        self.until(lambda: sum(bool(run.ended_at) for run in self.runs()) >= count, seconds, f"run {count}")
        return self.runs()[0]

    def until(self, happened: Callable[[], object], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                log = self.root / "stack" / "logs" / "stack.log"
                tail = log.read_text(encoding="utf-8")[-2_000:] if log.exists() else ""
                raise AssertionError(f"waited {seconds} s for: {what}\n{tail}")
            time.sleep(0.1)

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


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    loop = Loop(tmp_path_factory.mktemp("loop"))
    loop.up()
    yield loop
    loop.down()


@pytest.fixture(scope="module")
def parcels() -> Parcels:
    return Parcels()
