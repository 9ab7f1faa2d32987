"""Training jobs: real processes on the /opt/ml contract, with AWS's names, statuses and refusals."""

import json
import signal
import socket

import boto3
import pytest
from botocore.exceptions import ClientError

BUCKET = "artifacts"
SPOT = {"EnableManagedSpotTraining": True}
WAITING_SPOT = SPOT | {"StoppingCondition__MaxWaitTimeInSeconds": 3600}


def refused(call, *arguments, **options):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    return caught.value.response["Error"]


def test_a_training_job_runs_the_program_and_publishes_its_model(account):
    account.train("first")

    job = account.trained("first")

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/models/first/output/model.tar.gz"
    assert account.untar(account.get(uri)) == {"model.json": '{"rounds": "3"}'}


def test_a_job_passes_the_documented_secondary_statuses_in_order(account):
    account.train()

    job = account.trained()

    transitions = job["SecondaryStatusTransitions"]
    assert [item["Status"] for item in transitions] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert all(item["StartTime"] <= item["EndTime"] for item in transitions)
    assert job["SecondaryStatus"] == "Completed"
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] >= 1


def test_the_program_finds_sagemakers_files_arguments_and_variables(account):
    account.train("first")
    account.trained("first")

    report = account.report("first")

    variables = report["environment"]
    assert report["arguments"] == ["--mode", "good", "--rounds", "3"]
    assert report["channels"] == {"train": ["a.csv"], "code": ["sourcedir.tar.gz"]}
    assert report["folder"].endswith("/opt/ml/code")
    assert variables["TRAINING_JOB_NAME"] == "first"
    assert json.loads(variables["SM_HPS"]) == {"mode": "good", "rounds": 3}
    assert variables["SM_HP_ROUNDS"] == "3"
    assert json.loads(variables["SM_HOSTS"]) == ["algo-1"] == [variables["SM_CURRENT_HOST"]]
    assert json.loads(variables["SM_TRAINING_ENV"])["job_name"] == "first"
    assert variables["SM_NUM_GPUS"] == "0"
    assert int(variables["SM_NUM_CPUS"]) >= 1
    assert report["hyperparameters"]["rounds"] == "3"


def test_the_program_cannot_import_this_repository(account):
    account.train()
    account.trained()

    assert account.report()["repository"] is None


def test_network_isolation_leaves_neither_credentials_nor_network(account):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        account.train(Environment={"PROBE_PORT": str(listener.getsockname()[1])})
        job = account.trained()
        report = account.report()

    assert job["EnableNetworkIsolation"] is True
    assert not any(name.startswith("AWS_") and "REGION" not in name for name in report["environment"])
    log = (account.root / "sagemaker" / "jobs" / "job" / "algo-1.log").read_text()
    assert not report["network"] or "only credentials are withheld" in log


def test_without_isolation_the_program_reaches_the_local_aws(account):
    account.train(EnableNetworkIsolation=False)
    account.trained()

    variables = account.report()["environment"]

    assert variables["AWS_ENDPOINT_URL"] == account.endpoint_url
    assert variables["AWS_ACCESS_KEY_ID"] == "local"


def test_code_comes_from_s3_when_the_network_is_open(account):
    code = f"s3://{BUCKET}/code/sourcedir.tar.gz"
    account.train(EnableNetworkIsolation=False, HyperParameters__sagemaker_submit_directory=code)

    assert account.trained()["TrainingJobStatus"] == "Completed"


def test_code_from_s3_fails_under_network_isolation_as_on_aws(account):
    code = f"s3://{BUCKET}/code/sourcedir.tar.gz"
    account.train(HyperParameters__sagemaker_submit_directory=code)

    job = account.trained()

    assert job["TrainingJobStatus"] == "Failed"
    assert "network isolation" in job["FailureReason"]


def test_metrics_are_read_from_the_log_with_the_jobs_own_expressions(account):
    account.train()

    job = account.trained()

    assert [(item["MetricName"], item["Value"]) for item in job["FinalMetricDataList"]] == [("auc", 0.7)]
    values = [value for _, name, value, _ in account.metrics if name == "auc"]
    assert values == [0.5, 0.6, 0.7]


