"""Trigger: files, labels, drift, ticks and people wake it; one policy decides."""

import json
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import TriggerSettings
from driftwheel.jobs.code import bundle
from driftwheel.ledger.table import Table
from driftwheel.steps.came_back import why
from driftwheel.steps.trigger import Ledger, Wheel, reconsider, take
from driftwheel.triggers.messages import Nudge, batch, parse

settings = TriggerSettings.from_env()
logger = Logger(service="trigger")
tracer = Tracer(service="trigger")
# A batch of which nothing is done is not an error of its own: that one would quote every message in the log.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
objects = Objects(boto3.client("s3"))
sqs = boto3.client("sqs")
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))
states = boto3.client("stepfunctions")
wheel = Wheel(
    settings.artifact_bucket,
    settings.state_machine_arn,
    bundle()[0],
    settings.approval_hours,
    states,
    objects,
)


def consider_message(record: SQSRecord) -> None:
    """Consider one message; what comes back says why in the log."""
    try:
        consider(record)
    except Exception as error:
        told = {"message_id": record.message_id, "reason": why(error)}
        logger.error("message comes back", extra=told)  # noqa: TRY400  # a traceback may quote the message
        raise


def consider(record: SQSRecord) -> None:
    """Enter one message in the ledger, then decide for the models it concerns."""
    message, now = parse(record.json_body), datetime.now(UTC)
    manual = isinstance(message, Nudge) and message.kind == "manual"
    for model in take(message, ledger, objects, now.isoformat()):
        decided = reconsider(model, ledger, wheel, now, manual=manual)
        logger.info("decided", extra={"model": model, "answer": decided.answer.code})
        if decided.look_again is not None:
            body = json.dumps({"kind": "reconsider", "model": model})
            sqs.send_message(
                QueueUrl=settings.arrival_queue_url, MessageBody=body, DelaySeconds=decided.look_again
            )


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Consider each message on its own; what fails comes back, the rest is done."""
    return process_partial_response(batch(event), consider_message, processor, context)
