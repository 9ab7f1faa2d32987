"""`sam local invoke` of every function against a running local stack, beside the local runtime's own answers.

One run goes through the local stack first; each function is then asked again what it was asked in that run,
by the local runtime and by `sam local invoke` on the code and layer that `sam build` made. Every effect has
a natural key, so to ask again changes nothing, and both must answer alike.

Run it by `make sam-local`. Exit code 1 when an answer differs, or is an error that ``REFUSES`` does not name.
"""

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from engine import EngineMissing, engine

from driftwheel.ledger.table import Table
from driftwheel.steps.trigger import Ledger
from driftwheel_local.permissions.keys import access_key_of

ROOT = Path(__file__).parents[1]
BUILT = ROOT / ".aws-sam" / "build"
CACHE = ROOT / ".sam-local"
RUN_SECONDS, INVOKE_SECONDS = 180, 300
MODEL = """
model: parcels
source: {prefix: data/parcels/, key: [id]}
columns:
  id: {type: category, feature: false}
  weight: {type: number, missing: median}
  rush: {type: number, missing: median}
  late: {type: boolean, feature: false}
target: {column: late}
training: {algorithm: xgboost, rounds: 20}
evaluation: {metric: auc, minimum_rows: 100, approval: required}
deployment: {mode: all_at_once, bake_seconds: 0}
triggers: {quiet_seconds: 1, cooldown_minutes: 0}
"""
LOGICAL = {
    "trigger": "TriggerFunction",
    "data_arrival": "DataArrivalFunction",
    "preprocessing": "PreprocessingFunction",
    "preprocessing_launch": "PreprocessingLaunchFunction",
    "training_launch": "TrainingLaunchFunction",
    "evaluation_gate": "EvaluationGateFunction",
    "approval": "ApprovalFunction",
    "deployment": "DeploymentFunction",
    "record_outcome": "RecordOutcomeFunction",
    "drift_check": "DriftCheckFunction",
    "job_callback": "JobCallbackFunction",
    "sweep": "SweepFunction",
}
REFUSES = {"deployment": "LeaseLost"}
"""Step → the error it must answer with, by both ways: the run has ended and given its lease back.

Two that fail alike have shown nothing, so every other error is a difference.
"""

MOMENT = re.compile(r"\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\d(\.\d+)?(\+00:00|Z)?")


