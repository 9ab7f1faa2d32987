"""What training and processing jobs share: names for good, quotas, statuses, storage, stop and recovery."""

import logging
import shutil
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.containers import OptMl, UnsupportedContainer
from driftwheel_local.sagemaker.execution import Interrupted, Volume
from driftwheel_local.sagemaker.listing import page
from driftwheel_local.sagemaker.objects import DataFault
from driftwheel_local.sagemaker.refusals import in_use, invalid, limit_exceeded, not_found
from driftwheel_local.sagemaker.site import Site, read_records, write_json

_LOG = logging.getLogger(__name__)
RUNNING = ("InProgress", "Stopping")
STARTING_SECONDS = 30.0  # the modelled wait for instances, times `time_scale`
REASON_CHARACTERS = 1024  # FailureReason's limit in the service model
INTERRUPTED = "InternalServerError: the local runtime ended while the job ran, the job was interrupted"
SPOT_OUTCOMES = ("Interrupted", "MaxWaitTimeExceeded")


@dataclass
class Limits:
    """What a test or a user may set: instance quotas, grace after SIGTERM, a job's memory and disk.

    A quota's key is an instance type, or one usage of it in AWS's words (`ml.m5.large for endpoint usage`).
    A job has as much disk as the volume it asks for (VolumeSizeInGB), and never more than `disk_bytes`.
    `calls_per_second` throttles operations by name; for `unseen_seconds` after a Create its Describe answers
    that there is nothing. Both are off by default.
    `training_outcomes` is used up from the front, one for each training job that is created: a FailureReason
    to end with before it trains ("CapacityError: …"), "" to run as usual, or, kept for a job that asks for
    spot machines: Interrupted (its machine is taken away once there is a checkpoint, and another one found),
    MaxWaitTimeExceeded (none is found at all).
    An update that is rolled back leaves `rollback_reason` as the endpoint's FailureReason; None leaves none.
    A change of an endpoint's status is told once in each of `endpoint_spellings`: that of the `event`
    documentation (IN_SERVICE) or of the `api` (InService).
    """

    quota: dict[str, int] = field(default_factory=dict)
    default_quota: int = 20
    stop_grace_seconds: float = 120.0
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    calls_per_second: dict[str, int] = field(default_factory=dict)
    unseen_seconds: float = 0.0
    training_outcomes: list[str] = field(default_factory=list)
    rollback_reason: str | None = None
    endpoint_spellings: list[str] = field(default_factory=lambda: ["event"])

    def outcome(self, *, spot: bool) -> str:
        """Take the next training job's outcome."""
        if not self.training_outcomes or (self.training_outcomes[0] in SPOT_OUTCOMES and not spot):
            return ""
        return self.training_outcomes.pop(0)

    def of(self, usage: str, instance: str) -> int:
        """Answer the quota of one usage of an instance type."""
        return self.quota.get(usage, self.quota.get(instance, self.default_quota))


@dataclass
class Job:
    """One job: `record` is its Describe answer (and a little more), `folder` everything it has on disk."""

    name: str
    record: dict[str, Any]
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    outcome: str = ""

    def volume(self, gigabytes: int, most_bytes: int | None) -> Volume:
        """Answer the storage the job asked for, or less where this machine gives less."""
        return Volume(self.folder, min(gigabytes * 1024**3, most_bytes or gigabytes * 1024**3))

    @property
    def opt_ml(self) -> OptMl:
        """Answer the job's /opt/ml."""
        return OptMl(self.folder / "opt" / "ml")


class JobFailure(Exception):
    """When a job ends Failed for a reason its user must read."""


