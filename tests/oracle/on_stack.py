"""Evidence of a running stack, from what AWS's APIs, the buckets, the logs and the process table show."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from driftwheel.deployment.probe import Answered, Probe, compare_answer
from driftwheel.digest import digest
from driftwheel.layout import RunLayout, S3Uri, quarantine_key
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.outbox import Outbox
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.spec import ModelSpec
from driftwheel.steps.trigger import Ledger

from .evidence import Evidence, found_no_machine
from .invariants import assert_invariants
from .processes import strays

PROBED_ROWS = 3
ABANDONED = {"failed", "aborted", "refused"}
LAST_STATES = {"RecordOutcome", "RecordFailure"}


class Running(Protocol):
    """A stack in a process of its own, and what its tests planted and heard."""

    root: Path
    folder: Path
    state: dict[str, Any]
    canaries: tuple[str, ...]
    alerts: list[str]
    cut: bool
    wrong_answers: int
    repeated: int

    @property
    def names(self) -> dict[str, Any]:
        """What the stack's resources are called."""

    @property
    def ledger(self) -> Ledger:
        """The table, read as the operator's command reads it."""

    @property
    def tokens(self) -> Tokens:
        """The parked tokens."""

    @property
    def table(self) -> Table:
        """The table itself."""

    def client(self, service: str) -> Any:
        """A client of the stack."""

    def now(self) -> float:
        """The functions' time, in epoch seconds."""


@dataclass(frozen=True)
class History:
    """One execution as Step Functions tells it."""

    name: str
    status: str
    error: str
    started: dict[str, Any]
    events: list[dict[str, Any]]
    text: str

    def largest(self) -> int:
        """Bytes of the largest payload any event carries."""
        payloads = [
            details.get(name, "")
            for event in self.events
            for details in event.values()
            if isinstance(details, dict)
            for name in ("input", "output", "parameters")
        ]
        return max((len(text.encode()) for text in payloads), default=0)

    def tellings(self) -> int:
        """How often a function that tells of the end was started."""
        state, count = "", 0
        for event in self.events:
            state = event.get("stateEnteredEventDetails", {}).get("name", state)
            count += event["type"] == "LambdaFunctionScheduled" and state in LAST_STATES
        return count


