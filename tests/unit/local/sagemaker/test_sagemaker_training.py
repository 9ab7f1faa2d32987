"""Training jobs: real processes on the /opt/ml contract, with AWS's names, statuses and refusals."""

BUCKET = "artifacts"


def test_a_training_job_runs_the_program_and_publishes_its_model(account):
    account.train("first")

    job = account.trained("first")

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/models/first/output/model.tar.gz"
    assert account.untar(account.get(uri)) == {"model.json": '{"rounds": "3"}'}