class JobBoard:
    """All jobs of one kind; a subclass says how one runs."""

    noun: str  # "Training" or "Processing", as in TrainingJobName
    kind: str  # the ARN's resource type
    folder_name: str
    taken_message: str

    def __init__(self, site: Site, limits: Limits, pool: ThreadPoolExecutor) -> None:
        self.site = site
        self.limits = limits
        self._pool = pool
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations this board serves."""
        return {
            f"Create{self.noun}Job": self.create,
            f"Describe{self.noun}Job": self.describe,
            f"List{self.noun}Jobs": self.listing,
            f"Stop{self.noun}Job": self.stop,
            f"Delete{self.noun}Job": self.delete,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Accept a job and start it in the background; answer its ARN."""
        name = request[f"{self.noun}JobName"]
        self.check(request)
        arn = self.site.arn(self.kind, name)
        with self._lock:
            if name in self._jobs:
                raise in_use(self.taken_message.format(arn=arn))
            self._claim_instances(request)
            now = self.site.now()
            record = {
                **request,
                f"{self.noun}JobArn": arn,
                f"{self.noun}JobStatus": "InProgress",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            folder = self.site.folder(self.folder_name, name)
            job = self._jobs[name] = Job(name, self.complete(record), folder)
            self.started(job)
        self._pool.submit(self._guard, job)
        return {f"{self.noun}JobArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer everything about one job."""
        job = self.find(request[f"{self.noun}JobName"])
        with self._lock:
            shape = validation.operation("sagemaker", f"Describe{self.noun}Job").output_shape
            answer: dict[str, Any] = validation.select(shape, job.record)
            return answer

    def listing(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one page of summaries."""
        with self._lock:
            records = [job.record for job in self._jobs.values()]
        return page(
            f"List{self.noun}Jobs",
            records,
            request,
            name=f"{self.noun}JobName",
            status=f"{self.noun}JobStatus",
        )

    def stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a running job to stop; refuse in any final state."""
        job = self.find(request[f"{self.noun}JobName"])
        with self._lock:
            status = job.record[f"{self.noun}JobStatus"]
            if status != "InProgress":
                raise invalid(
                    f"The request was rejected because the {self.noun.lower()} job is in status {status}."
                )
            self.stopping(job)
            job.stop.set()
        return {}

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Forget a finished job and free its name."""
        job = self.find(request[f"{self.noun}JobName"])
        with self._lock:
            status = job.record[f"{self.noun}JobStatus"]
            if status in RUNNING:
                raise in_use(f"{self.noun} job {job.name} is in status {status} and cannot be deleted")
            del self._jobs[job.name]
            shutil.rmtree(job.folder)
        return {}

    def find(self, name: str) -> Job:
        """Answer a job by name or raise ResourceNotFound."""
        with self._lock:
            if name not in self._jobs:
                raise not_found()
            return self._jobs[name]

    def tagged(self) -> dict[str, dict[str, Any]]:
        """Answer every record by ARN, for the tagging operations."""
        with self._lock:
            return {job.record[f"{self.noun}JobArn"]: job.record for job in self._jobs.values()}

    def note(self, job: Job, **members: Any) -> None:
        """Add members to the record; another thread may be writing it to disk."""
        with self._lock:
            job.record |= members

    def save(self, job: Job) -> None:
        """Write the job's record to its folder."""
        write_json(job.folder / "job.json", job.record)

    def save_tags(self, arn: str) -> None:
        """Write the record of one ARN after its tags changed."""
        with self._lock:
            for job in self._jobs.values():
                if job.record[f"{self.noun}JobArn"] == arn:
                    self.save(job)

    def recover(self) -> None:
        """Read the jobs of an earlier life; those it left running are Failed."""
        for path, record in read_records(self.site.folder(self.folder_name), "*/job.json"):
            with self._lock:
                job = Job(record[f"{self.noun}JobName"], record, path.parent)
                self._jobs[job.name] = job
                if record[f"{self.noun}JobStatus"] in RUNNING:
                    self.failed(job, INTERRUPTED)

    def _guard(self, job: Job) -> None:
        """Run a job so that every way out leaves a final status behind."""
        try:
            self.run(job)
        except Interrupted:
            return
        except (DataFault, UnsupportedContainer, JobFailure) as fault:
            reason = str(fault)
        except Exception as fault:  # noqa: BLE001 (whatever happened, the job must not stay InProgress)
            if self.site.closing.is_set():
                return  # the servers around us are going away; `recover` fails the job
            _LOG.error("%s job %s: %s", self.noun, job.name, traceback.format_exc())
            reason = f"InternalServerError: {type(fault).__name__}: {fault}"
        else:
            return
        with self._lock:
            self.failed(job, reason[:REASON_CHARACTERS])

    def _claim_instances(self, request: Mapping[str, Any]) -> None:
        instance, count = self.instances(request)
        used: Counter[str] = Counter()
        for job in self._jobs.values():
            if job.record[f"{self.noun}JobStatus"] in RUNNING:
                other, other_count = self.instances(job.record)
                used[other] += other_count
        usage = f"{instance} for {self.noun.lower()} job usage"
        limit = self.limits.of(usage, instance)
        if used[instance] + count > limit:
            raise limit_exceeded(usage, limit, used[instance], count)

    def check(self, request: Mapping[str, Any]) -> None:
        """Raise what AWS refuses at once beyond the service model."""
        raise NotImplementedError

    def complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """Answer the record with AWS's defaults filled in."""
        raise NotImplementedError

    def instances(self, request: Mapping[str, Any]) -> tuple[str, int]:
        """Answer (instance type, count) that a request occupies."""
        raise NotImplementedError

    def started(self, job: Job) -> None:
        """Record and announce the first status."""
        raise NotImplementedError

    def stopping(self, job: Job) -> None:
        """Record and announce that a stop was asked for."""
        raise NotImplementedError

    def failed(self, job: Job, reason: str) -> None:
        """Record and announce the status Failed."""
        raise NotImplementedError

    def run(self, job: Job) -> None:
        """Take the job through its life, on a thread of the job pool."""
        raise NotImplementedError
