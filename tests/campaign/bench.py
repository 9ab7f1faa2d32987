"""The test build as a running stack: functions are killed where somebody aims, calls may be harmed."""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from driftwheel.deployment.probe import Probe
from driftwheel.layout import RunLayout
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.runs import RunRow
from tests.loop.conftest import SPEC, Loop, Parcels
from tests.oracle.on_stack import Scene

from .build import BUILT, DARK, DOOM, HELD, OF_APPROVAL, OF_SPARK, SPOILED, made

PROXIED = ("S3", "DYNAMODB", "SAGEMAKER", "SAGEMAKER_RUNTIME", "SFN", "SQS", "SNS", "CLOUDWATCH")
VISIBILITY_SECONDS = 361
"""After so long a message whose function was killed is delivered again."""
PATIENCE_SECONDS, RECONCILED_EVERY = 300, 4
"""Seconds until what should have happened is given up; and before the first jump of the stack's clock."""
READERS = ("trigger", "job-callback")
"""The functions that are given messages, as their logs are called."""
HARMED_EVERY = 20
"""The longest pause between jumps while calls are harmed: messages have to come back at any time."""
QUIET = (
    SPEC.replace("rounds: 40", "rounds: 10")
    .replace("{minimum_rows: 200, every_minutes: 1}", "{minimum_rows: 1000000, every_minutes: 60}")
    .replace("runs_per_day: 50", "runs_per_day: 1000")
    .replace("slices: [depot]}", "slices: [depot], minimum_gain: -0.2}")
)
"""No drift is looked for (the prober asks one question all the time); a challenger may be a little worse."""
LARGE = QUIET + "preprocessing: {spark_above_gb: 0.00001, max_runtime_seconds: 86400}\n"
ASKING = QUIET.replace("minimum_gain: -0.2}", "minimum_gain: -0.2, approval: required}")


