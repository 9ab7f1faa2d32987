"""EvaluationGate: is the challenger really better?"""

from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import Settings
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.table import Table
from driftwheel.run import Run
from driftwheel.steps.evaluation_gate import (
    artifact_digest,
    check_model,
    judge,
    publish,
    read_evidence,
    register,
    remember,
    section_of,
)

settings = Settings.from_env()
logger = Logger(service="evaluation_gate")
tracer = Tracer(service="evaluation_gate")
objects = Objects(boto3.client("s3"))
decisions = Decisions(Table(boto3.resource("dynamodb").Table(settings.table)))
sagemaker = boto3.client("sagemaker")


@tracer.capture_lambda_handler
@logger.inject_lambda_context
@event_parser(model=Run)
def handler(event: Run, context: LambdaContext) -> dict[str, Any]:
    """Decide whether the trained model may take over, and register it either way."""
    logger.append_keys(model=event.model, run_id=event.run_id)
    if event.training_launch is None:
        raise ValueError(f"run {event.run_id} has no trained model to judge")
    evidence = read_evidence(objects, event.training_launch.output_uri)
    artifact = artifact_digest(evidence)
    check_model(objects, event.training_launch.model_data_url, artifact)
    verdict = judge(event, evidence)
    evaluation = publish(event, verdict, evidence, objects, settings.artifact_bucket)
    arn = register(event, verdict, evaluation, artifact, settings.stack, sagemaker)
    remember(event, verdict, decisions, datetime.now(UTC).isoformat())
    logger.info("verdict", extra={"decision": verdict.decision, "model_package": arn})
    return section_of(verdict, arn, evaluation, artifact).model_dump(mode="json")
