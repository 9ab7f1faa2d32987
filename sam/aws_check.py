"""Deploy to a sandbox account, turn the wheel once, take everything down and prove that nothing stays billed.

Needs an account, the SAM CLI and credentials. It costs money: about what `driftwheel plan` says for one run
and an hour of one endpoint. Run it by `make aws-check`; it asks before it starts, and says what it deletes.

NEVER RUN SO FAR: no account was at hand where it was written. How it takes down what the loop made is tried
against the local stack by tests/loop/test_people.py.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import ClientError, WaiterError

ROOT = Path(__file__).parents[1]
MODEL_YAML = ROOT / "examples" / "flights" / "model.yaml"
RUN_MINUTES = 45
RECORD = """{"time_hour": "2013-03-01 17:00:00", "carrier": "UA", "origin": "EWR", "dest": "ORD",
"sched_dep_time": 1700, "distance": 719, "temp": 39.9, "dewp": 26.1, "humid": 57.3, "wind_dir": 260,
"wind_speed": 13.8, "precip": 0, "pressure": 1011.9, "visib": null}"""

Client = Callable[[str], Any]


@click.command()
@click.option("--region", required=True, help="Where to deploy.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("flights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("weather", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(region: str, flights: Path, weather: Path, *, yes: bool) -> None:
    """Deploy, deliver FLIGHTS and WEATHER, wait for a champion, ask it, and take everything down."""
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = (
        region  # the driftwheel command asks there too
    )
    session: Any = boto3.Session(region_name=region)
    who = session.client("sts").get_caller_identity()
    stack = f"dw-check-{secrets.token_hex(3)}"
    _run("driftwheel", "--stack", stack, "doctor", str(MODEL_YAML))
    _run("driftwheel", "plan", str(MODEL_YAML), str(flights), "--with", "enrich-0", str(weather))
    if not yes:
        click.confirm(
            f"deploy {stack} to account {who['Account']}, {region}, and delete it afterwards?", abort=True
        )
    try:
        _deploy(stack, region)
        _smoke(stack, flights, weather)
    finally:
        for line in take_down(session.client, stack, lambda: _sam_delete(stack, region)):
            click.echo(line)
    billed = still_billed(session.client, stack)
    for line in billed:
        click.echo(f"STILL BILLED: {line}")
    if billed:
        raise SystemExit(1)
    click.echo("nothing of the stack is billed by the hour; its KMS key is deleted in 7 days")
    click.echo(
        "left: the logs of its jobs and endpoints, in groups below /aws/sagemaker/ that SageMaker made and "
        "keeps for good, and the stack aws-sam-cli-managed-default with its bucket, which `sam deploy "
        "--resolve-s3` makes once in a region for all that is deployed so"
    )


def _run(*command: str) -> None:
    click.echo(f"$ {' '.join(command)}", err=True)
    subprocess.run(command, check=True, cwd=ROOT)


def _deploy(stack: str, region: str) -> None:
    _run("sam", "build")
    _run(
        *("sam", "deploy", "--stack-name", stack, "--region", region, "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"),
    )


def _smoke(stack: str, flights: Path, weather: Path) -> None:
    """Turn the wheel once: a champion must come of it, answer, and be explained."""
    ask = (str(Path(sys.executable).parent / "driftwheel"), "--stack", stack)
    _run(*ask, "doctor")
    _run(*ask, "register", str(MODEL_YAML))
    _run(*ask, "drop", str(weather), "--model", "flights", "--role", "enrich-0")
    _run(*ask, "drop", str(flights), "--model", "flights", "--wait", "--timeout", str(RUN_MINUTES * 60))
    _run(*ask, "predict", "flights", RECORD)
    _run(*ask, "drift", "flights")
    _run(*ask, "decisions", "flights")
    runs = subprocess.run([*ask, "runs", "flights", "--json"], check=True, capture_output=True, text=True)
    if '"promoted"' not in runs.stdout:
        raise SystemExit("the run was not promoted: driftwheel runs flights says why")


def _sam_delete(stack: str, region: str) -> None:
    _run("sam", "delete", "--stack-name", stack, "--region", region, "--no-prompts")


def take_down(client: Client, stack: str, delete_stack: Callable[[], None]) -> Iterator[str]:
    """Delete what the loop made, then the stack, then what the stack retains; say each thing as it goes.

    Only what is named ``<stack>-…`` or belongs to the stack's own resources is touched.
    """
    retained = list(_retained(client, stack))
    yield from _delete_serving(client, stack)
    yield from _delete_registry(client, stack)
    delete_stack()
    yield f"stack {stack}"
    yield from _delete_serving(client, stack)  # what a run at work made before its functions went
    for kind, name in retained:
        yield from _delete_retained(client, kind, name)


def _retained(client: Client, stack: str) -> Iterator[tuple[str, str]]:
    """List the stack's resources that outlive it, buckets and table before the key that encrypts them."""
    kinds = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key")
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    try:
        found = [resource for page in pages for resource in page["StackResourceSummaries"]]
    except ClientError as error:
        if "does not exist" in str(error):
            return
        raise
    for kind in kinds:
        for resource in found:
            if resource["ResourceType"] == kind and resource.get("PhysicalResourceId"):
                yield kind, resource["PhysicalResourceId"]