class World:
    """The local stack, after one run that a person approved."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service, **self._where())

    def _where(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.state["endpoint_url"],
            "region_name": self.state["region"],
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }

    @property
    def names(self) -> dict[str, str]:
        value = self.client("ssm").get_parameter(Name="/driftwheel/driftwheel")["Parameter"]["Value"]
        found: dict[str, str] = json.loads(value)
        return found

    @property
    def ledger(self) -> Ledger:
        table = boto3.resource("dynamodb", **self._where()).Table(self.names["table"])
        return Ledger.of(Table(table))

    def until(self, happened: Any, what: str) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while not happened():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {RUN_SECONDS} s for: {what}; see {self.root / 'stack' / 'logs'}")
            time.sleep(0.3)

    def command(self, *arguments: str) -> None:
        folder = str(self.root / "stack")
        subprocess.run(
            [str(Path(sys.executable).parent / "driftwheel"), "--local", folder, *arguments],
            check=True,
            stdout=sys.stderr,
        )


@contextmanager
def local_stack(root: Path) -> Iterator[World]:
    """Run the shipped template and take one approved run through it."""
    world = World(root)
    with (root / "server.log").open("ab") as log:
        world.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "driftwheel_local.server", "--root", str(root / "stack")),
                *("--template", str(ROOT / "template.yaml"), "--time-scale", "0.01"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        described = root / "stack" / "stack.json"
        world.until(described.exists, "the local stack starts")
        world.state = json.loads(described.read_text(encoding="utf-8"))
        _one_run(world)
        yield world
    finally:
        world.process.terminate()
        world.process.wait(timeout=60)


def _one_run(world: World) -> None:
    (world.root / "model.yaml").write_text(MODEL, encoding="utf-8")
    dice, rows = random.Random(7), ["id,weight,rush,late"]
    for number in range(2_000):
        weight, rush = dice.gauss(20, 5), dice.random()
        late = dice.random() < 1 / (1 + 2.718 ** (-(weight - 20) / 5 - 2 * rush + 1))
        rows.append(f"p{number},{weight:.3f},{rush:.3f},{str(late).lower()}")
    (world.root / "parcels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    world.command("register", str(world.root / "model.yaml"))
    world.command("drop", str(world.root / "parcels.csv"), "--model", "parcels")
    sagemaker = world.client("sagemaker")

    def asked() -> list[Any]:
        groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        return [
            package
            for group in groups
            for package in sagemaker.list_model_packages(
                ModelPackageGroupName=group["ModelPackageGroupName"]
            )["ModelPackageSummaryList"]
            if package["ModelApprovalStatus"] == "PendingManualApproval"
        ]

    world.until(asked, "a run that asks for approval")
    run = world.ledger.runs.of_model("parcels")[0]
    world.command("approve", run.run_id, "--reason", "sam-local compares")
    world.until(lambda: world.ledger.runs.of_model("parcels")[0].ended_at, "the run to end")


def asked_in_run(world: World) -> dict[str, Any]:
    """Read from the execution's history what each function was asked, by step."""
    arn = world.ledger.runs.of_model("parcels")[0].execution_arn
    found: dict[str, Any] = {}
    pages = world.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    for event in (event for page in pages for event in page["events"]):
        if direct := event.get("lambdaFunctionScheduledEventDetails"):
            found[_step_of(direct["resource"])] = json.loads(direct["input"])
        elif called := event.get("taskScheduledEventDetails"):
            parameters = json.loads(called["parameters"])
            found[_step_of(parameters["FunctionName"])] = parameters["Payload"]
    for step, body in (
        ("trigger", {"kind": "tick", "schedule": "tick", "scheduled_time": "2026-01-02T03:05:00Z"}),
        (
            "job_callback",
            {"kind": "reconcile", "schedule": "reconcile", "scheduled_time": "2026-01-02T03:15:00Z"},
        ),
    ):
        event = json.loads((ROOT / "events" / f"{step}.json").read_text(encoding="utf-8"))
        [record] = [one for one in event["Records"] if json.loads(one["body"]).get("kind") == body["kind"]]
        found[step] = {"Records": [record | {"body": json.dumps(body)}]}
    found["drift_check"] = {"kind": "manual", "model": "parcels"}
    found["sweep"] = {"kind": "scheduled"}
    # A small run goes without Spark; its launcher is asked for the same run, and the second time attaches.
    found["preprocessing_launch"] = found["training_launch"]
    return found


def _step_of(function_arn: str) -> str:
    return function_arn.rsplit(":driftwheel-", 1)[-1].split(":", maxsplit=1)[0].replace("-", "_")


def by_local_runtime(world: World, step: str, event: Any) -> Any:
    """Ask a function as `aws lambda invoke` does."""
    answer = world.client("lambda").invoke(
        FunctionName=f"driftwheel-{step.replace('_', '-')}", Payload=json.dumps(event).encode()
    )
    return json.loads(answer["Payload"].read() or b"null")


