"""Preprocessing: clean, combine attributes into features, split without leakage."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import PreprocessingSettings
from driftwheel.ledger.table import Table
from driftwheel.run import Run
from driftwheel.steps.preprocessing import Ledger, Place, preprocess

settings = PreprocessingSettings.from_env()
logger = Logger(service="preprocessing")
tracer = Tracer(service="preprocessing")
objects = Objects(boto3.client("s3"))
ledger = Ledger.of(Table(boto3.resource("dynamodb").Table(settings.table)))


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@event_parser(model=Run)
def handler(event: Run, context: LambdaContext) -> dict[str, Any]:
    """Turn the frozen data set into the files a training job reads, or say why not."""
    logger.append_keys(model=event.model, run_id=event.run_id)
    with TemporaryDirectory() as folder:
        place = Place(settings.artifact_bucket, Path(folder), settings.preprocessing_memory_mb)
        section = preprocess(event, objects, ledger, place)
    logger.info("preprocessing", extra=section.model_dump(include={"outcome", "rows", "rolled_over"}))
    return section.model_dump(mode="json", exclude_none=True)
