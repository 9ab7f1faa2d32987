"""Training jobs: CreateTrainingJob's checks, the secondary statuses, the /opt/ml contract, the artefacts."""

import json
import re
import shutil
import time
from collections.abc import Mapping
from typing import Any

from driftwheel_local.sagemaker import archives, objects, script_mode
from driftwheel_local.sagemaker.execution import PUMP_SECONDS, Cause, Ending, run_container
from driftwheel_local.sagemaker.joblogs import LogPump, MetricReader
from driftwheel_local.sagemaker.jobs import (
    REASON_CHARACTERS,
    SPOT_OUTCOMES,
    STARTING_SECONDS,
    Job,
    JobBoard,
    JobFailure,
)
from driftwheel_local.sagemaker.process import Command
from driftwheel_local.sagemaker.refusals import invalid

DETAIL_TYPE = "SageMaker Training Job State Change"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_DEFAULT_RUNTIME = 86_400  # AWS's default MaxRuntimeInSeconds
_DOWNLOADING_SECONDS = 5.0
_UPLOADING_SECONDS = 5.0
_WATCH_SECONDS = 0.05  # a machine is taken away as soon as there is a checkpoint: the job may be a short one
_CHECKPOINTS = "/opt/ml/checkpoints"
_EVENT_MEMBERS = (
    "TrainingJobName",
    "TrainingJobArn",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
)
_TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime")


