"""DataArrival: is the frozen data set still there?"""

from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import Settings
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from driftwheel.run import Run
from driftwheel.steps.data_arrival import arrive

settings = Settings.from_env()
logger = Logger(service="data_arrival")
tracer = Tracer(service="data_arrival")
objects = Objects(boto3.client("s3"))
ledger = ObjectLedger(Table(boto3.resource("dynamodb").Table(settings.table)))


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@event_parser(model=Run)
def handler(event: Run, context: LambdaContext) -> dict[str, Any]:
    """Decide which frozen object versions this run may read."""
    logger.append_keys(model=event.model, run_id=event.run_id)
    section = arrive(event, objects, ledger, settings.artifact_bucket)
    logger.info("data arrival", extra=section.model_dump(include={"outcome", "objects", "size_bytes"}))
    return section.model_dump(mode="json", exclude_none=True)