def test_the_log_reaches_cloudwatch_logs(account):
    account.train()
    account.trained()

    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = account.logs.describe_log_streams(logGroupName=group)["logStreams"]
    lines = account.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])

    assert stream["logStreamName"].startswith("job/algo-1-")
    assert "[2] validation-auc:0.7" in [event["message"] for event in lines["events"]]


def test_every_transition_is_announced_in_the_documented_shape(account):
    account.train("first", Tags=[{"Key": "owner", "Value": "ana"}])
    account.trained("first")

    details = account.details("SageMaker Training Job State Change")

    assert [(item["TrainingJobStatus"], item["SecondaryStatus"]) for item in details] == [
        ("InProgress", "Starting"),
        ("InProgress", "Downloading"),
        ("InProgress", "Training"),
        ("InProgress", "Uploading"),
        ("Completed", "Completed"),
    ]
    last = details[-1]
    assert last["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:training-job/first"
    assert account.events[-1]["resources"] == [last["TrainingJobArn"]]
    assert account.events[-1]["source"] == "aws.sagemaker"
    assert isinstance(last["TrainingEndTime"], str)
    assert last["TrainingEndTime"].isdigit()
    assert last["Tags"] == {"owner": "ana"}
    assert "ModelArtifacts" not in last


@pytest.mark.case("SM-04")
def test_a_failure_file_becomes_the_failure_reason_cut_to_1024_characters(account):
    account.train(mode="fail")

    job = account.trained()

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: the label column is empty\n")
    assert job["FailureReason"].endswith(", exit code: 3")
    assert len(job["FailureReason"]) == 1024
    assert account.details("SageMaker Training")[-1]["FailureReason"] == job["FailureReason"]


@pytest.mark.case("SM-13")
@pytest.mark.parametrize(("mode", "code"), [("crash", 1), ("segfault", -signal.SIGSEGV)])
def test_a_crash_without_failure_file_names_the_command(account, mode, code):
    account.train(mode=mode)

    reason = account.trained()["FailureReason"]

    assert reason.startswith(
        f'AlgorithmError: ExecuteUserScriptError:\nCommand "python -m trainer --mode {mode}'
    )
    assert reason.endswith(f"exit code: {code}")


@pytest.mark.case("SM-10")
def test_a_used_training_job_name_is_refused(account):
    account.train()
    account.trained()

    error = refused(account.train)

    assert error["Code"] == "ResourceInUse"
    assert "must be unique within an AWS account and region" in error["Message"]
    assert "arn:aws:sagemaker:us-east-1:123456789012:training-job/job" in error["Message"]


@pytest.mark.case("SM-05")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RoleArn": "arn:aws:iam::12:role/short"}, "at 'roleArn' failed to satisfy constraint"),
        ({"TrainingJobName": "no_underscore"}, "at 'trainingJobName' failed to satisfy constraint"),
        ({"ResourceConfig__InstanceType": "ml.huge"}, "Member must satisfy enum value set"),
        ({**SPOT}, "Invalid MaxWaitTimeInSeconds"),
        ({**SPOT, "StoppingCondition__MaxWaitTimeInSeconds": 3599}, "Invalid MaxWaitTimeInSeconds"),
        ({"StoppingCondition__MaxWaitTimeInSeconds": 3600}, "only when EnableManagedSpotTraining"),
        ({"AlgorithmSpecification__AlgorithmName": "mine"}, "Exactly one of TrainingImage"),
        (
            {"AlgorithmSpecification__MetricDefinitions": [{"Name": "x", "Regex": "("}]},
            "Invalid metric regex",
        ),
    ],
)
def test_createtrainingjob_refuses_what_aws_refuses(account, changes, message):
    error = refused(account.train, **changes)

    assert error["Code"] == "ValidationException"
    assert message in error["Message"]


@pytest.mark.case("SM-05")
def test_spot_training_with_enough_waiting_time_is_accepted(account):
    account.train(**SPOT, StoppingCondition__MaxWaitTimeInSeconds=3600)

    assert account.trained()["EnableManagedSpotTraining"] is True


def test_instances_beyond_the_quota_are_refused_and_come_free_again(account):
    account.world.quota["ml.m5.large"] = 1
    account.train("first")

    error = refused(account.train, "second")
    account.trained("first")
    account.train("third")

    assert error["Code"] == "ResourceLimitExceeded"
    assert "'ml.m5.large for training job usage' is 1 Instances" in error["Message"]
    assert account.trained("third")["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/nowhere/", "s3://no-such-bucket/data/"])