class Scene:
    """What one stack shows of one model."""

    def __init__(self, stack: Running, spec: ModelSpec) -> None:
        self._stack, self._spec = stack, spec
        self.model = spec.model
        self._s3, self._sagemaker = stack.client("s3"), stack.client("sagemaker")
        self._landing = stack.names["landing_bucket"]
        self._artifacts = stack.names["artifact_bucket"]
        self._prefix = f"{stack.names['stack']}-{spec.model}"

    @cached_property
    def runs(self) -> list[RunRow]:
        return self._stack.ledger.runs.of_model(self.model)

    @cached_property
    def objects(self) -> list[ObjectRow]:
        return self._stack.ledger.objects.of_model(self.model)

    @cached_property
    def history(self) -> list[ChampionRow]:
        return self._stack.ledger.champions.history(self.model)

    @cached_property
    def documents(self) -> dict[str, dict[str, Any]]:
        """Each run's frozen data and, once it has ended, its record."""
        found = {}
        for run in self.runs:
            layout = RunLayout(self._artifacts, self.model, run.run_id)
            frozen, record = self._json(layout.data_manifest), self._json(layout.record)
            found[run.run_id] = {"frozen": frozen or {"objects": [], "captures": []}, "record": record}
        return found

    @cached_property
    def executions(self) -> list[History]:
        return [*self._executions()]

    def evidence(self) -> Evidence:
        stack = self._stack
        champion = stack.ledger.champions.get(self.model)
        described = self._endpoint(champion)
        decided = self._stack.ledger.decisions.of_model(self.model, 500)
        back = {int(one.numbers["sequence"]) for one in decided if one.outcome == "rolled_back"}
        return Evidence(
            model=self.model,
            now=self._stack.now(),
            delivered=self.delivered(),
            objects=self.objects,
            held_back=self.held_back(),
            runs=self.runs,
            champion=champion,
            history=self.history,
            rolled_back=back,
            lease=self._stack.ledger.leases.get(self.model),
            tokens=[parked for parked in self._stack.tokens.all() if parked.model == self.model],
            executions={one.name: (one.status, one.error) for one in self.executions},
            jobs=(jobs := self._jobs()),
            machineless=self._machineless(jobs),
            frozen=dict(self._frozen()),
            digests=self._learned(),
            prepared=self._prepared(),
            endpoint=described,
            serving=self._answering(described) if described else "",
            endpoints=self._named("list_endpoints", "Endpoints", "EndpointName", exact=True),
            configs=self._named("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
            models=self._named("list_models", "Models", "ModelName"),
            strays=self._strays(),
            dead_letters=self._dead_letters(),
            wrong_answers=self._stack.wrong_answers,
            alerts=Counter({run.run_id: len(self._messages(run)) or self._unheard(run) for run in self.runs}),
            messages={run.run_id: self._messages(run) for run in self.runs},
            patience=self._spec.triggers.give_up_after,
            tellings=Counter(
                {one.name.rpartition("-")[2]: one.tellings() + stack.repeated for one in self.executions}
            ),
            largest_payload=max((one.largest() for one in self.executions), default=0),
            longest_history=max((len(one.events) for one in self.executions), default=0),
            quarantined=self._quarantined(),
            outputs=dict(self._outputs()),
            canaries=self._stack.canaries,
            model_digests={
                row.model_data_url: self._digests(S3Uri.parse(row.model_data_url)) or {"", "missing"}
                for row in self.history
            },
        )

    def _messages(self, run: RunRow) -> list[str]:
        """What people were told of a run's end, or will be at the next tick."""
        told = re.compile(rf"run {run.run_id} (failed|refused|rejected|aborted)\.")
        return [text for text in (*self._stack.alerts, *self._untold) if told.search(text)]

    def _unheard(self, run: RunRow) -> int:
        """Count what SNS took, by the ledger, where a power cut ended the queue that listens to it."""
        alert = self._stack.table.get("ALERT", f"{self.model}#{run.run_id}") if self._stack.cut else None
        return int(alert is not None and "taken" not in alert)

    @cached_property
    def _untold(self) -> list[str]:
        return [alert.message for alert in Outbox(self._stack.table).untold()]

    def _json(self, where: S3Uri) -> Any:
        try:
            return json.load(self._s3.get_object(Bucket=where.bucket, Key=where.key)["Body"])
        except self._s3.exceptions.NoSuchKey:
            return None

    def _versions(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        return [entry for page in pages for entry in page.get("Versions", [])]

    def _digests(self, where: S3Uri) -> set[str]:
        entries = self._versions(where.bucket, where.key)
        return {entry["ETag"] for entry in entries if entry["Key"] == where.key}

    def delivered(self) -> dict[tuple[str, str], str]:
        sources = [self._spec.source, *self._spec.enrich]
        prefixes = [*(source.prefix for source in sources), f"labels/{self.model}/"]
        return {
            (entry["Key"], entry["VersionId"]): entry["ETag"].strip('"')
            for prefix in dict.fromkeys(prefixes)
            for entry in self._versions(self._landing, prefix)
        }

    def held_back(self) -> set[tuple[str, str]]:
        """Labels that wait for the next data set, and what the runs held that ended without a model."""
        held = {(row.key, row.version) for row in self.objects if row.role == "labels"}
        for run in self.runs:
            if run.status in ABANDONED:
                frozen = self.documents[run.run_id]["frozen"]["objects"]
                held |= {(entry["key"], entry["version"]) for entry in frozen}
        return held

    def _frozen(self) -> Iterator[tuple[str, str]]:
        """What each run was started on: its data set as it was frozen, and its model.yaml."""
        for one in self.executions:
            run_id = one.started["run_id"]
            if run_id in self.documents:
                listed = self.documents[run_id]["frozen"]
                yield run_id, digest(listed | {"run_id": ""}, one.started["spec"])

    def _learned(self) -> dict[str, str]:
        """What each run's job learned: rows, code and how."""
        found = {}
        for name, (run_id, _) in self._jobs().items():
            folder = RunLayout(self._artifacts, self.model, run_id).step("preprocessing")
            prepared = self._json(folder / "manifest.json")
            spec = next((one.started["spec"] for one in self.executions if one.name.endswith(run_id)), {})
            job = self._sagemaker.describe_training_job(TrainingJobName=name)
            code = [each for each in job["InputDataConfig"] if each["ChannelName"] == "code"]
            if prepared is not None:
                found[run_id] = digest(prepared["data_digest"], code, spec.get("training"))
        return found

    def _prepared(self) -> dict[str, set[str]]:
        """The digest of what was prepared, by the bytes it was made of; and each file prepared twice."""
        found: dict[str, set[str]] = {}
        for run_id, document in self.documents.items():
            prepared = (document["record"] or {}).get("preprocessing")
            if prepared and "data_digest" in prepared:
                frozen = document["frozen"]
                bytes_ = sorted((e["key"], e["etag"], e["role"]) for e in frozen["objects"])
                given = digest(bytes_, frozen["captures"], document["record"]["spec"])
                found.setdefault(given, set()).add(prepared["data_digest"])
            folder = RunLayout(self._artifacts, self.model, run_id).step("preprocessing")
            for entry in self._versions(folder.bucket, folder.key):
                if entry["Key"].endswith(".parquet"):
                    found.setdefault(entry["Key"], set()).add(entry["ETag"])
        return found

    def _jobs(self) -> dict[str, tuple[str, str]]:
        pages = self._sagemaker.get_paginator("list_training_jobs").paginate()
        return {
            job["TrainingJobName"]: (
                job["TrainingJobName"].removeprefix(f"{self._prefix}-").partition("-")[0],
                job["TrainingJobStatus"],
            )
            for page in pages
            for job in page["TrainingJobSummaries"]
            if job["TrainingJobName"].startswith(f"{self._prefix}-")
        }

    def _machineless(self, jobs: Mapping[str, tuple[str, str]]) -> set[str]:
        failed = [name for name, (_, status) in jobs.items() if status in {"Failed", "Stopped"}]
        describe = self._sagemaker.describe_training_job
        return {name for name in failed if found_no_machine(describe(TrainingJobName=name))}

    def _named(self, operation: str, field: str, name: str, *, exact: bool = False) -> dict[str, float]:
        """Since when each resource of the model is there, or as it is."""
        pages = self._sagemaker.get_paginator(operation).paginate()
        entries = [entry for page in pages for entry in page[field]]
        return {
            entry[name]: entry.get("LastModifiedTime", entry["CreationTime"]).timestamp()
            for entry in entries
            if entry[name] == self._prefix or (not exact and self._ours(entry[name]))
        }

    def _ours(self, name: str) -> bool:
        return name.startswith(f"{self._prefix}-")

    def _endpoint(self, champion: ChampionRow | None) -> dict[str, Any] | None:
        if champion is None:
            return None
        try:
            found: dict[str, Any] = self._sagemaker.describe_endpoint(EndpointName=champion.endpoint)
        except self._sagemaker.exceptions.ClientError:
            return None
        return found if found["EndpointStatus"] == "InService" else None

    def _answering(self, described: dict[str, Any]) -> str:
        """Name the champion whose recorded answers the endpoint gives; any other is a stranger."""
        runtime = self._stack.client("sagemaker-runtime")
        for row in self.history:
            where = RunLayout(self._artifacts, self.model, row.run_id).step("evaluation_gate") / "probe.json"
            whole = Probe.from_json(json.dumps(self._json(where)))
            probe = Probe(whole.records[:PROBED_ROWS], whole.scores[:PROBED_ROWS])
            answer = runtime.invoke_endpoint(
                EndpointName=described["EndpointName"], ContentType="application/json", Body=probe.body()
            )["Body"].read()
            if isinstance(compare_answer(probe, answer), Answered):
                return row.model_data_url
        return "a stranger"

    def _executions(self) -> Iterator[History]:
        states = self._stack.client("stepfunctions")
        arn = self._stack.names["state_machine_arn"]
        for page in states.get_paginator("list_executions").paginate(stateMachineArn=arn):
            for entry in page["executions"]:
                if not entry["name"].startswith(f"{self.model}-"):
                    continue
                described = states.describe_execution(executionArn=entry["executionArn"])
                pages = states.get_paginator("get_execution_history").paginate(
                    executionArn=entry["executionArn"]
                )
                events = [event for page in pages for event in page["events"]]
                # What a power cut leaves is aborted; the stack words its error, nobody's state does.
                error = described.get("error", "") if described["status"] != "ABORTED" else ""
                text = f"{described} {events}"
                started = json.loads(described["input"])
                yield History(entry["name"], described["status"], error, started, events, text)

    def _quarantined(self) -> dict[tuple[str, str], tuple[bytes, bytes]]:
        found = {}
        for row in self.objects:
            if row.state != "quarantined":
                continue
            received = self._s3.get_object(Bucket=row.bucket, Key=row.key, VersionId=row.version)
            name = quarantine_key(row.model, row.version, row.key.rpartition("/")[2])
            kept = {
                self._s3.get_object(Bucket=self._artifacts, Key=name, VersionId=entry["VersionId"])[
                    "Body"
                ].read()
                for entry in self._versions(self._artifacts, name)
            }
            one = kept.pop() if len(kept) == 1 else b"not kept once"
            found[row.key, row.version] = (received["Body"].read(), one)
        return found

    def _dead_letters(self) -> int:
        sqs = self._stack.client("sqs")
        urls = [url for url in sqs.list_queues().get("QueueUrls", []) if "DeadLetter" in url]
        name = "ApproximateNumberOfMessages"
        return sum(
            int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
            for url in urls
        )

    def _strays(self) -> list[str]:
        pages = self._sagemaker.get_paginator("list_endpoints").paginate()
        serving = {
            entry["EndpointName"]
            for page in pages
            for entry in page["Endpoints"]
            if entry["EndpointStatus"] == "InService"
        }
        state = self._stack.state
        return strays(self._stack.folder, state["pid"], state["endpoint_url"], serving)

    def _outputs(self) -> Iterator[tuple[str, str]]:
        """Logs, alerts, metrics, histories, the ledger, and every page and document people are shown."""
        yield "alerts", "\n".join(self._stack.alerts)
        yield from ((one.name, one.text) for one in self.executions)
        # Ours alone: SageMaker's own are one datum a request, and carry names AWS gave.
        pages = (
            self._stack.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace="Driftwheel")
        )
        yield "metrics", str([metric for page in pages for metric in page["Metrics"]])
        decided = self._stack.ledger.decisions.of_model(self.model)
        yield "the ledger", str([self.runs, self.objects, self.history, decided])
        root, folder = self._stack.root, self._stack.folder
        for place, pattern in ((root, "*.log"), (folder, "logs/*.log"), (folder, "sagemaker/**/*.log")):
            for path in place.glob(pattern):
                yield str(path), path.read_text(encoding="utf-8", errors="replace")
        for prefix, ends in ((f"drift/{self.model}/", (".html", ".json")), (f"runs/{self.model}/", SHOWN)):
            for entry in self._versions(self._artifacts, prefix):
                if entry["Key"].endswith(ends):
                    body = self._s3.get_object(Bucket=self._artifacts, Key=entry["Key"])["Body"]
                    yield entry["Key"], body.read().decode()


SHOWN = ("run.json", "profile.json", "evaluation.json", "metrics.json")
"""What `driftwheel report` makes its page of."""


def assert_stack(stack: Running, names: list[str]) -> int:
    """Hold the named models of a stack at rest to the invariants, or all; give how many were judged."""
    specs = [spec for spec in stack.ledger.models.all() if not names or spec.model in names]
    for spec in specs:
        assert_invariants(Scene(stack, spec).evidence())
    return len(specs)