class Bench(Loop):
    """A stack of the test build; models are made as a test needs them."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(root)
        self.aimed = root / "aimed"
        self.aimed.mkdir()
        self.template = made(root / "source", self.aimed, environment or {})
        self._numbers = itertools.count(1)
        self.newest: list[str] = []

    def command(self) -> list[str]:
        places = (self.folder, self.template, BUILT)
        return [sys.executable, "-m", "tests.campaign.stack", *map(str, places)]

    def pass_time(self, seconds: float) -> None:
        """Move the stack's clock: queues, schedules and alarms follow; the functions' own time does not."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n".encode())
        self.process.stdin.flush()

    def aim(self, *points: str, at: str = "function") -> None:
        """Kill whoever reaches each of these points next, the function or the whole stack."""
        for point in points:
            for mark in self.aimed.glob(f"{point}.*"):
                mark.unlink()
            unfinished = self.aimed / f".{point}"
            unfinished.write_text(at, encoding="utf-8")
            unfinished.rename(self.aimed / point)

    @contextmanager
    def held(self, point: str) -> Iterator[Callable[[], None]]:
        """Hold whoever reaches this point next; gives what waits for them. They go on at the end."""
        self.aim(point, at=HELD)
        hit = self.aimed / f"{point}.hit"
        try:
            yield lambda: self.until(hit.exists, PATIENCE_SECONDS, f"somebody comes to {point}")
        finally:
            (self.aimed / point).unlink(missing_ok=True)
            hit.unlink(missing_ok=True)

    @contextmanager
    def spoiled(self, seconds: float) -> Iterator[None]:
        """Let instances that are started meanwhile answer 500 from so long after their first request on."""
        unfinished = self.aimed / f".{SPOILED}"
        unfinished.write_text(json.dumps(seconds), encoding="utf-8")
        unfinished.rename(self.aimed / SPOILED)
        try:
            yield
        finally:
            (self.aimed / SPOILED).unlink()

    def answered(self, how: Literal["well", "failed"]) -> int:
        """Count what instances that break down were asked, before and after."""
        count = self.aimed / f"{SPOILED}.{how}"
        return count.stat().st_size if count.exists() else 0

    def is_dark(self) -> bool:
        """Whether somebody has ended the whole stack, or is about to."""
        return (self.aimed / DARK).exists()

    def light(self) -> None:
        """Start the stack again after a power cut."""
        (self.aimed / DARK).rmdir()
        self.up()

    def still_aimed(self) -> set[str]:
        """Name the points nobody has reached since they were aimed at."""
        return {each.name for each in self.aimed.iterdir() if not each.suffix}

    def doom(self, seed: int, share: float) -> None:
        """Kill this share of the functions' invocations from now on, each after a call or at its end."""
        unfinished = self.aimed / f".{DOOM}"
        unfinished.write_text(json.dumps([seed, share]), encoding="utf-8")
        unfinished.rename(self.aimed / DOOM)

    def spare(self) -> None:
        """Kill nobody by chance any more."""
        (self.aimed / DOOM).unlink()

    def doomed(self) -> Counter[str]:
        """Count the invocations while some were doomed, and those that were killed."""
        invoked = sum(each.stat().st_size for each in self.aimed.glob("*.invoked"))
        return Counter({"invoked": invoked, "killed": len([*self.aimed.glob("*.killed")])})

    def judge(self) -> int:
        """Hold the test's own model and what all share to the invariants; at the end, every model."""
        return self.judge_models(self.newest)

    def down(self) -> None:
        try:
            self.judge_models([])
        finally:
            self.stop()

    def stop(self) -> None:
        """End the stack, whatever it looks like."""
        super().down()

    def await_hits(self, points: Sequence[str], whose: str) -> None:
        """Wait until somebody was killed at each of these points; say yes where a run asks a person.

        Time passes meanwhile: the message of a trigger that was killed at the first comes back only then.
        """
        jumps = Jumps(self)

        def all_hit() -> bool:
            self.agree()
            jumps.take()
            return all((self.aimed / f"{point}.hit").exists() for point in points)

        self.until(all_hit, PATIENCE_SECONDS, f"{' and '.join(points)} {whose}")

    def model(self, spec: str = QUIET) -> str:
        """Register a model of its own."""
        name = f"parcels-{next(self._numbers)}"
        self.newest = [name]
        self.drop(f"models/{name}/model.yaml", spec.replace("parcels", name).encode())
        self.until(lambda: self.ledger.models.get(name), PATIENCE_SECONDS, f"{name} is registered")
        return name

    def agree(self) -> None:
        """Say yes wherever a run waits for a person."""
        client = self.client("sagemaker")
        for parked in self.tokens.all():
            if parked.kind == "model_package":
                package = client.describe_model_package(ModelPackageName=parked.arn)
                if package["ModelApprovalStatus"] == "PendingManualApproval":
                    client.update_model_package(
                        ModelPackageArn=parked.arn,
                        ModelApprovalStatus="Approved",
                        ApprovalDescription="said by the campaign",
                    )

    def settle(self, patience: float = PATIENCE_SECONDS, *, pending: bool = True) -> None:
        """Let messages come back and schedules tick until nothing is under way, and nothing pending.

        Without ``pending``, what a run tried in vain may stay so; dead letters are sent back meanwhile, and
        functions that are slow, as their calls are tried again, keep their messages.
        """
        began, jumps = time.monotonic(), Jumps(self, PATIENCE_SECONDS if pending else HARMED_EVERY)
        while next(self._unsettled(pending=pending), None):
            assert time.monotonic() - began < patience, [*self._unsettled(pending=pending)]
            self.agree()
            if pending:
                jumps.take()
            elif not self.at_work_on_messages() and jumps.take():
                self.redrive()
            time.sleep(0.5)

    def recover(self, models: list[str]) -> None:
        """Do what an operator does after an incident: redrive what was set aside, ask for runs again."""
        for _ in range(4):
            self.redrive()
            self.settle(pending=False)
            if not any(self._pending()):
                return
            for model in models:
                body = json.dumps({"kind": "manual", "model": model})
                self.client("sqs").send_message(QueueUrl=self.names["arrival_queue_url"], MessageBody=body)
            time.sleep(1)

    def redrive(self) -> None:
        """Send what lies in dead letter queues back to the queues it came from."""
        sqs = self.client("sqs")
        for url in sqs.list_queues()["QueueUrls"]:
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
            policy = told.get("Attributes", {}).get("RedrivePolicy")
            if policy is not None:
                sqs.start_message_move_task(SourceArn=json.loads(policy)["deadLetterTargetArn"])

    def _unsettled(self, *, pending: bool) -> Iterator[str]:
        yield from self._at_work()
        yield from (run.run_id for run in self.all_runs() if not run.ended_at)
        yield from self._pending() if pending else self._untried()

    def _pending(self) -> Iterator[str]:
        for spec in self.ledger.models.all():
            rows = self.ledger.objects.of_model(spec.model)
            yield from (f"{row.key} is pending" for row in rows if row.state == "pending")

    def _untried(self) -> Iterator[str]:
        for spec in self.ledger.models.all():
            scene = Scene(self, spec)
            settled = {(row.key, row.version) for row in scene.objects if row.state != "pending"}
            tried = settled | (scene.held_back() if scene.runs else set())
            yield from (f"{key} was not tried" for key, version in scene.delivered().keys() - tried)

    def at_work_on_messages(self) -> int:
        """Count the invocations at work on messages: a jump would send theirs to another."""
        logs = [self.folder / "logs" / f"{self.names['stack']}-{name}.log" for name in READERS]
        texts = [log.read_text(encoding="utf-8") for log in logs if log.exists()]
        return sum(text.count(" START RequestId: ") - text.count(" END RequestId: ") for text in texts)

    def may_jump(self) -> bool:
        """Whether no state would time out: runs that are at work wait for a token, which takes hours."""
        states = self.client("stepfunctions")
        pages = [
            states.get_execution_history(executionArn=one["executionArn"], reverseOrder=True, maxResults=1)
            for one in self.running()
        ]
        # One that was started just now has no event yet.
        return all([event["type"] for event in page["events"]] == ["TaskSubmitted"] for page in pages)

    def all_runs(self) -> list[RunRow]:
        return [run for spec in self.ledger.models.all() for run in self.ledger.runs.of_model(spec.model)]

    def champion(self, model: str) -> ChampionRow:
        found = self.ledger.champions.get(model)
        assert found is not None, model
        return found

    def counted(self, model: str) -> Counter[str]:
        """Count what a model was sent and trained, for the campaign's table."""
        jobs = (
            self.client("sagemaker").get_paginator("list_training_jobs").paginate(NameContains=f"-{model}-")
        )
        return Counter(
            {
                "deliveries to the running stack": sum(
                    row.deliveries for row in self.ledger.objects.of_model(model)
                ),
                "trainings on the running stack": sum(len(page["TrainingJobSummaries"]) for page in jobs),
            }
        )

    def probe(self, champion: ChampionRow) -> Probe:
        """One record a champion was trained to answer, with its answer."""
        where = RunLayout(self.names["artifact_bucket"], champion.model, champion.run_id)
        key = (where.step("evaluation_gate") / "probe.json").key
        body = self.client("s3").get_object(Bucket=where.bucket, Key=key)["Body"].read()
        whole = Probe.from_json(body)
        return Probe(whole.records[:1], whole.scores[:1])


