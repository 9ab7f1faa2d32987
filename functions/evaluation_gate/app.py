"""EvaluationGate: is the challenger really better?"""

from typing import Any

import boto3
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from driftwheel.aws.objects import Objects
from driftwheel.aws.settings import Settings
from driftwheel.ledger.decisions import Decisions
from driftwheel.ledger.table import Table
from driftwheel.run import Run
from driftwheel.steps.evaluation_gate import judge, publish, read_evidence, register, remember, section_of

settings = Settings.from_env()
logger = Logger(service="evaluation_gate")
tracer = Tracer(service="evaluation_gate")
objects = Objects(boto3.client("s3"))
decisions = Decisions(Table(boto3.resource("dynamodb").Table(settings.table)))
sagemaker = boto3.client("sagemaker")


@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Decide whether the trained model may take over, and register it either way."""
    run = Run.model_validate(event)
    logger.append_keys(model=run.model, run_id=run.run_id)
    if run.training_launch is None:
        raise ValueError(f"run {run.run_id} has no trained model to judge")
    evidence = read_evidence(objects, run.training_launch.output_uri)
    verdict = judge(run, evidence)
    evaluation = publish(run, verdict, evidence, objects, settings.artifact_bucket)
    arn = register(run, verdict, evaluation, settings.stack, sagemaker)
    remember(run, verdict, decisions)
    logger.info("verdict", extra={"decision": verdict.decision, "model_package": arn})
    return section_of(verdict, arn, evaluation).model_dump(mode="json")
