"""Deployment: model, endpoint config, rollback alarms, then the endpoint moves; the callback proves it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftwheel.algorithms.images import image_uri
from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import clear_failed_endpoint, create_once, existing, update_endpoint
from driftwheel.deployment.endpoint import (
    create_endpoint_request,
    endpoint_config_request,
    model_request,
    update_endpoint_request,
)
from driftwheel.deployment.names import resource_name
from driftwheel.deployment.verification import WORKING
from driftwheel.errors import ArtifactInvalid, CapacityExceeded, ChampionMoved
from driftwheel.hooks import reached
from driftwheel.jobs.artifact import verify
from driftwheel.layout import VARIANT, RunLayout, S3Uri, capture_prefix
from driftwheel.ledger.champions import Champions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.tokens import Parked, Tokens
from driftwheel.run import Run
from driftwheel.steps.training_launch import Place
from driftwheel.steps.waiting import Waiting

Request = dict[str, Any]

LATENCY_LIMIT_MICROSECONDS = 1_000_000
"""One second at the 99th percentile: ten times what a record batch takes, far below InvokeEndpoint's 60 s."""


@dataclass(frozen=True)
class Site(Place):
    """Where models are deployed, and which topic hears of an endpoint's alarms."""

    alert_topic_arn: str


@dataclass(frozen=True)
class Clients:
    """What deployment talks to."""

    sagemaker: Any
    cloudwatch: Any
    objects: Objects


def deploy(
    run: Run,
    waiting: Waiting,
    place: Site,
    clients: Clients,
    tokens: Tokens,
    champions: Champions,
    leases: Leases,
) -> str:
    """Start moving the model's endpoint to the challenger and return the endpoint config's name.

    Raises ChampionMoved or LeaseLost when the run's comparison no longer holds, ArtifactInvalid when the
    artifact is no longer the one that was judged, CapacityExceeded while the endpoint is busy or SageMaker
    has no room.
    """
    began = int(datetime.fromisoformat(waiting.now).timestamp())
    leases.hold(run.model, run.run_id, run.fence, now=began)
    champion = champions.get(run.model)
    before = run.champion.sequence if run.champion else 0
    if (champion.sequence if champion else 0) != before and (
        champion is None or champion.run_id != run.run_id
    ):
        raise ChampionMoved(f"{run.model}: compared with champion {before}, now it is {champion}")
    if run.training_launch is None or run.evaluation_gate is None:
        raise ValueError(f"run {run.run_id} has no trained and judged model to deploy")
    name = resource_name(place.stack, run.model, run.run_id)
    endpoint = resource_name(place.stack, run.model)
    check_artifact(run, clients.objects)
    _create_model_and_config(run, name, waiting.region, place, clients)
    found = existing(clients.sagemaker, "endpoint", {"EndpointName": endpoint})
    if found is not None:
        _free(found, name, clients)
    tokens.park(_parked(run, waiting, endpoint, name, place, before + 1, found))
    _move(run, endpoint, name, place, clients, found)
    reached("after_update_endpoint")
    return name


def check_artifact(run: Run, objects: Objects) -> None:
    """Read the artifact as an enemy's and compare it with what the gate recorded; raises ArtifactInvalid.

    Here and not only in the container: SageMaker unpacks whatever archive it is given, and the code that
    checks there comes out of that archive.
    """
    assert run.training_launch is not None
    assert run.evaluation_gate is not None
    if not run.evaluation_gate.manifest_sha256:
        raise ArtifactInvalid("the gate recorded no digest of the artifact: train again")
    uri = S3Uri.parse(run.training_launch.model_data_url)
    packed, size = objects.open(uri)
    verify(packed, "model.tar.gz", size, run.evaluation_gate.manifest_sha256)


