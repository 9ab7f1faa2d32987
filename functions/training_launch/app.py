"""TrainingLaunch: start the run's training job; the callback ends the wait."""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import JobSettings
from driftwheel.jobs.code import bundle
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Suspended
from driftwheel.steps.training_launch import Place, launch
from driftwheel.steps.waiting import Waiting

settings = JobSettings.from_env()
logger = Logger(service="training_launch")
tracer = Tracer(service="training_launch")
objects = Objects(boto3.client("s3"))
tokens = Tokens(Table(boto3.resource("dynamodb").Table(settings.table)))
sagemaker = boto3.client("sagemaker")
place = Place(
    settings.stack,
    settings.artifact_bucket,
    settings.sagemaker_role_arn,
    settings.kms_key_arn,
    settings.vpc,
)


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@event_parser(model=Suspended)
def handler(event: Suspended, context: LambdaContext) -> dict[str, Any]:
    """Start the training job and leave; nobody reads the answer, the token's holder ends the wait."""
    run = event.run
    logger.append_keys(model=run.model, run_id=run.run_id)
    waiting = Waiting(event.task_token, event.execution_arn, datetime.now(UTC).isoformat())
    name = launch(run, waiting, place, bundle(), objects, tokens, sagemaker)
    logger.info("training job started", extra={"training_job": name})
    return {"training_job": name}
