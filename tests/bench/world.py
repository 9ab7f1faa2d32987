# ruff: noqa: N803, BLE001, E501
"""The whole wheel in memory: the product's trigger, steps, callback and ledger, and a clock the test moves.

Four things are stood in for: what rows are (a file's digest), the training itself, the gate's statistics
(every challenger on new rows is better, unless its file says otherwise), and what a drift check reads off
live traffic (what the test says of it).
"""

import contextlib
import hashlib
import json
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError

import driftwheel.hooks
from driftwheel.aws.objects import Objects
from driftwheel.digest import digest
from driftwheel.drift.finding import DriftReport, Finding, Severity
from driftwheel.drift.hours import BrokenHours
from driftwheel.errors import DriftwheelError
from driftwheel.layout import RunLayout, S3Uri
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import EvaluationGateSection, PreprocessingSection, Run
from driftwheel.spec import ModelSpec
from driftwheel.steps import (
    alerts,
    approval,
    data_arrival,
    deployment,
    drift_check,
    job_callback,
    preprocessing,
    preprocessing_launch,
    record_outcome,
    restoration,
    rollback,
    sweep,
    training_launch,
)
from driftwheel.steps import trigger as triggering
from driftwheel.steps.drift_verdict import Judged
from driftwheel.steps.shortened import all_refused
from driftwheel.triggers.messages import Nudge, parse
from tests.security.iam import ACCOUNT, KEY, NAMES, REGION, VPC

from .artifacts import packed
from .buckets import MemoryS3
from .faults import Faults, Killed, refused
from .machine import MACHINE, Execution, Machine
from .sagemaker import ARN, StrictSageMaker, score_of
from .table import MemoryTable

SPEC = """
model: {model}
source: {{prefix: data/{model}/, key: [id]}}
columns: {{id: {{type: category, feature: false}}, late: {{type: boolean, feature: false}}, w: {{type: number}}}}
target: {{column: late}}
split: {{by: key}}
deployment: {{mode: canary, size: 10, bake_seconds: 60, capture: 100}}
triggers: {{quiet_seconds: 5, cooldown_minutes: 0, runs_per_day: 1000}}
"""
LANDING, ARTIFACTS = NAMES["LandingBucket"], NAMES["ArtifactBucket"]
CANARY = b"AKIAPLANTEDINEVERYROW"
"""Stands in every file that is dropped, and may come out nowhere."""
MOST_RECEIVES = 5
PENDING = "PendingManualApproval"
LARGE = "preprocessing: {engine: spark}\n"
ASKING = "evaluation: {approval: required}\n"
"""Further lines of a model.yaml: prepared by Spark; a person is asked."""
CODE = ("c" * 64, b"code")
SPARK = ("d" * 64, {"preprocess_spark.py": b"code"})
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAMES['SageMakerRole']}"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAMES['AlertTopic']}"
PLACE = training_launch.Place("driftwheel", ARTIFACTS, ROLE, KEY, VPC)
SWEPT_AFTER_DAYS = 2
"""Fewer than are shipped, so that what is left over is gone when a world is at rest."""
TOLD = re.compile(r"run (\S+) (?:failed|refused|rejected|aborted)\.")
"""How an alert names the run whose end it tells."""
STOOD_IN = {"evaluation_gate"}
"""What has no code of the product in it here: its calls are nobody's."""
SCHEDULED = {"reconcile", "restore", "sweep", "scheduled"}
Message = dict[str, Any]


@dataclass
class Queued:
    """One message of a queue, and how often it was received."""

    body: Message
    due: datetime
    receives: int = 0


