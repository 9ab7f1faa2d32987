"""JobCallback: something a run waits for may have ended; read the truth and complete the token once."""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import CallbackSettings
from driftwheel.ledger.table import Table
from driftwheel.steps.job_callback import Clients, Ledger, wake

settings = CallbackSettings.from_env()
logger = Logger(service="job_callback")
tracer = Tracer(service="job_callback")
processor = BatchProcessor(event_type=EventType.SQS)
objects = Objects(boto3.client("s3"))
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))
clients = Clients(
    sagemaker=boto3.client("sagemaker"),
    runtime=boto3.client("sagemaker-runtime"),
    stepfunctions=boto3.client("stepfunctions"),
    sqs=boto3.client("sqs"),
    arrival_queue_url=settings.arrival_queue_url,
)


def settle_message(record: SQSRecord) -> None:
    """Handle one state change, execution end or reconciler's tick."""
    for line in wake(record.json_body, clients, ledger, objects, datetime.now(UTC)):
        logger.info("callback", extra={"wait": line})


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Settle each message on its own; what fails comes back, the rest is done."""
    return process_partial_response(event, settle_message, processor, context)
