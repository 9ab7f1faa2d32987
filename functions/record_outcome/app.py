"""RecordOutcome and RecordFailure: say how the run ended and give back what it held."""

import json
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import OutcomeSettings
from driftwheel.ledger.table import Table
from driftwheel.run import Run
from driftwheel.steps.alerts import tell
from driftwheel.steps.record_outcome import Ledger, record
from driftwheel.steps.shortened import cut

settings = OutcomeSettings.from_env()
logger = Logger(service="record_outcome")
tracer = Tracer(service="record_outcome")
metrics = Metrics(service="record_outcome")
objects = Objects(boto3.client("s3"))
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))
sqs, sns = boto3.client("sqs"), boto3.client("sns")


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@metrics.log_metrics
@event_parser(model=Run)
def handler(event: Run, context: LambdaContext) -> dict[str, Any]:
    """Record the outcome, tell a person when it is bad news, and let the trigger look again."""
    logger.append_keys(model=event.model, run_id=event.run_id)
    now = datetime.now(UTC)
    outcome = record(event, now.isoformat(), objects, ledger, settings.artifact_bucket)
    metrics.add_dimension("model", event.model)
    metrics.add_metric(f"Runs{outcome.status.title()}", MetricUnit.Count, 1)
    woken = {"kind": "run_finished", "model": event.model, "run_id": event.run_id}
    sqs.send_message(QueueUrl=settings.arrival_queue_url, MessageBody=json.dumps(woken))
    if outcome.alert and (why := tell(outcome.alert, ledger.outbox, sns, settings.alert_topic_arn, now)):
        logger.warning("alert is told later", extra={"alert": outcome.alert.key, "why": why})
    logger.info("run ended", extra={"status": outcome.status})
    return {"status": outcome.status, "sentence": cut(outcome.sentence)}
