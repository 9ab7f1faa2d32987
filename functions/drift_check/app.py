"""DriftCheck: has live traffic moved away from what the champion learned?"""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import AlertSettings
from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.table import Table
from driftwheel.steps.drift_check import Ledger, drift_event, locations, message_of, survey

settings = AlertSettings.from_env()
logger = Logger(service="drift_check")
tracer = Tracer(service="drift_check")
objects = Objects(boto3.client("s3"))
events, sns = boto3.client("events"), boto3.client("sns")
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look at every live model that is due; tell the trigger and a person what was found."""
    told = {}
    found = survey(event, ledger, objects, settings.artifact_bucket, datetime.now(UTC))
    for checked in found.checked:
        told[checked.model] = checked.report.headline() | locations(checked)
        logger.info("drift check", extra={"model": checked.model, "severity": checked.report.severity})
        with single_metric(
            name="DriftedWeight",
            unit=MetricUnit.NoUnit,
            value=checked.report.drifted_weight,
            namespace="Driftwheel",
        ) as metric:
            metric.add_dimension(name="model", value=checked.model)
        entry = drift_event(checked, settings.stack)
        if entry is not None:
            events.put_events(Entries=[entry])
        if entry is not None and checked.news:
            subject, body = checked.notice.subject, message_of(checked)
            sns.publish(TopicArn=settings.alert_topic_arn, Subject=subject, Message=body)
    if found.failed:
        raise ArtifactInvalid("; ".join(found.failed))
    return told
