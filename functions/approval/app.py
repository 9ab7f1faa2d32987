"""Approval: ask a person; the model registry answers."""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.settings import AlertSettings
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.run import Suspended
from driftwheel.steps.approval import ask
from driftwheel.steps.waiting import Waiting

settings = AlertSettings.from_env()
logger = Logger(service="approval")
tracer = Tracer(service="approval")
tokens = Tokens(Table(boto3.resource("dynamodb").Table(settings.table)))
sns = boto3.client("sns")


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@event_parser(model=Suspended)
def handler(event: Suspended, context: LambdaContext) -> dict[str, Any]:
    """Park the token under the model package and tell a person what is asked."""
    run = event.run
    logger.append_keys(model=run.model, run_id=run.run_id)
    waiting = Waiting(event.task_token, event.execution_arn, datetime.now(UTC).isoformat())
    question = ask(run, waiting, tokens)
    sns.publish(TopicArn=settings.alert_topic_arn, Subject=f"{run.model}: approval needed", Message=question)
    logger.info("approval asked")
    return {"asked": True}
