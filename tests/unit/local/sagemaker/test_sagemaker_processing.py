"""Processing jobs: S3 in and out below /opt/ml/processing, and how they end."""

import pytest
from botocore.exceptions import ClientError

BUCKET = "artifacts"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
SPARK = "173754725891.dkr.ecr.us-east-1.amazonaws.com/sagemaker-spark-processing:3.5-cpu-py312-v1"
SCRIPT = "/opt/ml/processing/input/code/script.py"
COPY = """
import pathlib, sys, helper
source, target = map(pathlib.Path, sys.argv[1:3])
(target / "deep").mkdir()
(target / "deep" / "out.csv").write_text(helper.shout((source / "in.csv").read_text()))
"""
HELPER = "def shout(text): return text.upper()\n"


def process(account, script=COPY, name="job", entrypoint=("python3", SCRIPT), image=XGBOOST, **changes):
    account.put("code/script.py", script)
    account.put("code/helper.py", HELPER)
    account.put("in/in.csv", "a,b\n")
    inputs = [
        ("code", "code/", "/opt/ml/processing/input/code"),
        ("data", "in/", "/opt/ml/processing/input/data"),
    ]
    request = {
        "ProcessingJobName": name,
        "RoleArn": "arn:aws:iam::123456789012:role/sagemaker",
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": list(entrypoint),
            "ContainerArguments": ["/opt/ml/processing/input/data", "/opt/ml/processing/output"],
        },
        "ProcessingInputs": [
            {
                "InputName": input_name,
                "S3Input": {
                    "S3Uri": f"s3://{BUCKET}/{prefix}",
                    "LocalPath": path,
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for input_name, prefix, path in inputs
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/out",
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        **changes,
    }
    return account.sagemaker.create_processing_job(**request)["ProcessingJobArn"]


def processed(account, name="job"):
    return account.until(
        lambda: account.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda job: job["ProcessingJobStatus"] not in ("InProgress", "Stopping"),
    )


@pytest.mark.parametrize(
    ("image", "entrypoint"),
    [
        (XGBOOST, ("python3", SCRIPT)),
        (SPARK, ("smspark-submit", "--py-files", "/opt/ml/processing/input/code/helper.py", SCRIPT)),
    ],
)
def test_a_processing_job_reads_and_writes_s3_under_its_own_paths(account, image, entrypoint):
    process(account, image=image, entrypoint=entrypoint)

    job = processed(account)

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert account.get(f"s3://{BUCKET}/out/deep/out.csv") == b"A,B\n"
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]


def test_its_events_carry_times_as_numbers(account):
    process(account)
    processed(account)

    details = account.details("SageMaker Processing Job State Change")

    assert [detail["ProcessingJobStatus"] for detail in details] == ["InProgress", "Completed"]
    assert isinstance(details[-1]["ProcessingEndTime"], int)


def test_an_exit_message_is_kept_also_when_the_job_fails(account):
    script = """
import pathlib, os, sys
pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "output", "message").write_text("42 rows are broken")
sys.exit(7)
"""
    process(account, script)

    job = processed(account)

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["ExitMessage"] == "42 rows are broken"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 7"
    assert account.keys("out/") == []


def test_a_used_processing_job_name_is_refused(account):
    process(account)
    processed(account)

    with pytest.raises(ClientError) as caught:
        process(account)

    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_running_processing_job_can_be_stopped(account):
    process(account, "import time; time.sleep(60)")
    account.until(
        lambda: account.sagemaker.describe_processing_job(ProcessingJobName="job"),
        lambda job: "ProcessingStartTime" in job,
    )

    account.sagemaker.stop_processing_job(ProcessingJobName="job")

    assert processed(account)["ProcessingJobStatus"] == "Stopped"


def test_paths_outside_processing_are_refused(account):
    outputs = {
        "Outputs": [
            {
                "OutputName": "out",
                "S3Output": {"S3Uri": "s3://a/b", "LocalPath": "/tmp/x", "S3UploadMode": "EndOfJob"},
            }
        ]
    }

    with pytest.raises(ClientError) as caught:
        process(account, ProcessingOutputConfig=outputs)

    assert "must start with /opt/ml/processing" in str(caught.value)


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        (("/bin/bash", "-c", "true"), "/bin/bash"),
        (("smspark-submit", "--class", "A", "a.jar"), "smspark-submit"),
        (("smspark-submit", "--py-files", "helper.py", SCRIPT), "must be an absolute path"),
        (("smspark-submit", "--py-files", "/opt/ml/processing/input/code/x.zip", SCRIPT), "does not exist"),
    ],
)
def test_what_cannot_run_here_fails_with_its_name(account, entrypoint, words):
    process(account, image=SPARK, entrypoint=entrypoint)

    job = processed(account)

    assert job["ProcessingJobStatus"] == "Failed"
    assert words in job["FailureReason"]


def test_a_failure_reaches_the_log_group(account):
    process(account, "raise ValueError('no such column')")
    processed(account)

    group = "/aws/sagemaker/ProcessingJobs"
    (stream,) = account.logs.describe_log_streams(logGroupName=group)["logStreams"]
    lines = account.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]

    assert "ValueError: no such column" in [line["message"] for line in lines]
