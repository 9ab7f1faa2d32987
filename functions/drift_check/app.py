"""DriftCheck: has live traffic moved away from what the champion learned?"""

import sys
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import DriftSettings
from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.code import bundle
from driftwheel.ledger.table import Table
from driftwheel.steps.domain import DomainJobs
from driftwheel.steps.drift_check import Checked, Ledger, drift_event, locations, message_of, survey
from driftwheel.steps.drift_metrics import emf, of_check, of_stack

settings = DriftSettings.from_env()
logger = Logger(service="drift_check")
tracer = Tracer(service="drift_check")
stack = {"stack": settings.stack}
objects = Objects(boto3.client("s3"))
events, sns = boto3.client("events"), boto3.client("sns")
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))
jobs = DomainJobs(
    boto3.client("sagemaker"),
    objects,
    settings.stack,
    settings.artifact_bucket,
    settings.domain_role_arn,
    settings.kms_key_arn,
    settings.vpc,
    bundle,
)


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look at every live model that is due; tell the trigger and a person what was found."""
    now = datetime.now(UTC)
    found = survey(event, ledger, objects, settings.artifact_bucket, now, jobs)
    for checked in found.checked:
        logger.info("drift check", extra={"model": checked.model, "severity": checked.report.severity})
        if not checked.aside:
            sys.stdout.write(emf(of_check(checked), stack | {"model": checked.model}, now) + "\n")
            tell(checked)
    sys.stdout.write(emf(of_stack(ledger, now), stack, now) + "\n")
    if found.failed:
        raise ArtifactInvalid("; ".join(found.failed))
    return {checked.model: checked.report.headline() | locations(checked) for checked in found.checked}


def tell(checked: Checked) -> None:
    """Tell the trigger of drift, and a person of what was not told before."""
    entry = drift_event(checked, settings.stack)
    if entry is None:
        return
    events.put_events(Entries=[entry])
    if checked.news:
        subject, body = checked.notice.subject, message_of(checked)
        sns.publish(TopicArn=settings.alert_topic_arn, Subject=subject, Message=body)
        ledger.findings.told(checked.model)
