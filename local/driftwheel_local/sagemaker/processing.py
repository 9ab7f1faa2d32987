"""Processing jobs: inputs and outputs below /opt/ml/processing, the container's own command, ExitMessage."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from driftwheel_local.sagemaker import containers, objects
from driftwheel_local.sagemaker.execution import Cause, Ending, run_container
from driftwheel_local.sagemaker.joblogs import LogPump
from driftwheel_local.sagemaker.jobs import REASON_CHARACTERS, STARTING_SECONDS, Job, JobBoard, JobFailure
from driftwheel_local.sagemaker.process import Command
from driftwheel_local.sagemaker.refusals import invalid
from driftwheel_local.sagemaker.script_mode import HOST, resource_config

DETAIL_TYPE = "SageMaker Processing Job State Change"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_DEFAULT_RUNTIME = 86_400
_EVENT_MEMBERS = (
    "ProcessingJobName",
    "ProcessingJobArn",
    "ProcessingJobStatus",
    "FailureReason",
    "ExitMessage",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
)
_CONFIGURATION = (
    "ProcessingJobArn",
    "ProcessingJobName",
    "AppSpecification",
    "Environment",
    "RoleArn",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
)
_TIMES = ("CreationTime", "ProcessingStartTime", "ProcessingEndTime", "LastModifiedTime")


class ProcessingJobs(JobBoard):
    """The processing jobs of the account."""

    noun = "Processing"
    kind = "processing-job"
    folder_name = "processing"
    taken_message = (
        "Job name must be unique within an AWS account and region, and a job with this name already exists "
        "({arn})"
    )

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse repeated input or output names and paths outside /opt/ml/processing."""
        inputs = request.get("ProcessingInputs", [])
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for what, member, items in (("input", "InputName", inputs), ("output", "OutputName", outputs)):
            names = [item[member] for item in items]
            for name in names:
                if names.count(name) > 1:
                    raise invalid(f"Duplicate {what} name {name!r}")
        for item in (*inputs, *outputs):
            source = item.get("S3Input") or item.get("S3Output") or {}
            path = source.get("LocalPath")
            if path is not None and not f"{path}/".startswith("/opt/ml/processing/"):
                raise invalid(f"LocalPath {path!r} must start with /opt/ml/processing")

    def complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """Answer the record with AWS's default runtime limit."""
        return {"StoppingCondition": {"MaxRuntimeInSeconds": _DEFAULT_RUNTIME}, **record}

    def instances(self, request: Mapping[str, Any]) -> tuple[str, int]:
        """Answer (instance type, count)."""
        cluster = request["ProcessingResources"]["ClusterConfig"]
        return cluster["InstanceType"], cluster["InstanceCount"]

    def started(self, job: Job) -> None:
        """Announce InProgress."""
        self._enter(job, "InProgress")

    def stopping(self, job: Job) -> None:
        """Announce Stopping."""
        self._enter(job, "Stopping")

    def failed(self, job: Job, reason: str) -> None:
        """End as Failed."""
        self.note(job, FailureReason=reason)
        self._end(job, "Failed")

    def run(self, job: Job) -> None:
        """Take one job to its end."""
        record, opt_ml = job.record, job.opt_ml
        if self.site.pause(STARTING_SECONDS, job.stop):
            if not self.site.closing.is_set():
                self._end(job, "Stopped")
            return
        instance, count = self.instances(record)
        if count != 1:
            raise JobFailure(
                f"ClientError: the local runtime processes on one instance; InstanceCount {count} of "
                f"{instance} needs AWS"
            )
        specification = record["AppSpecification"]
        opt_ml.make()
        self._write_configuration(job)
        for item in record.get("ProcessingInputs", []):
            self._download(job, item)
        for output in self._outputs(record):
            opt_ml.local(output["LocalPath"]).mkdir(parents=True, exist_ok=True)
        command = containers.processing_command(
            self.site,
            opt_ml,
            specification["ImageUri"],
            specification.get("ContainerEntrypoint", []),
            specification.get("ContainerArguments", []),
            {**record.get("Environment", {}), "PROCESSING_JOB_NAME": job.name},
            isolated=bool(record.get("NetworkConfig", {}).get("EnableNetworkIsolation")),
        )
        with self._lock:
            record["ProcessingStartTime"] = self.site.now()
            self.save(job)
        ending = self._process(job, command)
        message = opt_ml.path("output", "message")
        if message.is_file():
            text = message.read_text(encoding="utf-8", errors="replace")
            self.note(job, ExitMessage=text[:REASON_CHARACTERS])
        if ending.cause is Cause.TIMEOUT:
            limit = record["StoppingCondition"]["MaxRuntimeInSeconds"]
            raise JobFailure(f"ClientError: Processing job runtime exceeded MaxRuntimeInSeconds ({limit})")
        if ending.cause is Cause.DISK:
            raise JobFailure("AlgorithmError: No space left on device: the job's volume is full")
        if job.stop.is_set():
            self._end(job, "Stopped")
        elif ending.code != 0:
            raise JobFailure(f"AlgorithmError: See job logs for more information, exit code: {ending.code}")
        else:
            self._upload(job, {"EndOfJob", "Continuous"}, {})
            self._end(job, "Completed")
            shutil.rmtree(opt_ml.base, ignore_errors=True)  # a failed job's folder stays to be looked at

    def _process(self, job: Job, command: Command) -> Ending:
        log = job.folder / f"{HOST}.log"
        pump = LogPump(self.site, log, LOG_GROUP, f"{job.name}/{HOST}-{int(self.site.now())}")
        uploaded: dict[str, dict[str, tuple[int, int]]] = {}

        def tick() -> None:
            pump.pump()
            self._upload(job, {"Continuous"}, uploaded)

        ending = run_container(
            self.site,
            command,
            log,
            job.stop,
            limit_seconds=job.record["StoppingCondition"]["MaxRuntimeInSeconds"],
            grace_seconds=self.limits.stop_grace_seconds,
            memory_bytes=self.limits.memory_bytes,
            volume=job.volume(
                job.record["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"], self.limits.disk_bytes
            ),
            tick=tick,
        )
        pump.pump(final=True)
        return ending

    def _write_configuration(self, job: Job) -> None:
        """Write the two files SageMaker puts under /opt/ml/config, paths already local."""
        instance, _ = self.instances(job.record)
        folder = job.opt_ml.path("config")
        folder.mkdir(parents=True, exist_ok=True)
        resources = resource_config({"ResourceConfig": {"InstanceType": instance}})
        (folder / "resourceconfig.json").write_text(json.dumps(resources), encoding="utf-8")
        content = {name: job.record[name] for name in _CONFIGURATION if name in job.record}
        text = job.opt_ml.rewrite(json.dumps(content))
        (folder / "processingjobconfig.json").write_text(text, encoding="utf-8")

    def _download(self, job: Job, item: Mapping[str, Any]) -> None:
        source, name = item.get("S3Input"), item["InputName"]
        if source is None or "LocalPath" not in source:
            raise JobFailure(
                f"ClientError: input {name}: only S3Input with a LocalPath works in the local runtime"
            )
        if source.get("S3InputMode", "File") != "File" or source.get("S3CompressionType", "None") != "None":
            raise JobFailure(f"ClientError: input {name}: only File mode without compression works here")
        folder = job.opt_ml.local(source["LocalPath"])
        folder.mkdir(parents=True, exist_ok=True)
        if source["S3DataType"] == "ManifestFile":
            objects.download_manifest(self.site.s3, source["S3Uri"], folder)
        else:
            objects.download_prefix(self.site.s3, source["S3Uri"], folder)

    def _outputs(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        outputs = record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for output in outputs:
            if "LocalPath" not in output.get("S3Output", {}):
                raise JobFailure(
                    f"ClientError: output {output['OutputName']}: only S3Output with a LocalPath works here"
                )
        return [{**output["S3Output"], "OutputName": output["OutputName"]} for output in outputs]

    def _upload(self, job: Job, modes: set[str], uploaded: dict[str, dict[str, tuple[int, int]]]) -> None:
        for output in self._outputs(job.record):
            if output["S3UploadMode"] in modes:
                folder = job.opt_ml.local(output["LocalPath"])
                seen = uploaded.setdefault(output["OutputName"], {})
                objects.upload_folder(self.site.s3, folder, output["S3Uri"], seen)

    def _end(self, job: Job, status: str) -> None:
        with self._lock:
            job.record["ProcessingEndTime"] = self.site.now()
            self._enter(job, status)

    def _enter(self, job: Job, status: str) -> None:
        with self._lock:
            job.record |= {"ProcessingJobStatus": status, "LastModifiedTime": self.site.now()}
            self.save(job)
            detail = {name: job.record[name] for name in _EVENT_MEMBERS if name in job.record}
            detail |= {name: int(job.record[name] * 1000) for name in _TIMES if name in job.record}
            detail["Tags"] = {tag["Key"]: tag["Value"] for tag in job.record.get("Tags", [])}
        self.site.event(DETAIL_TYPE, job.record["ProcessingJobArn"], detail)