def by_sam(world: World, step: str, event: Any, environment: dict[str, str]) -> Any:
    """Ask the built function in AWS's container layout, under its role's session in the local stack."""
    name = f"driftwheel-{step.replace('_', '-')}"
    deployed = world.client("lambda").get_function_configuration(FunctionName=name)
    files = {"event.json": event, "names.json": {LOGICAL[step]: deployed["Environment"]["Variables"]}}
    for file, document in files.items():
        (world.root / file).write_text(json.dumps(document), encoding="utf-8")
    keys = {
        "AWS_ACCESS_KEY_ID": access_key_of(deployed["Role"]),
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": world.state["region"],
        "SAM_CLI_TELEMETRY": "0",
    }
    with _door(world, BUILT / LOGICAL[step]):
        called = subprocess.run(
            [
                *("sam", "local", "invoke", LOGICAL[step], "--skip-pull-image"),
                *("--event", str(world.root / "event.json"), "--env-vars", str(world.root / "names.json")),
                *("--region", world.state["region"]),
            ],
            cwd=ROOT,
            env=environment | keys,
            capture_output=True,
            text=True,
            timeout=INVOKE_SECONDS,
            check=False,
        )
    lines = [line for line in called.stdout.splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"sam local invoke {LOGICAL[step]} answered nothing:\n{called.stderr[-3_000:]}")
    return json.loads(lines[-1])


@contextmanager
def _door(world: World, folder: Path) -> Iterator[None]:
    """Open a way from a container to the stack: a socket file in the function's folder, no network."""
    place, port = folder / "stack.sock", world.state["endpoint_url"].rsplit(":", 1)[-1]
    place.unlink(missing_ok=True)
    (folder / "stack.port").write_text(port, encoding="utf-8")
    relay = subprocess.Popen(["socat", f"UNIX-LISTEN:{place},fork", f"TCP:127.0.0.1:{port}"])
    try:
        yield
    finally:
        relay.terminate()
        relay.wait(timeout=10)
        place.unlink(missing_ok=True)
        (folder / "stack.port").unlink()


def alike(answer: Any) -> Any:
    """Leave out what differs from call to call: moments, and where the code lies."""
    if isinstance(answer, dict):
        return {key: alike(value) for key, value in answer.items() if key not in {"stackTrace", "requestId"}}
    if isinstance(answer, list):
        return [alike(value) for value in answer]
    return MOMENT.sub("<moment>", answer) if isinstance(answer, str) else answer


def verdict_on(step: str, ours: Any, theirs: Any) -> str:
    """Compare two answers of a step; one that fails has answered only where ``REFUSES`` names its error.

    >>> verdict_on("trigger", {"errorType": "ImportError"}, {"errorType": "ImportError"})
    'FAILS'
    >>> verdict_on("deployment", {"errorType": "LeaseLost"}, {"errorType": "LeaseLost"})
    'alike'
    """
    if ours != theirs:
        return "DIFFERS"
    failed = theirs.get("errorType") if isinstance(theirs, dict) else None
    return "alike" if failed == REFUSES.get(step) else "FAILS"


def main() -> int:
    """Compare all functions; print one line each."""
    if not BUILT.is_dir():
        raise SystemExit("nothing is built: make sam")
    with tempfile.TemporaryDirectory(prefix="driftwheel-sam-") as name:
        try:
            with engine(CACHE) as environment, local_stack(Path(name)) as world:
                return _compared(world, environment)
        except EngineMissing as error:
            print(error, file=sys.stderr)
            return 1
        except SystemExit:
            shutil.copy(Path(name) / "server.log", CACHE / "server.log")
            raise


def _compared(world: World, environment: dict[str, str]) -> int:
    different = 0
    asked = asked_in_run(world)
    for step in LOGICAL:
        ours = alike(by_local_runtime(world, step, asked[step]))
        began = time.monotonic()
        theirs = alike(by_sam(world, step, asked[step], environment))
        seconds = time.monotonic() - began
        verdict = verdict_on(step, ours, theirs)
        different += verdict != "alike"
        print(f"{step:16} {verdict:8} {seconds:5.1f} s  {json.dumps(theirs)}", flush=True)
        if verdict != "alike":
            print(
                f"{'':16} local runtime: {json.dumps(ours)[:2000]}\n{'':16} sam: {json.dumps(theirs)[:2000]}"
            )
    print(f"{len(LOGICAL) - different} of {len(LOGICAL)} functions answer alike")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