def _named(client: Client, operation: str, key: str, name: str, stack: str) -> list[str]:
    pages = client("sagemaker").get_paginator(operation).paginate(NameContains=stack)
    return [one[name] for page in pages for one in page[key] if one[name].startswith(f"{stack}-")]


def _at_work(client: Client, stack: str) -> Iterator[tuple[str, str, str]]:
    """List the kind, name and status of every job whose machines still run."""
    for kind in ("Training", "Processing"):
        operation, key, name = f"list_{kind.lower()}_jobs", f"{kind}JobSummaries", f"{kind}JobName"
        for job in _named(client, operation, key, name, stack):
            describe = getattr(client("sagemaker"), f"describe_{kind.lower()}_job")
            status = describe(**{name: job})[f"{kind}JobStatus"]
            if status in {"InProgress", "Stopping"}:
                yield kind, job, status


def _delete_serving(client: Client, stack: str) -> Iterator[str]:
    sagemaker = client("sagemaker")
    for kind, job, status in _at_work(client, stack):
        if status == "InProgress":
            getattr(sagemaker, f"stop_{kind.lower()}_job")(**{f"{kind}JobName": job})
            yield f"{kind.lower()} job {job} stopped"
    for endpoint in _named(client, "list_endpoints", "Endpoints", "EndpointName", stack):
        with suppress(WaiterError):  # an update cannot be deleted, an endpoint that failed can
            sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint)
        sagemaker.delete_endpoint(EndpointName=endpoint)
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint)
        yield f"endpoint {endpoint}"
    for config in _named(client, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", stack):
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
        yield f"endpoint config {config}"
    for model in _named(client, "list_models", "Models", "ModelName", stack):
        sagemaker.delete_model(ModelName=model)
        yield f"model {model}"
    pages = client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack}-")
    alarms = [
        alarm["AlarmName"]
        for page in pages
        for alarm in page["MetricAlarms"]
        if alarm["AlarmName"].endswith(("-5xx", "-latency"))  # the others belong to the stack
    ]
    if alarms:
        client("cloudwatch").delete_alarms(AlarmNames=alarms)
        yield f"alarms {', '.join(alarms)}"


def _delete_registry(client: Client, stack: str) -> Iterator[str]:
    sagemaker = client("sagemaker")
    groups = _named(
        client, "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName", stack
    )
    for group in groups:
        pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        for package in [one for page in pages for one in page["ModelPackageSummaryList"]]:
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
        yield f"model package group {group}"


def _delete_retained(client: Client, kind: str, name: str) -> Iterator[str]:
    if kind == "AWS::S3::Bucket":
        empty(client("s3"), name)
        client("s3").delete_bucket(Bucket=name)
        yield f"bucket {name}"
    elif kind == "AWS::DynamoDB::Table":
        client("dynamodb").delete_table(TableName=name)
        yield f"table {name}"
    else:
        client("kms").schedule_key_deletion(KeyId=name, PendingWindowInDays=7)
        yield f"key {name} in 7 days"


def empty(s3: Any, bucket: str) -> int:
    """Delete every version and delete marker of a bucket; answer how many."""
    count = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if versions:
            doomed = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions]
            failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True}).get("Errors")
            if failed:
                raise RuntimeError(f"{bucket}: {len(failed)} versions stay, the first: {failed[0]}")
            count += len(doomed)
    return count


def still_billed(client: Client, stack: str) -> list[str]:
    """Name what carries the stack's name and costs money by the hour or the month."""
    found = [
        f"endpoint {name}" for name in _named(client, "list_endpoints", "Endpoints", "EndpointName", stack)
    ]
    found += [f"{kind.lower()} job {job} ({status})" for kind, job, status in _at_work(client, stack)]
    found += [
        f"bucket {bucket['Name']}"
        for bucket in client("s3").list_buckets()["Buckets"]
        if bucket["Name"].startswith(f"{stack}-")
    ]
    tables = client("dynamodb").get_paginator("list_tables").paginate()
    found += [
        f"table {name}" for page in tables for name in page["TableNames"] if name.startswith(f"{stack}-")
    ]
    schedules = client("scheduler").get_paginator("list_schedules").paginate(NamePrefix=f"{stack}-")
    found += [f"schedule {one['Name']}" for page in schedules for one in page["Schedules"]]
    alarms = client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack}-")
    found += [f"alarm {one['AlarmName']}" for page in alarms for one in page["MetricAlarms"]]
    return found


if __name__ == "__main__":
    main()