class World:
    """One stack. Nothing happens until a test lets a message, an execution or SageMaker go on.

    ``planted`` stands at the end of every data file, ``declaration`` is what every model declares.
    """

    planted = b"\n" + CANARY
    declaration = SPEC

    def __init__(
        self, faults: Faults | None = None, models: tuple[str, ...] = ("parcels",), quota: int = 100
    ) -> None:
        self.faults = faults or Faults()
        self.models = models
        self.now = datetime(2026, 1, 2, tzinfo=UTC)
        self.acting = self.faults.rights.of
        self.s3, self.store = MemoryS3(self.faults), MemoryTable(self.faults)
        self.sagemaker = StrictSageMaker(self.faults, lambda: self.now, quota)
        self.machine = Machine(self.faults, self._invoke, self._execution_ended, lambda: self.now)
        self.table, self.objects = Table(self.store), Objects(self.s3)
        self.ledger = triggering.Ledger.of(self.table)
        self.wheel = triggering.Wheel(ARTIFACTS, MACHINE, CODE[0], 72, self.machine, self.objects)
        self.place = deployment.Site("driftwheel", ARTIFACTS, ROLE, KEY, VPC, TOPIC)
        self.arrivals: list[Queued] = []
        self.callbacks: list[Queued] = []
        self.dead: list[Message] = []
        self.alerts: Counter[tuple[str, str]] = Counter()
        self.delivered: dict[tuple[str, str, str], str] = {}
        self.digests: dict[str, str] = {}
        self.prepared: dict[str, set[str]] = {}
        self.tellings: Counter[tuple[str, str]] = Counter()
        self.passed: set[str] = set()
        self.manifests: dict[str, str] = {}
        self.wrong_answers: Counter[str] = Counter()
        self.said: list[str] = []
        self.counts: Counter[str] = Counter()
        self.dropped: dict[str, int] = {}
        self.sns_refuses = False
        self.live: dict[str, tuple[int, Severity, int]] = {}
        self._swept_on = self.now.date()
        self.ringing: list[str] = []
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def hooked(self) -> Iterator["World"]:
        """Let the hooks reach this world's faults."""
        before = driftwheel.hooks._reach
        driftwheel.hooks._reach = self.faults.reach
        try:
            yield self
        finally:
            driftwheel.hooks._reach = before

    @contextlib.contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing more go wrong."""
        faults = self.faults
        kept = (faults.throttled, faults.lost, faults.killed, faults.plan)
        faults.throttled, faults.lost, faults.killed, faults.plan = 0.0, 0.0, 0.0, {}
        try:
            yield
        finally:
            faults.throttled, faults.lost, faults.killed, faults.plan = kept

    # What the outside does

    def register(self, more: str = "") -> None:
        """Drop every model's declaration, with further lines of YAML."""
        with self.calm():
            for model in self.models:
                body = (self.declaration.format(model=model) + more).encode()
                self.arrivals.append(Queued(self.event(f"models/{model}/model.yaml", body), self.now))
            self.drain()

    def event(self, key: str, body: bytes) -> Message:
        """Put an object and word its event as S3 does."""
        if body and key.startswith("data/"):
            body += self.planted
        with self.calm():
            put = self.s3.put_object(Bucket=LANDING, Key=key, Body=body)
        number = int(put["VersionId"][1:])
        etag = put["ETag"].strip('"')
        object_ = {"key": key, "size": len(body), "etag": etag, "version-id": put["VersionId"]}
        object_ |= {"sequencer": f"{number:012X}"}
        model = key.split("/")[1]
        if key.startswith("data/"):
            self.delivered[model, key, put["VersionId"]] = etag
        detail = {"bucket": {"name": LANDING}, "object": object_, "reason": "PutObject"}
        return {"detail-type": "Object Created", "time": "2026-01-02T00:00:00Z", "detail": detail}

    def drop(self, model: str, name: str, body: bytes) -> Message:
        message = self.event(f"data/{model}/{name}", body)
        self.arrivals.append(Queued(message, self.now))
        return message

    def tick(self, seconds: float = 60) -> None:
        """Let time pass; the schedules' ticks come with it."""
        self.now += timedelta(seconds=seconds)
        self.arrivals.append(Queued({"kind": "tick"}, self.now))
        kinds = ["reconcile", "restore"]
        if self.now.date() > self._swept_on:
            self._swept_on = self.now.date()
            kinds.append("sweep")
        self.callbacks += [Queued({"kind": kind}, self.now) for kind in kinds]
        if self.live:
            self.check_drift()

    def drift(self, model: str, severity: Severity, labelled: int) -> None:
        """Let the traffic of the champion that serves now move, and so many of its rows be labelled."""
        with self.calm():
            champion = self.ledger.champions.get(model)
        if champion is not None:
            self.live[model] = (champion.sequence, severity, labelled)

    def check_drift(self) -> None:
        """Let the drift check's own tick come."""
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.callbacks.append(
            Queued({"kind": "scheduled", "schedule": "drift", "scheduled_time": at}, self.now)
        )

    def roll_back(self, model: str, dice: random.Random | None = None) -> bool:
        """Do what `driftwheel rollback` does, while all else goes on; False when it is refused, or dies."""
        clients = rollback.Clients(self.sagemaker, self.sagemaker, self.objects)
        ledger = replace(rollback.Ledger.of(self.table), leases=Mortal(self.table))

        def pause(seconds: float) -> None:
            self.now += timedelta(seconds=seconds)
            self.work(dice)

        try:
            stands, target = rollback.target_of(model, ledger.champions)
            waiter = rollback.Waiter(lambda: self.now, pause)
            rollback.roll_back(stands, target, "said so", ARTIFACTS, clients, ledger, waiter)
        except (Killed, DriftwheelError, ClientError) as error:
            self.counts[f"no rollback: {type(error).__name__}"] += 1
            return False
        self.counts["rollbacks"] += 1
        self.send_message(QueueUrl="arrival", MessageBody=json.dumps({"kind": "reconsider", "model": model}))
        return True

    # What AWS does

    def receive(self, queue: list[Queued], index: int = 0) -> None:
        """Hand one message to its function; what fails comes back, and after five times is set aside."""
        self.hand_over(queue, queue.pop(index))

    def hand_over(self, queue: list[Queued], message: Queued) -> None:
        """Give a message that was taken from its queue to its function."""
        if message.due > self.now:
            queue.append(message)
            return
        message.receives += 1
        self.count("deliveries")
        step, handle = self._handler(queue, message.body)
        try:
            with self.acting(step):
                handle(message.body)
        except (Killed, Exception) as error:
            self.count(f"came back: {type(error).__name__}")
            if message.receives >= MOST_RECEIVES:
                self.dead.append(message.body)
            else:
                message.due = self.now + timedelta(seconds=30)
                queue.append(message)

    def _handler(self, queue: list[Queued], body: Message) -> tuple[str, Callable[[Message], None]]:
        """Name the function that gets a message, and what it does with it."""
        if queue is self.arrivals:
            return "trigger", self._consider
        return {
            "restore": ("deployment", self._tidy),
            "sweep": ("sweep", self._sweep),
            "scheduled": ("drift_check", self._check_drift),
        }.get(body.get("kind", ""), ("job_callback", self._wake))

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:
        assert QueueUrl == "arrival"
        self.faults.rights.judge("sqs", "SendMessage", {"QueueUrl": QueueUrl})
        self.arrivals.append(Queued(json.loads(MessageBody), self.now))

    def count(self, what: str) -> None:
        """Count what happened, whichever thread it happened on."""
        with self._lock:
            self.counts[what] += 1

    def work(self, dice: random.Random | None = None) -> bool:
        """Let one job, endpoint, execution or message go on; False when nothing can."""
        choices = self.choices()
        if not choices:
            return False
        kind, what = dice.choice(choices) if dice else choices[0]
        if kind == "arrival":
            self.receive(self.arrivals, what)
        elif kind == "callback":
            self.receive(self.callbacks, what)
        else:
            self.go_on(kind, what)
        self.probe()
        return True

    def choices(self) -> list[tuple[str, Any]]:
        """List what can go on, by kind: an execution, a resource's name, a message's place in its queue."""
        choices, retried = self.at_hand()
        choices += [("arrival", n) for n, message in enumerate(self.arrivals) if message.due <= self.now]
        choices += [("callback", n) for n, message in enumerate(self.callbacks) if message.due <= self.now]
        return choices + retried

    def at_hand(self) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
        """List what can go on but for messages; apart, the executions whose retry has waited."""
        ready = sorted(filter(self._can, self.machine.running()), key=lambda one: one.tries.total())
        choices: list[tuple[str, Any]] = [("advance", one) for one in ready if not one.tries]
        jobs = list(self.sagemaker.jobs.items())
        choices += [("job", name) for name, job in jobs if job["TrainingJobStatus"] == "InProgress"]
        prepared = list(self.sagemaker.processing_jobs.items())
        choices += [("processing", n) for n, job in prepared if job["ProcessingJobStatus"] == "InProgress"]
        moving = ("Creating", "Updating")
        endpoints = list(self.sagemaker.endpoints.items())
        choices += [("endpoint", n) for n, one in endpoints if one["EndpointStatus"] in moving]
        packages = list(self.sagemaker.packages.items())
        choices += [("package", n) for n, one in packages if one["ModelApprovalStatus"] == PENDING]
        return choices, [("advance", one) for one in ready if one.tries]

    def go_on(self, kind: str, what: Any) -> None:
        """Let an execution or something of SageMaker's go on."""
        if kind == "advance":
            self.machine.advance(what)
        elif kind == "job":
            self.end_job(what)
        elif kind == "processing":
            self.end_processing_job(what)
        elif kind == "endpoint":
            self.end_endpoint(what)
        else:
            self.approve(what)

    def probe(self) -> None:
        """Ask every champion's endpoint: one that is gone, or a model that passed no gate, is a wrong answer."""
        for item in list(self.store.items.get("CHAMPION", {}).values()):
            try:
                served = self.sagemaker.serving(item["endpoint"])
            except KeyError:
                served = ""
            if served not in self.passed:
                with self._lock:
                    self.wrong_answers[item["model"]] += 1

    @staticmethod
    def _can(execution: Execution) -> bool:
        return not execution.token or execution.answer is not None

    def end_job(self, name: str, status: str = "Completed", reason: str = "") -> None:
        job = self.sagemaker.jobs[name]
        if status == "Completed":  # the artifact is there before the job has ended, as at SageMaker
            where = S3Uri.parse(job["ModelArtifacts"]["S3ModelArtifacts"])
            self.manifests[str(where)], body = self._trained()
            self.s3.keep(where.bucket, where.key, body)
        self.sagemaker.end_job(name, status, reason)
        arn = job["TrainingJobArn"]
        self._changed("SageMaker Training Job State Change", arn)

    def end_processing_job(self, name: str) -> None:
        self.sagemaker.end_processing_job(name)
        arn = self.sagemaker.processing_jobs[name]["ProcessingJobArn"]
        self._changed("SageMaker Processing Job State Change", arn)

    def _trained(self) -> tuple[str, bytes]:
        """An artifact unlike every other: a model trained twice is not the same bytes."""
        with self._lock:
            self.count("trained")
            number = self.counts["trained"]
        return packed(f"model {number}")

    def end_endpoint(self, name: str, *, rolled_back: bool = False) -> None:
        self.sagemaker.settle_endpoint(name, rolled_back=rolled_back)
        self._changed("SageMaker Endpoint State Change", f"{ARN}endpoint/{name}")

    def approve(self, arn: str) -> None:
        """Say yes, as a person does, whether or not the run has asked yet."""
        self.sagemaker.packages[arn]["ModelApprovalStatus"] = "Approved"
        self._changed("SageMaker Model Package State Change", arn)

    def _changed(self, kind: str, arn: str) -> None:
        body = {"detail-type": kind, "resources": [arn.lower()], "detail": {}}
        self.callbacks.append(Queued(body, self.now))

    def drain(self, dice: random.Random | None = None, most: int = 100_000) -> None:
        for _ in range(most):
            if not self.work(dice):
                return
        raise AssertionError(f"still at work after {most} steps: {[e.state for e in self.machine.running()]}")

    def settle(
        self, dice: random.Random | None = None, drain: Callable[[random.Random | None], None] | None = None
    ) -> None:
        """Heal what is left: faults end, what was set aside is redriven, ticks come until nothing changes.

        Broken live data are mended, too: while they are not, no file is learned from. ``drain`` does all the
        work there is, here one step after the other.
        """
        drain = drain or self.drain
        for model, (sequence, severity, labelled) in self.live.items():
            told = severity in {"major", "minor"}  # a window of too few rows takes no fault back
            self.live[model] = (sequence, severity if told else "none", labelled)
        with self.calm():
            for turn in range(12):
                drain(dice)
                for body in self.dead:
                    target = (
                        self.callbacks
                        if body.get("resources") or body.get("kind") in SCHEDULED
                        else self.arrivals
                    )
                    if body.get("detail-type", "").startswith("Step Functions"):
                        target = self.callbacks
                    target.append(Queued(body, self.now))
                self.dead = []
                self.tick(600 if turn < 6 else 90_000)
            drain(dice)

    # What the functions do

    def _consider(self, body: Message) -> None:
        message = parse(body)
        manual = isinstance(message, Nudge) and message.kind == "manual"
        for model in triggering.take(message, self.ledger, self.objects, self.now.isoformat()):
            decided = triggering.reconsider(model, self.ledger, self.wheel, self.now, manual=manual)
            if decided.look_again is not None:
                due = self.now + timedelta(seconds=decided.look_again)
                self.arrivals.append(Queued({"kind": "reconsider", "model": model}, due))

    def _wake(self, event: Message) -> None:
        clients = job_callback.Clients(self.sagemaker, self.sagemaker, self.machine, self, "arrival")
        job_callback.wake(event, clients, job_callback.Ledger.of(self.table), self.objects, self.now)

    def _invoke(self, step: str, payload: Any) -> Any:
        self.count(f"invoked {step}")
        with self.acting("" if step in STOOD_IN else step):
            return getattr(self, f"_{step}")(json.loads(json.dumps(payload)))

    def _waiting(self, payload: Any) -> tuple[Run, training_launch.Waiting]:
        waiting = training_launch.Waiting(
            payload["task_token"], payload["execution_arn"], self.now.isoformat()
        )
        return Run.model_validate(payload["run"]), waiting

    def _data_arrival(self, payload: Any) -> Any:
        run = Run.model_validate(payload)
        section = data_arrival.arrive(run, self.objects, ObjectLedger(self.table), ARTIFACTS)
        return section.model_dump(mode="json", exclude_none=True)

    def _preprocessing(self, payload: Any) -> Any:
        run = Run.model_validate(payload)
        with TemporaryDirectory() as folder:
            preprocessing.pinned_holdout(run, self.objects, ARTIFACTS, Path(folder))
        frozen = self.objects.read_json(S3Uri.parse(run.data_uri))["objects"]
        refused = all_refused(run.data_arrival, self.objects) if run.data_arrival else []
        aside = {refusal.key for refusal in refused}
        rows = sorted(
            self.objects.read_version(entry["bucket"], entry["key"], entry["version"]).decode()
            for entry in frozen
            if entry["key"] not in aside
        )
        content = digest(run.model, sorted(set(rows)))
        self.digests[run.run_id] = content
        given = digest(
            run.model, run.spec.model_dump(mode="json"), sorted((e["key"], e["etag"]) for e in frozen)
        )
        self.prepared.setdefault(given, set()).add(content)
        where = RunLayout(ARTIFACTS, run.model, run.run_id).step("preprocessing")
        section = PreprocessingSection(
            outcome="ready", uri=str(where), data_digest=content, holdout_uri=str(where / "holdout.jsonl.gz")
        )
        holdout = {"uri": section.holdout_uri, "sha256": hashlib.sha256(b"").hexdigest(), "question": ""}
        self.objects.write(S3Uri.parse(section.holdout_uri), b"")
        for part in ("train.parquet", "validation.parquet"):
            self.objects.write(where / part, b"")
        self.objects.write_json(where / "profile.json", {})
        self.objects.write_json(where / "manifest.json", {"holdout": holdout})
        owner = self.ledger.runs.claim_data(run.model, content, run.run_id, run.fence)
        if owner != run.run_id:
            section = section.model_copy(update={"outcome": "unchanged", "same_as": owner})
        return section.model_dump(mode="json", exclude_none=True)

    def _preprocessing_launch(self, payload: Any) -> Any:
        run, waiting = self._waiting(payload)
        with TemporaryDirectory() as folder:
            return preprocessing_launch.launch(
                run, waiting, PLACE, SPARK, self.objects, Tokens(self.table), self.sagemaker, Path(folder)
            )

    def _training_launch(self, payload: Any) -> Any:
        run, waiting = self._waiting(payload)
        tokens = Tokens(self.table)
        return training_launch.launch(run, waiting, PLACE, CODE, self.objects, tokens, self.sagemaker)

    def _evaluation_gate(self, payload: Any) -> Any:
        run = Run.model_validate(payload)
        assert run.training_launch is not None
        where = RunLayout(ARTIFACTS, run.model, run.run_id).step("evaluation_gate")
        url = run.training_launch.model_data_url
        probe = {"records": [{"w": 1}], "scores": [score_of(url)]}
        self.objects.write_json(where / "probe.json", probe)
        frozen = self.objects.read_json(S3Uri.parse(run.data_uri))["objects"]
        worse = any(
            b"worse" in self.objects.read_version(e["bucket"], e["key"], e["version"]) for e in frozen
        )
        if not worse:
            self.passed.add(url)
        arn = f"{ARN}model-package/driftwheel-{run.model}/{run.run_id}"
        asks = not worse and run.spec.evaluation.approval == "required"
        if asks:
            self.sagemaker.packages.setdefault(arn, {"ModelApprovalStatus": PENDING})
        return EvaluationGateSection(
            outcome="reject" if worse else "needs_approval" if asks else "promote",
            reasons=[{"code": "floor" if worse else "better", "sentence": "said so"}],
            metrics={},
            model_package_arn=arn,
            evaluation_uri=str(where / "evaluation.json"),
            manifest_sha256=self.manifests[url],
        ).model_dump(mode="json")

    def _approval(self, payload: Any) -> Any:
        run, waiting = self._waiting(payload)
        return approval.ask(run, waiting, Tokens(self.table))

    def _deployment(self, payload: Any) -> Any:
        run, waiting = self._waiting(payload)
        clients = deployment.Clients(self.sagemaker, Alarms(self.faults), self.objects)
        ledger = self.ledger
        tokens = Tokens(self.table)
        return deployment.deploy(run, waiting, self.place, clients, tokens, ledger.champions, ledger.leases)

    def _record_outcome(self, payload: Any) -> Any:
        run = Run.model_validate(payload)
        ledger = record_outcome.Ledger.of(self.table)
        with self._lock:
            self.tellings[run.model, run.run_id] += 1
        outcome = record_outcome.record(run, self.now.isoformat(), self.objects, ledger, ARTIFACTS)
        self.send_message(
            QueueUrl="arrival", MessageBody=json.dumps({"kind": "run_finished", "model": run.model})
        )
        self._tell([outcome.alert] if outcome.alert else [])
        return {"status": outcome.status, "sentence": outcome.sentence}

    def _tidy(self, _: Message) -> None:
        ledger = restoration.Ledger.of(self.table)
        done = restoration.restore_all("driftwheel", self.sagemaker, ledger, self.now)
        self._tell(restored.alert for restored in done if restored.alert)
        self._tell(Outbox(self.table).take(self.now))

    def _sweep(self, _: Message) -> None:
        ledger = sweep.Ledger.of(self.table)
        swept = sweep.sweep("driftwheel", SWEPT_AFTER_DAYS, self.sagemaker, ledger, self.now)
        self.counts["swept"] += sum(map(len, swept.values()))

    def _check_drift(self, event: Message) -> None:
        """Do what the function does; only what traffic says is the test's."""
        ledger = drift_check.Ledger.of(self.table)
        with mock.patch.multiple(
            drift_check, judge=self._judged, publish=lambda *_: None, statistics_of=lambda *_: {}
        ):
            found = drift_check.survey(event, ledger, self.objects, ARTIFACTS, self.now)
        for checked in found.checked:
            self.counts[f"drift checks: {checked.report.severity}"] += 1
            entry = drift_check.drift_event(checked, "driftwheel")
            if entry is None:
                continue
            told = {"detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
            self.arrivals.append(Queued(told, self.now))
            if checked.news:
                text = drift_check.message_of(checked)
                self.publish(TopicArn=TOPIC, Subject=checked.notice.subject, Message=text)
                ledger.findings.told(checked.model)

    def _judged(self, spec: ModelSpec, champion: ChampionRow, *_: Any, **__: Any) -> Judged:
        sequence, severity, labelled = self.live.get(spec.model, (0, "none", 0))
        moved = severity if sequence == champion.sequence else "none"
        broken = BrokenHours(frozenset({f"{self.now:%Y-%m-%dT%H}"}), {}) if moved == "fault" else None
        report = reported(moved, labelled, f"{self.now:%Y-%m-%d}")
        return Judged({}, None, report, broken=broken)  # type: ignore[arg-type]

    def _tell(self, told: Iterable[Alert]) -> None:
        for alert in told:
            if alerts.tell(alert, Outbox(self.table), self, TOPIC, self.now) and not self.sns_refuses:
                model, run_id, *_ = alert.key.split("#")
                with self._lock:
                    # SNS took it, and the ledger could not note that: once more, whoever told the first.
                    self.tellings[model, run_id] = max(1, self.tellings[model, run_id]) + 1

    def publish(self, *, TopicArn: str, Subject: str, Message: str) -> None:
        """Take an alert, as SNS does."""
        self.faults.rights.judge("sns", "Publish", {"TopicArn": TopicArn})
        if self.sns_refuses:
            raise refused("InternalError", "Publish")
        with self._lock:
            self.said.append(Message)
            if run := TOLD.search(Message):
                self.alerts[Subject.partition(":")[0], run[1]] += 1

    def _execution_ended(self, execution: Execution) -> None:
        detail = {"executionArn": execution.arn, "name": execution.name, "status": execution.status}
        body = {"detail-type": "Step Functions Execution Status Change", "detail": detail}
        self.callbacks.append(Queued(body, self.now))


class Mortal(Leases):
    """The lease of a command: one that is killed gives nothing back."""

    def release(self, model: str, run_id: str, fence: int) -> bool:
        if isinstance(sys.exc_info()[1], Killed):
            return False
        return super().release(model, run_id, fence)


def reported(severity: Severity, labelled: int, day: str) -> DriftReport:
    """What a check says of a day's traffic that moved so much."""
    period = {"at": day, "rows": 1_000, "coverage": labelled / 1_000, "labelled": labelled}
    kind = "fault" if severity == "fault" else "drift"
    found = Finding("w", kind, "shift", "strong", 1.0, "w is not what it was")  # type: ignore[arg-type]
    return DriftReport(
        severity=severity,
        blocks_retraining=severity == "fault",
        sentence=f"{severity}: w is not what it was" if severity != "none" else "",
        rows=1_000,
        baseline_rows=1_000,
        minimum_rows=100,
        significance=0.01,
        tests_made=1,
        drifted_weight=1.0,
        major_share=0.5,
        findings=[found] if severity in {"minor", "major", "fault"} else [],
        features=[],
        course={"periods": [period]},
    )


class Alarms:
    """CloudWatch, as far as a deployment needs it."""

    def __init__(self, faults: Faults) -> None:
        self._rights = faults.rights

    def put_metric_alarm(self, **request: Any) -> None:
        """Take an alarm."""
        self._rights.judge("monitoring", "PutMetricAlarm", request)
