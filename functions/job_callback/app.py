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
from driftwheel.steps.came_back import why
from driftwheel.steps.job_callback import Clients, Ledger, wake

settings = CallbackSettings.from_env()
logger = Logger(service="job_callback")
tracer = Tracer(service="job_callback")
# A batch of which nothing is done is not an error of its own: that one would quote every message in the log.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
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
    """Handle one state change, execution end or reconciler's tick; what comes back says why in the log."""
    try:
        for line in wake(record.json_body, clients, ledger, objects, datetime.now(UTC)):
            logger.info("callback", extra={"wait": line})
    except Exception as error:
        told = {"message_id": record.message_id, "reason": why(error)}
        logger.error("message comes back", extra=told)  # noqa: TRY400  # a traceback may quote the message
        raise


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Settle each message on its own; what fails comes back, the rest is done."""
    return process_partial_response(event, settle_message, processor, context)