def test_missing_input_fails_the_job_with_a_client_error(account, uri):
    account.train(InputDataConfig=[account.channel("train", uri)])

    job = account.trained()

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed")
    assert uri in job["FailureReason"]


def test_a_manifest_names_exactly_the_files_of_its_channel(account):
    account.put("data/many/a.csv", "1")
    account.put("data/many/deep/b.csv", "2")
    account.put("data/many/c.csv", "3")
    manifest = account.put(
        "data/manifest.json", json.dumps([{"prefix": f"s3://{BUCKET}/data/many/"}, "a.csv", "deep/b.csv"])
    )
    code = f"s3://{BUCKET}/code/sourcedir.tar.gz"
    account.train(
        InputDataConfig=[account.channel("train", manifest, "ManifestFile"), account.channel("code", code)]
    )

    job = account.trained()

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert account.report()["channels"]["train"] == ["a.csv", "deep/b.csv"]


def test_an_unknown_image_fails_the_job_and_names_what_runs(account):
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    account.train(AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"})

    reason = account.trained()["FailureReason"]

    assert image in reason
    assert "sagemaker-xgboost" in reason
    assert "sagemaker-spark-processing" in reason


def test_a_stopped_job_may_save_its_model_after_sigterm(account):
    account.train(mode="patient")
    account.until(
        lambda: account.root / "sagemaker/jobs/job/algo-1.log",
        lambda log: log.exists() and "waiting" in log.read_text(),
    )

    account.sagemaker.stop_training_job(TrainingJobName="job")
    stopping = account.sagemaker.describe_training_job(TrainingJobName="job")
    job = account.trained()

    assert stopping["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert "partial" in account.untar(account.get(job["ModelArtifacts"]["S3ModelArtifacts"]))


@pytest.mark.case("SM-06")
def test_a_job_that_ignores_sigterm_is_killed_after_the_grace(account):
    account.train(mode="stubborn", StoppingCondition={"MaxRuntimeInSeconds": 1})

    job = account.trained()

    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"


def test_stopping_a_finished_or_missing_job_is_refused(account):
    account.train()
    account.trained()

    finished = refused(account.sagemaker.stop_training_job, TrainingJobName="job")
    missing = refused(account.sagemaker.stop_training_job, TrainingJobName="other")

    assert finished["Code"] == "ValidationException"
    assert "in status Completed" in finished["Message"]
    assert missing["Code"] == "ResourceNotFound"


def test_a_job_stopped_before_it_starts_never_runs(account):
    account.world.site.time_scale = 0.1
    account.train()

    account.sagemaker.stop_training_job(TrainingJobName="job")
    job = account.trained()

    assert job["TrainingJobStatus"] == "Stopped"
    assert "TrainingStartTime" not in job


@pytest.mark.case("SM-05")
def test_checkpoints_are_synced_and_come_back_to_the_next_job(account):
    checkpoint = {"S3Uri": f"s3://{BUCKET}/checkpoints/run"}
    account.train("first", mode="checkpoint", CheckpointConfig=checkpoint)
    account.trained("first")

    account.train("second", CheckpointConfig=checkpoint)
    account.trained("second")

    assert account.keys("checkpoints/run") == ["checkpoints/run/round-1"]
    assert account.report("second")["checkpoints"] == ["round-1"]


@pytest.mark.case("SM-05")
def test_a_machine_that_is_taken_away_is_replaced_and_the_checkpoint_comes_back(account):
    account.world.limits.training_outcomes = ["Interrupted"]
    checkpoint = {"S3Uri": f"s3://{BUCKET}/checkpoints/run"}
    account.train("on-demand")
    account.train("spot", mode="interrupted", CheckpointConfig=checkpoint, **WAITING_SPOT)

    job = account.trained("spot")

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    said = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert said == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert account.report("spot")["checkpoints"] == ["round-1"]
    assert job["TrainingTimeInSeconds"] >= 2
    told = [d["SecondaryStatus"] for d in account.details("SageMaker Training") if "spot" in str(d)]
    assert told == said
    assert account.trained("on-demand")["TrainingJobStatus"] == "Completed"


@pytest.mark.case("SM-05")
def test_spot_machines_that_never_come_stop_the_job_when_its_wait_is_over(account):
    account.world.limits.training_outcomes = ["MaxWaitTimeExceeded"]
    account.train(**WAITING_SPOT)

    job = account.trained()

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    said = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert said == ["Starting", "Stopping", "MaxWaitTimeExceeded"]
    assert "FailureReason" not in job
    assert "ModelArtifacts" not in job


@pytest.mark.case("SM-04")
def test_a_reason_given_beforehand_ends_the_next_job_only(account):
    reason = "CapacityError: Unable to provision requested ML compute capacity."
    account.world.limits.training_outcomes = ["", reason]
    for name in ("first", "second", "third"):
        account.train(name)

    jobs = {name: account.trained(name) for name in ("first", "second", "third")}

    ends = {name: job.get("FailureReason", job["SecondaryStatus"]) for name, job in jobs.items()}
    assert ends == {"first": "Completed", "second": reason, "third": "Completed"}
    assert "TrainingStartTime" not in jobs["second"]


@pytest.mark.case("SM-13")
def test_a_memory_limit_ends_a_greedy_program(account):
    account.world.limits.memory_bytes = 300_000_000
    account.train(mode="memory")

    job = account.trained()

    assert job["TrainingJobStatus"] == "Failed"
    assert "exit code: 1" in job["FailureReason"]


@pytest.mark.case("SM-13")
@pytest.mark.parametrize(
    ("mode", "reason"), [("disk-file", "exit code: 1"), ("disk-files", "No space left on device")]
)
def test_a_full_volume_ends_a_greedy_program_and_this_machine_keeps_its_disk(account, mode, reason):
    account.world.limits.disk_bytes = 20_000_000
    account.train(mode=mode)

    job = account.trained()

    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]
    kept = list(account.world.site.folder("jobs", "job").rglob("*"))
    assert kept
    assert sum(path.lstat().st_blocks * 512 for path in kept) < 60_000_000


@pytest.mark.parametrize("member", ["../escape", "/absolute"])
def test_code_that_points_outside_its_folder_is_not_unpacked(account, member):
    evil = account.put("code/evil.tar.gz", account.tarball({member: "x"}))
    account.train(
        EnableNetworkIsolation=False,
        HyperParameters__sagemaker_submit_directory=evil,
    )

    job = account.trained()

    assert job["TrainingJobStatus"] == "Failed"
    assert "points outside its folder" in job["FailureReason"]


def test_jobs_are_listed_newest_first_page_by_page(account):
    for name in ("a", "b", "c"):
        account.train(name)

    page = account.sagemaker.list_training_jobs(MaxResults=2)
    rest = account.sagemaker.list_training_jobs(MaxResults=2, NextToken=page["NextToken"])
    named = account.sagemaker.list_training_jobs(NameContains="B")
    for name in ("a", "b", "c"):
        account.trained(name)

    assert [item["TrainingJobName"] for item in page["TrainingJobSummaries"]] == ["c", "b"]
    assert [item["TrainingJobName"] for item in rest["TrainingJobSummaries"]] == ["a"]
    assert [item["TrainingJobName"] for item in named["TrainingJobSummaries"]] == ["b"]


def test_tags_are_kept_listed_and_removed(account):
    arn = account.train(Tags=[{"Key": "run", "Value": "1"}])
    account.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "ana"}])
    account.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["run"])

    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "ana"}]
    account.trained()


def test_a_job_cut_off_by_a_crash_is_failed_with_a_clear_reason(account):
    account.train("done")
    account.trained("done")
    account.train(mode="patient")
    account.until(
        lambda: account.sagemaker.describe_training_job(TrainingJobName="job"),
        lambda job: job["SecondaryStatus"] == "Training",
    )

    account.world.close()
    account.world = account.new_world()
    account.world.recover()
    job = account.sagemaker.describe_training_job(TrainingJobName="job")

    assert job["TrainingJobStatus"] == "Failed"
    assert "InternalServerError" in job["FailureReason"]
    assert "interrupted" in job["FailureReason"]
    assert account.trained("done")["TrainingJobStatus"] == "Completed"
    assert refused(account.train, "done")["Code"] == "ResourceInUse"


def test_another_region_is_refused_clearly(account):
    elsewhere = boto3.client("sagemaker", region_name="eu-west-1", endpoint_url=account.endpoint_url)

    error = refused(elsewhere.list_training_jobs)

    assert "us-east-1 only" in error["Message"]
