"""DE-08: two runs at one endpoint, by the shipped functions, before the local SageMaker's own statuses."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from driftwheel.errors import CapacityExceeded
from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import Champions
from driftwheel.ledger.leases import HELD_SECONDS, Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Champion
from driftwheel.spec import ModelSpec
from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.sagemaker import SageMakerWorld
from tests.bench import ledger_table
from tests.bench.artifacts import packed
from tests.functions.conftest import ENVIRONMENT, Context, World
from tests.functions.test_job_callback import Recorder

EVENT = Path(__file__).parents[2] / "events" / "deployment.json"
ENDPOINT = "driftwheel-flights"
ARN = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{ENDPOINT}"
ONE, OTHER, THIRD = "1" * 16, "2" * 16, "3" * 16
RECORDS = [{"x": 1}]
SERVE = b"""
import json, pathlib

def model_fn(folder):
    return int(json.loads(pathlib.Path(folder, "model.json").read_text())["is"])

def input_fn(body, content_type):
    return json.loads(body)["records"]

def predict_fn(records, score):
    return [{"score": score} for _ in records]

def output_fn(predictions, accept):
    return json.dumps({"predictions": predictions}), "application/json"
"""
"""A model that answers its number."""


class Exchange:
    """The two functions that exchange models, the ledger, and the SageMaker they ask."""

    def __init__(self, folder: Path, url: str, patch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.sagemaker = SageMakerWorld(
            folder, self.clock, lambda _: None, self._alarms, lambda **_: None, 1.0, lambda: url
        )
        patches.patch_sagemaker(self.sagemaker)
        self.functions = World(Table(ledger_table.create()))
        boto3.client("s3").create_bucket(Bucket=self.functions.artifacts)
        self.leases, self.champions = Leases(self.functions.table), Champions(self.functions.table)
        self.states = Recorder(describe_execution={"status": "RUNNING"})
        moved = SimpleNamespace(now=lambda _zone: self.clock.now())
        for name in ("deployment", "job_callback"):
            patch.setattr(self.functions.load(name), "datetime", moved)
        clients = self.functions.load("job_callback").clients
        kept = {"runtime": clients.runtime, "sqs": clients.sqs, "arrival_queue_url": ""}
        told = type(clients)(sagemaker=clients.sagemaker, stepfunctions=self.states, **kept)
        patch.setattr(self.functions.load("job_callback"), "clients", told)

    def _alarms(self, names: list[str]) -> dict[str, str]:
        found = boto3.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return {alarm["AlarmName"]: "OK" for alarm in found}

    def challenger(self, run_id: str) -> dict[str, Any]:
        """Word what Step Functions gives a run's Deployment; its model and its probe lie where they should.

        The run has the lease: who had it before was too slow, and has lost it.
        """
        self.clock.advance(HELD_SECONDS + 1)
        lease = self.leases.acquire("flights", run_id, now=int(self.clock.now().timestamp()), seconds=1)
        assert lease is not None
        event: dict[str, Any] = json.loads(EVENT.read_text().replace("0f3c5a9be17d2468", run_id))
        event["task_token"] = f"token of {run_id}"
        run = event["run"]
        run["fence"] = lease.fence
        stands = self.champions.get("flights")
        if stands is not None:
            run["champion"] = {name: getattr(stands, name) for name in Champion.model_fields}
        digest, archive = packed(run_id, serve=SERVE)
        run["evaluation_gate"]["manifest_sha256"] = digest
        place = S3Uri.parse(run["training_launch"]["model_data_url"])
        probe = {"records": RECORDS, "scores": [int(run_id)]}
        evidence = f"runs/flights/{run_id}/evaluation_gate/probe.json"
        self.functions.put(place.bucket, place.key, archive)
        self.functions.put(self.functions.artifacts, evidence, json.dumps(probe).encode())
        return event

    def deploy(self, event: dict[str, Any]) -> Any:
        return self.functions.load("deployment").handler(event, Context())

    def look(self) -> Any:
        """Let the callback hear that the endpoint has another status."""
        told = {"detail-type": "SageMaker Endpoint State Change", "resources": [ARN], "detail": {}}
        record = {"messageId": "m", "body": json.dumps(told), "eventSource": "aws:sqs"}
        answer = self.functions.load("job_callback").handler({"Records": [record]}, Context())
        assert answer == {"batchItemFailures": []}

    def put_right(self) -> None:
        """Let the schedule's tick come to the deployment function."""
        spec = ModelSpec.model_validate(json.loads(EVENT.read_text())["run"]["spec"])
        Models(self.functions.table).register(spec, version="v", at="now")
        self.clock.advance(HELD_SECONDS + 1)
        said = self.functions.load("deployment").handler({"kind": "restore"}, Context())
        assert said["flights"].endswith("champion 1 is put back")

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = boto3.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
        return found

    def settled(self) -> str:
        """Let the time of an update pass; name the config that serves then."""
        deadline = time.monotonic() + 60
        while (found := self.described())["EndpointStatus"] != "InService":
            assert time.monotonic() < deadline, f"still {found}"
            self.clock.advance(15)
            time.sleep(0.02)  # a fleet's processes start in time of their own
        return str(found["EndpointConfigName"])

    def asked(self) -> int:
        """Ask the endpoint itself which run's model serves."""
        body = json.dumps({"records": RECORDS})
        asked = boto3.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=ENDPOINT, ContentType="application/json", Body=body
        )
        return int(json.load(asked["Body"])["predictions"][0]["score"])