class MachineTaken(Exception):
    """When a spot machine is taken away; its container is killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"after {seconds:.1f} s")
        self.seconds = seconds


class TrainingJobs(JobBoard):
    """The training jobs of the account."""

    noun = "Training"
    kind = "training-job"
    folder_name = "jobs"
    taken_message = (
        "Training job names must be unique within an AWS account and region, and a training job with this "
        "name already exists ({arn})"
    )

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse what CreateTrainingJob refuses at once: spot times, channels, image, resources, regexes."""
        stopping = request.get("StoppingCondition", {})
        runtime = stopping.get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME)
        wait = stopping.get("MaxWaitTimeInSeconds")
        spot = request.get("EnableManagedSpotTraining", False)
        if spot and (wait is None or wait < runtime):
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
        if wait is not None and not spot:
            raise invalid("MaxWaitTimeInSeconds can be specified only when EnableManagedSpotTraining is true")
        algorithm = request.get("AlgorithmSpecification", {})
        if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
            raise invalid("Exactly one of TrainingImage and AlgorithmName must be specified")
        if "ResourceConfig" not in request:
            raise invalid("ResourceConfig must be specified")
        names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
        for name in names:
            if names.count(name) > 1:
                raise invalid(f"Duplicate channel name {name!r} in InputDataConfig")
        for definition in algorithm.get("MetricDefinitions", []):
            try:
                re.compile(definition["Regex"])
            except re.error as error:
                raise invalid(f"Invalid metric regex {definition['Regex']!r}: {error}") from error

    def complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """Answer the record with AWS's defaults."""
        stopping = {"MaxRuntimeInSeconds": _DEFAULT_RUNTIME, **record.get("StoppingCondition", {})}
        defaults = {
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            "ProfilingStatus": "Disabled",
        }
        return {**defaults, **record, "StoppingCondition": stopping, "SecondaryStatusTransitions": []}

    def instances(self, request: Mapping[str, Any]) -> tuple[str, int]:
        """Answer (instance type, count)."""
        resources = request["ResourceConfig"]
        return resources.get("InstanceType", "instance groups"), resources.get("InstanceCount", 1)

    def started(self, job: Job) -> None:
        """Enter Starting."""
        job.outcome = self.limits.outcome(spot=job.record["EnableManagedSpotTraining"])
        self._enter(job, "InProgress", "Starting", "Starting the training job")

    def stopping(self, job: Job) -> None:
        """Enter Stopping."""
        self._enter(job, "Stopping", "Stopping", "Stopping the training job")

    def failed(self, job: Job, reason: str) -> None:
        """End as Failed."""
        self.note(job, FailureReason=reason)
        self._end(job, "Failed", "Failed", "Training job failed")

    def run(self, job: Job) -> None:
        """Take one job from Starting to its end."""
        while True:
            if self._waited_in_vain(job):
                return
            self._refuse_unsupported(job.record)
            command = self._prepare(job)
            if self.site.pause(_DOWNLOADING_SECONDS, job.stop):
                self._stopped_early(job)
                return
            self.note(job, TrainingStartTime=job.record.get("TrainingStartTime", self.site.now()))
            self._progress(job, "Training", "Training image download completed. Training in progress.")
            try:
                ending = self._train(job, command)
            except MachineTaken as taken:
                self._interrupted(job, taken)
            else:
                break
        self._count_seconds(job, ending.seconds)
        if ending.cause is Cause.EXIT and ending.code != 0 and not job.stop.is_set():
            raise JobFailure(self._reason(job, command, ending))
        if ending.cause is Cause.DISK:
            gigabytes = job.record["ResourceConfig"]["VolumeSizeInGB"]
            raise JobFailure(f"AlgorithmError: No space left on device: the volume of {gigabytes} GB is full")
        self._progress(job, "Uploading", "Uploading generated training model")
        self._upload(job)
        self.site.pause(_UPLOADING_SECONDS)
        if ending.cause is Cause.TIMEOUT:
            self._end(
                job, "Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds"
            )
        elif job.stop.is_set():
            self._end(job, "Stopped", "Stopped", "Training job stopped")
        else:
            self._end(job, "Completed", "Completed", "Training job completed")
            shutil.rmtree(job.opt_ml.base, ignore_errors=True)  # a failed job's folder stays to be looked at

    def _waited_in_vain(self, job: Job) -> bool:
        """Wait for a machine; answer whether the job has ended without one."""
        stopped = self.site.pause(STARTING_SECONDS, job.stop)
        if job.outcome == "MaxWaitTimeExceeded" and not stopped:
            longest = job.record["StoppingCondition"]["MaxWaitTimeInSeconds"]
            stopped = self.site.pause(longest - STARTING_SECONDS, job.stop)
            if not stopped:
                self.stopping(job)
                self._end(job, "Stopped", job.outcome, "Training job wait time exceeded MaxWaitTimeInSeconds")
                return True
        if stopped:
            self._stopped_early(job)
        elif job.outcome not in {"", *SPOT_OUTCOMES}:
            raise JobFailure(job.outcome)
        return stopped

    def _interrupted(self, job: Job, taken: MachineTaken) -> None:
        """Lose the machine and its disk, and ask for another one.

        AWS gives two minutes' notice: what the container wrote before it was killed is synced.
        """
        job.outcome = ""
        self._sync_checkpoints(job)
        self._count_seconds(job, taken.seconds)
        self._progress(job, "Interrupted", "Training job interrupted")
        shutil.rmtree(job.opt_ml.base)
        self._progress(job, "Starting", "Starting the training job")

    def _count_seconds(self, job: Job, seconds: float) -> None:
        """Add what one machine took; on AWS spot machines are billed for less."""
        total = job.record.get("TrainingTimeInSeconds", 0) + max(1, round(seconds))
        self.note(job, TrainingTimeInSeconds=total, BillableTimeInSeconds=total)

    def _refuse_unsupported(self, record: Mapping[str, Any]) -> None:
        instance, count = self.instances(record)
        if count != 1 or "InstanceGroups" in record["ResourceConfig"]:
            raise JobFailure(
                f"ClientError: the local runtime trains on one instance; InstanceCount {count} of {instance} "
                "needs AWS"
            )
        modes = {record["AlgorithmSpecification"]["TrainingInputMode"]}
        modes |= {
            channel["InputMode"] for channel in record.get("InputDataConfig", []) if "InputMode" in channel
        }
        if "Pipe" in modes:
            raise JobFailure("ClientError: input mode Pipe does not run in the local runtime; use File")

    def _prepare(self, job: Job) -> Command:
        """Lay out /opt/ml: configuration files, channels, code."""
        opt_ml, record = job.opt_ml, job.record
        opt_ml.make()
        parameters = {
            name: opt_ml.rewrite(value) for name, value in record.get("HyperParameters", {}).items()
        }
        files = {
            "hyperparameters": parameters,
            "inputdataconfig": script_mode.input_data_config(record),
            "resourceconfig": script_mode.resource_config(record),
        }
        if "CheckpointConfig" in record:
            checkpoint = record["CheckpointConfig"]
            folder = opt_ml.local(checkpoint.get("LocalPath", _CHECKPOINTS))
            folder.mkdir(parents=True, exist_ok=True)
            files["checkpointconfig"] = {"S3Uri": checkpoint["S3Uri"], "LocalPath": str(folder)}
        for name, content in files.items():
            opt_ml.path("input", "config", f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        if record.get("InputDataConfig"):
            self._progress(job, "Downloading", "Downloading input data")
        for channel in record.get("InputDataConfig", []):
            self._download(job, channel)
        self._restore_checkpoints(job)
        return script_mode.training_command(self.site, opt_ml, record)

    def _download(self, job: Job, channel: Mapping[str, Any]) -> None:
        source = channel["DataSource"].get("S3DataSource")
        name = channel["ChannelName"]
        if source is None:
            raise JobFailure(f"ClientError: channel {name}: only S3DataSource works in the local runtime")
        folder = job.opt_ml.path("input", "data", name)
        folder.mkdir(parents=True, exist_ok=True)
        if source["S3DataType"] == "S3Prefix":
            objects.download_prefix(self.site.s3, source["S3Uri"], folder)
        elif source["S3DataType"] == "ManifestFile":
            objects.download_manifest(self.site.s3, source["S3Uri"], folder)
        else:
            raise JobFailure(
                f"ClientError: channel {name}: S3DataType {source['S3DataType']} does not work in the local "
                "runtime; use S3Prefix or ManifestFile"
            )

    def _restore_checkpoints(self, job: Job) -> None:
        """Bring back what an earlier job left at the same checkpoint URI."""
        checkpoint = job.record.get("CheckpointConfig")
        if checkpoint is None:
            return
        bucket, key = objects.split_uri(checkpoint["S3Uri"])
        answer = self.site.s3.list_objects_v2(Bucket=bucket, Prefix=f"{key.rstrip('/')}/", MaxKeys=1)
        if answer.get("KeyCount"):
            folder = job.opt_ml.local(checkpoint.get("LocalPath", _CHECKPOINTS))
            objects.download_prefix(self.site.s3, checkpoint["S3Uri"].rstrip("/") + "/", folder)

    def _sync_checkpoints(self, job: Job, synced: dict[str, tuple[int, int]] | None = None) -> None:
        """Copy the checkpoint folder to S3; with `synced`, what changed since the last call."""
        checkpoint = job.record.get("CheckpointConfig")
        if checkpoint is not None:
            folder = job.opt_ml.local(checkpoint.get("LocalPath", _CHECKPOINTS))
            objects.upload_folder(self.site.s3, folder, checkpoint["S3Uri"], synced)

    def _train(self, job: Job, command: Command) -> Ending:
        """Run the program; forward its log, read its metrics and sync its checkpoints meanwhile."""
        record = job.record
        log = job.folder / f"{script_mode.HOST}.log"
        log.unlink(missing_ok=True)  # of a machine that was taken away: it is in that machine's stream
        if job.opt_ml.path("code", "requirements.txt").exists():
            log.write_text("requirements.txt is not installed here: this environment's packages are used\n")
        stream = f"{job.name}/{script_mode.HOST}-{int(self.site.now())}"
        pump = LogPump(self.site, log, LOG_GROUP, stream)
        reader = MetricReader(record["AlgorithmSpecification"].get("MetricDefinitions", []))
        synced: dict[str, tuple[int, int]] = {}
        began = time.monotonic()

        def tick(*, final: bool = False) -> None:
            now = self.site.now()
            for point in reader.read(pump.pump(final=final), now):
                self.site.put_metric(
                    namespace=LOG_GROUP,
                    name=point["MetricName"],
                    value=point["Value"],
                    unit="None",
                    dimensions={"TrainingJobName": job.name},
                )
            # One look after the first sync: that one may have met half a checkpoint.
            if job.outcome == "Interrupted" and not final and (synced or "CheckpointConfig" not in record):
                raise MachineTaken(time.monotonic() - began)
            self._sync_checkpoints(job, synced)

        ending = run_container(
            self.site,
            command,
            log,
            job.stop,
            limit_seconds=record["StoppingCondition"]["MaxRuntimeInSeconds"]
            - record.get("TrainingTimeInSeconds", 0),
            grace_seconds=self.limits.stop_grace_seconds,
            memory_bytes=self.limits.memory_bytes,
            volume=job.volume(record["ResourceConfig"]["VolumeSizeInGB"], self.limits.disk_bytes),
            tick=tick,
            tick_seconds=_WATCH_SECONDS if job.outcome == "Interrupted" else PUMP_SECONDS,
        )
        tick(final=True)
        if final := reader.final():
            self.note(job, FinalMetricDataList=final)
        return ending

    def _reason(self, job: Job, command: Command, ending: Ending) -> str:
        """Answer FailureReason: the failure file, else what the toolkit writes in its stead."""
        path = job.opt_ml.path("output", "failure")
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")[:REASON_CHARACTERS].strip()
        else:
            text = f'ExecuteUserScriptError:\nCommand "{" ".join(("python", *command.arguments[2:]))}"'
        suffix = f", exit code: {ending.code}"
        return f"AlgorithmError: {text}"[: REASON_CHARACTERS - len(suffix)] + suffix

    def _upload(self, job: Job) -> None:
        """Publish model.tar.gz and, when there is any, output.tar.gz."""
        target = objects.join_uri(job.record["OutputDataConfig"]["S3OutputPath"], job.name, "output")
        staging = job.folder / "upload"
        archives.pack(job.opt_ml.path("model"), staging / "model.tar.gz")
        objects.upload_file(self.site.s3, staging / "model.tar.gz", objects.join_uri(target, "model.tar.gz"))
        data = job.opt_ml.path("output", "data")
        if any(path.is_file() for path in data.rglob("*")):
            archives.pack(data, staging / "output.tar.gz")
            uri = objects.join_uri(target, "output.tar.gz")
            objects.upload_file(self.site.s3, staging / "output.tar.gz", uri)
        artifacts = {"S3ModelArtifacts": objects.join_uri(target, "model.tar.gz")}
        self.note(job, ModelArtifacts=artifacts)
        shutil.rmtree(staging)

    def _stopped_early(self, job: Job) -> None:
        if not self.site.closing.is_set():
            self._end(job, "Stopped", "Stopped", "Training job stopped before the algorithm started")

    def _progress(self, job: Job, secondary: str, message: str) -> None:
        """Enter a secondary status of a job in progress; a job being stopped keeps saying Stopping."""
        with self._lock:
            if job.record["TrainingJobStatus"] == "InProgress":
                self._enter(job, "InProgress", secondary, message)
            else:
                self.save(job)

    def _end(self, job: Job, status: str, secondary: str, message: str) -> None:
        with self._lock:
            job.record["TrainingEndTime"] = self.site.now()
            self._enter(job, status, secondary, message)
            job.record["SecondaryStatusTransitions"][-1]["EndTime"] = self.site.now()
            self.save(job)

    def _enter(self, job: Job, status: str, secondary: str, message: str) -> None:
        """Record one transition and announce it."""
        with self._lock:
            now = self.site.now()
            transitions = job.record["SecondaryStatusTransitions"]
            if transitions:
                transitions[-1]["EndTime"] = now
            transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
            job.record |= {"TrainingJobStatus": status, "SecondaryStatus": secondary, "LastModifiedTime": now}
            self.save(job)
            detail = event_detail(job.record)
        self.site.event(DETAIL_TYPE, job.record["TrainingJobArn"], detail)


def event_detail(record: Mapping[str, Any]) -> dict[str, Any]:
    """Answer an event's detail: times are epoch-millisecond *strings*, tags a map (aws.md 1.3)."""
    detail = {name: record[name] for name in _EVENT_MEMBERS if name in record}
    detail |= {name: str(int(record[name] * 1000)) for name in _TIMES if name in record}
    transitions = [
        {name: int(value * 1000) if name.endswith("Time") else value for name, value in transition.items()}
        for transition in record["SecondaryStatusTransitions"]
    ]
    tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
    return {**detail, "SecondaryStatusTransitions": transitions, "Tags": tags}