def alarm_requests(endpoint: str, topic_arn: str) -> list[Request]:
    """Build the PutMetricAlarm requests whose alarms roll a bad challenger back."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": VARIANT}]
    common: Request = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic_arn],
    }
    errors = {
        "AlarmName": f"{endpoint}-5xx",
        "AlarmDescription": f"{endpoint} answers with faults: a deployment under way is rolled back.",
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Sum",
        "Threshold": 0,
    }
    latency = {
        "AlarmName": f"{endpoint}-latency",
        "AlarmDescription": f"{endpoint} is slow: a deployment under way is rolled back.",
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p99",
        "Threshold": LATENCY_LIMIT_MICROSECONDS,
    }
    return [errors | common, latency | common]


def _create_model_and_config(run: Run, name: str, region: str, place: Site, clients: Clients) -> None:
    assert run.training_launch is not None
    assert run.evaluation_gate is not None
    tags = {"driftwheel:stack": place.stack, "driftwheel:model": run.model, "driftwheel:run-id": run.run_id}
    model = model_request(
        name=name,
        image=image_uri(run.spec.training.algorithm, region),
        model_data_url=run.training_launch.model_data_url,
        manifest_sha256=run.evaluation_gate.manifest_sha256,
        role_arn=place.role_arn,
        tags=tags,
        vpc=place.vpc,
    )
    create_once(
        clients.sagemaker,
        "model",
        model,
        {"ModelName": name},
        {"ExecutionRoleArn": model["ExecutionRoleArn"]},
    )
    config = endpoint_config_request(
        name=name,
        model_name=name,
        mode=run.spec.deployment,
        capture_uri=str(S3Uri(place.artifact_bucket, capture_prefix(run.model))),
        kms_key_id=place.kms_key_arn,
        tags=tags,
    )
    create_once(clients.sagemaker, "endpoint_config", config, {"EndpointConfigName": name}, {})


def _free(found: Request, name: str, clients: Clients) -> None:
    """Raise CapacityExceeded while the endpoint is not free for our update.

    Before the token is parked: the end of another's update must not be taken for the end of ours.
    """
    clear_failed_endpoint(clients.sagemaker, found)
    if not _begun(found, name) and found["EndpointStatus"] in WORKING:
        raise CapacityExceeded(f"endpoint {found['EndpointName']} is {found['EndpointStatus']}")


def _begun(found: Request, name: str) -> bool:
    """Whether an earlier attempt has asked for this config: the endpoint serves it or is moving to it."""
    under_way = found.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
    return name in {found["EndpointConfigName"], under_way}


def _parked(
    run: Run, waiting: Waiting, endpoint: str, name: str, place: Site, sequence: int, found: Request | None
) -> Parked:
    assert run.training_launch is not None
    assert run.evaluation_gate is not None
    evidence = RunLayout(place.artifact_bucket, run.model, run.run_id).step("evaluation_gate")
    return waiting.parked(
        run,
        "endpoint",
        waiting.arn_of("endpoint", endpoint),
        {
            "endpoint": endpoint,
            "endpoint_config": name,
            "instance_count": run.spec.deployment.instance_count,
            "limit_seconds": run.limits.deployment_seconds,
            "seen_modified": found["LastModifiedTime"].isoformat()
            if found and not _begun(found, name)
            else "",
            "sequence": sequence,
            "model_data_url": run.training_launch.model_data_url,
            "model_package_arn": run.evaluation_gate.model_package_arn,
            "manifest_sha256": run.evaluation_gate.manifest_sha256,
            "baseline_uri": str(evidence / "baseline.json"),
            "probe_uri": str(evidence / "probe.json"),
            "reason": "; ".join(str(r.get("sentence", r)) for r in run.evaluation_gate.reasons),
        },
    )


def _move(run: Run, endpoint: str, name: str, place: Site, clients: Clients, found: Request | None) -> None:
    if found is None:
        tags = {"driftwheel:stack": place.stack, "driftwheel:model": run.model}
        request = create_endpoint_request(name=endpoint, config_name=name, tags=tags)
        create_once(
            clients.sagemaker, "endpoint", request, {"EndpointName": endpoint}, {"EndpointConfigName": name}
        )
        return
    if _begun(found, name):
        return
    alarms = alarm_requests(endpoint, place.alert_topic_arn)
    for alarm in alarms:
        clients.cloudwatch.put_metric_alarm(**alarm)
    names = [alarm["AlarmName"] for alarm in alarms]
    request = update_endpoint_request(name=endpoint, config_name=name, mode=run.spec.deployment, alarms=names)
    update_endpoint(clients.sagemaker, request)