class Jumps:
    """When the stack's clock goes forward: never while a state would time out, and less often each time.

    A message that is still worked on would come again and again; the reconciler wakes every 300 s.
    """

    def __init__(self, bench: Bench, longest: float = PATIENCE_SECONDS) -> None:
        self._bench, self._moved, self._pause = bench, time.monotonic(), float(RECONCILED_EVERY)
        self._longest = longest

    def take(self) -> bool:
        """Let the time pass after which a message comes back, if that is due; say whether it was."""
        now = time.monotonic()
        if now - self._moved <= self._pause or not self._bench.may_jump():
            return False
        self._bench.pass_time(VISIBILITY_SECONDS)
        self._moved, self._pause = now, min(self._pause * 1.5, self._longest)
        return True


def through(url: str) -> dict[str, str]:
    """Give the environment with which functions talk to a proxy instead of the stack."""
    return {f"AWS_ENDPOINT_URL_{service}": url for service in PROXIED}


def spec_for(*points: str) -> str:
    """A model.yaml whose runs pass these points."""
    if OF_SPARK.intersection(points):
        return LARGE
    return ASKING if OF_APPROVAL.intersection(points) else QUIET


def file(parcels: Parcels, rows: int = 1_000) -> bytes:
    return parcels.csv(parcels.rows(rows))