@pytest.fixture
def exchange(moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    for name, value in ENVIRONMENT.items():
        if not name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARRIVAL_QUEUE_URL", "https://sqs/arrival")
    monkeypatch.setenv("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts")
    ledger_table.write_one_at_a_time(monkeypatch)
    found = Exchange(tmp_path, moto_endpoint, monkeypatch)
    yield found
    found.sagemaker.close()


def config_of(run_id: str) -> str:
    return f"{ENDPOINT}-{run_id}"


@pytest.mark.case("DE-08")
@pytest.mark.parametrize(("winner", "loser"), [(ONE, OTHER), (OTHER, ONE)], ids=["first", "second"])
def test_of_two_runs_that_deploy_at_once_one_is_crowned_and_served_and_the_other_ends_by_name(
    exchange: Exchange, winner: str, loser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's lease runs out while it is held before its champion's move: the second comes as far."""
    held: dict[str, threading.Event] = {ONE: threading.Event(), OTHER: threading.Event()}
    goes_on = {ONE: threading.Event(), OTHER: threading.Event()}
    coming = iter((ONE, OTHER))

    def barrier(point: str) -> None:
        if point == "before_champion_cas":
            run_id = next(coming)
            held[run_id].set()
            assert goes_on[run_id].wait(60)

    monkeypatch.setattr("driftwheel.ledger.champions.reached", barrier)
    exchange.deploy(exchange.challenger(ONE))
    assert exchange.settled() == config_of(ONE)
    with ThreadPoolExecutor(2) as pool:
        looks = {ONE: pool.submit(exchange.look)}
        assert held[ONE].wait(60)
        second = exchange.challenger(OTHER)
        exchange.deploy(second)
        assert exchange.described()["EndpointStatus"] == "Updating"
        exchange.deploy(second)  # again, as after a kill: it is on its way already
        assert exchange.settled() == config_of(OTHER)
        looks[OTHER] = pool.submit(exchange.look)
        assert held[OTHER].wait(60)
        for run_id in (winner, loser):
            goes_on[run_id].set()
            looks[run_id].result(60)

    (row,) = exchange.champions.history("flights")
    assert (row.run_id, row.endpoint_config) == (winner, config_of(winner))
    (success,), (fenced, failure) = (
        exchange.states.asked(f"send_task_{how}") for how in ("success", "failure")
    )
    assert success["taskToken"] == f"token of {winner}"
    assert (failure["taskToken"], failure["error"]) == (f"token of {loser}", "ChampionMoved")
    # The second one's look finds the first one's wait too, which has lost its lease.
    assert (fenced["taskToken"], fenced["error"]) == (f"token of {ONE}", "LeaseLost")
    assert Tokens(exchange.functions.table).all() == []
    if winner == ONE:  # the loser's model still serves: the schedule that puts endpoints right sees it
        exchange.put_right()
        waits_for_an_update_under_way(exchange)
    assert exchange.settled() == config_of(winner)
    assert exchange.asked() == int(winner)


def waits_for_an_update_under_way(exchange: Exchange) -> None:
    """A run that comes while the endpoint is Updating parks nothing; Step Functions tries it again."""
    assert exchange.described()["EndpointStatus"] == "Updating"
    told = len(exchange.states.asked("send_task_failure"))
    with pytest.raises(CapacityExceeded, match=f"endpoint {ENDPOINT} is Updating"):
        exchange.deploy(exchange.challenger(THIRD))
    assert len(exchange.states.asked("send_task_failure")) == told
    assert Tokens(exchange.functions.table).all() == []
