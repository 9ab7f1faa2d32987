"""Deployment: move the endpoint to the challenger; the callback verifies and ends the wait.

The one function that may create or move what serves, so it also puts right what is not as the ledger says,
on a schedule; what people were to be told and were not, it tells them then.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import DeploymentSettings
from driftwheel.ledger.champions import Champions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.outbox import Alert, Outbox
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Suspended
from driftwheel.steps.alerts import tell
from driftwheel.steps.deployment import Clients, Site, deploy
from driftwheel.steps.restoration import Ledger, restore_all
from driftwheel.steps.waiting import Waiting

settings = DeploymentSettings.from_env()
logger = Logger(service="deployment")
tracer = Tracer(service="deployment")
table = Table(boto3.resource("dynamodb").Table(settings.table))
clients = Clients(boto3.client("sagemaker"), boto3.client("cloudwatch"), Objects(boto3.client("s3")))
outbox, sns = Outbox(table), boto3.client("sns")
site = Site(
    settings.stack,
    settings.artifact_bucket,
    settings.sagemaker_role_arn,
    settings.kms_key_arn,
    settings.vpc,
    settings.alert_topic_arn,
)


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve a run, or at the schedule's tick put endpoints right and tell what was not told."""
    return tidy() if event.get("kind") == "restore" else exchange(event, context)


@event_parser(model=Suspended)
def exchange(event: Suspended, context: LambdaContext) -> dict[str, Any]:
    """Start the exchange and leave; the token's holder ends the wait."""
    run = event.run
    logger.append_keys(model=run.model, run_id=run.run_id)
    waiting = Waiting(event.task_token, event.execution_arn, datetime.now(UTC).isoformat())
    config = deploy(run, waiting, site, clients, Tokens(table), Champions(table), Leases(table))
    logger.info("deployment started", extra={"endpoint_config": config})
    return {"endpoint_config": config}


def tidy() -> dict[str, Any]:
    """Look at every model's endpoint once, tell what is new, and what lies in the outbox.

    Endpoints come first: where SNS hangs, telling takes the rest of the function's time.
    """
    now = datetime.now(UTC)
    try:
        done = restore_all(settings.stack, clients.sagemaker, Ledger.of(table), now)
        for restored in done:
            logger.info("restoration", extra={"model": restored.model, "done": restored.sentence})
        tell_all((restored.alert for restored in done if restored.alert), now)
        return {restored.model: restored.sentence for restored in done}
    finally:
        tell_all(outbox.take(now), now)


def tell_all(alerts: Iterable[Alert], now: datetime) -> None:
    """Tell each; what SNS refuses waits for a later tick."""
    for alert in alerts:
        if why := tell(alert, outbox, sns, settings.alert_topic_arn, now):
            logger.warning("alert is told later", extra={"alert": alert.key, "why": why})
