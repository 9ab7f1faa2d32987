"""Sweep: once a day, delete the models, configs and endpoints of ours that nothing needs."""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.settings import SweepSettings
from driftwheel.deployment.leftovers import Kind
from driftwheel.ledger.table import Table
from driftwheel.steps.sweep import Ledger, sweep

settings = SweepSettings.from_env()
logger = Logger(service="sweep")
tracer = Tracer(service="sweep")
sagemaker = boto3.client("sagemaker")
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[Kind, list[str]]:
    """Sweep, and say what went."""
    swept = sweep(settings.stack, settings.sweep_after_days, sagemaker, ledger, datetime.now(UTC))
    logger.info("swept", extra={"swept": swept})
    return swept
