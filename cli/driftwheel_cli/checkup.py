"""What must be true of an account before a stack is deployed, and of a stack before it is trusted.

Each check reads and changes nothing. ``unknown`` is an answer of its own: what may not be read is not fine.
"""

import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel.algorithms.images import image_uri
from driftwheel.deployment.names import resource_name
from driftwheel.errors import SpecInvalid
from driftwheel.layout import DATA, LABELS, MODELS
from driftwheel.spec import ModelSpec
from driftwheel_cli.connection import Names
from driftwheel_cli.rights import DEPLOYS, PASSES, refused, rights_for_sync

State = Literal["ok", "wrong", "unknown"]
Client = Callable[[str], Any]

STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
LONGEST_STACK = 43
"""Lambda takes 64 characters, and the longest function is called ``<stack>-preprocessing-launch``."""

LAMBDA_CONCURRENCY = 10
"""What the functions need beside each other; new accounts may have no more than this."""

UNFED = timedelta(days=1)
"""A new alarm waits minutes for its first number; the stack's own come at every drift check's tick."""

_WITHOUT = {"processing job usage": "; or declare preprocessing: {engine: duckdb}, which needs none"}

RULES = ("object-created", "drift-detected", "sagemaker-state", "execution-ended")
SCHEDULES = ("tick", "reconcile", "restore", "drift-check", "sweep")
"""As template.yaml names them, without the stack."""


@dataclass(frozen=True)
class Finding:
    """One check's answer: what was looked at, what was found, and what to do when it is not fine."""

    check: str
    state: State
    found: str
    remedy: str = ""


def before_deployment(client: Client, region: str, stack: str, specs: Sequence[ModelSpec]) -> list[Finding]:
    """Check the account a stack would be deployed to, for the models it would serve."""
    found = [
        _asked("credentials", lambda: _identity(client)),
        _stack_name(stack),
        *(
            _image(f"image of {spec.model}{of_what}", algorithm, region)
            for spec in specs
            for of_what, algorithm in _images(spec)
        ),
        *(_names_fit(stack, spec) for spec in specs),
        _asked("rights to deploy", lambda: _deploy_rights(client, region, stack)),
        _asked("Lambda concurrency", lambda: _concurrency(client)),
    ]
    return found + [_quota_asked(client, usage, count) for usage, count in _instances(specs).items()]


def of_stack(client: Client, names: Names) -> list[Finding]:
    """Check a deployed stack: events arrive, nothing triggers itself, nothing lies in a dead-letter queue."""
    return [
        _asked("events of the landing bucket", lambda: _bucket_events(client, names)),
        _asked("no loop through our own outputs", lambda: _no_loop(client, names)),
        _asked("rules and schedules", lambda: _switched_on(client, names)),
        _asked("state machine waits by token", lambda: _no_sync(client, names)),
        dead_letters(client, names),
    ]


def _asked(check: str, ask: Callable[[], Finding]) -> Finding:
    """Run a check; what AWS does not let us see is ``unknown``, with AWS's own words."""
    try:
        return ask()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        reason = f"{error.operation_name} was refused, {code}: {message}"
    except BotoCoreError as error:
        reason = str(error)
    return Finding(check, "unknown", reason, "allow this read, or look yourself")


def _identity(client: Client) -> Finding:
    who = client("sts").get_caller_identity()
    return Finding("credentials", "ok", f"account {who['Account']}, {who['Arn']}")


def _stack_name(stack: str) -> Finding:
    if STACK_NAME.fullmatch(stack) and len(stack) <= LONGEST_STACK:
        return Finding("stack name", "ok", stack)
    return Finding(
        "stack name",
        "wrong",
        f"'{stack}' begins the names of functions, rules and jobs",
        f"choose at most {LONGEST_STACK} letters, digits and hyphens, a letter first",
    )


def _images(spec: ModelSpec) -> list[tuple[str, str]]:
    return [("", spec.training.algorithm), *([("'s Spark job", "spark")] if _may_use_spark(spec) else [])]


def _may_use_spark(spec: ModelSpec) -> bool:
    """Whether a data set can be large enough for Spark, however large it grows."""
    return spec.preprocessing.engine_for(sys.maxsize) == "spark"


def _image(check: str, algorithm: str, region: str) -> Finding:
    try:
        return Finding(check, "ok", image_uri(algorithm, region))
    except SpecInvalid as error:
        return Finding(check, "wrong", str(error), "deploy to a region AWS lists the image for")


def _names_fit(stack: str, spec: ModelSpec) -> Finding:
    check = f"names of {spec.model}"
    try:
        name = resource_name(stack, spec.model)
    except ValueError as error:
        return Finding(check, "wrong", str(error), "choose another name for the stack")
    return Finding(check, "ok", f"its endpoint will be called {name}")


def _deploy_rights(client: Client, region: str, stack: str) -> Finding:
    arn = client("sts").get_caller_identity()["Arn"]
    if arn.endswith(":root"):
        return Finding(
            "rights to deploy", "ok", "the account's root user may do anything; use a role instead"
        )
    if ":assumed-role/" in arn:  # a session cannot be simulated, the role it took can
        _, partition, _, _, account, session = arn.split(":")
        arn = f"arn:{partition}:iam::{account}:role/{session.split('/')[1]}"
    denied, open_ = refused(client, arn, region, stack)
    if denied:
        return Finding(
            "rights to deploy", "wrong", f"denied to {arn}: {', '.join(denied)}", "let a role deploy that may"
        )
    if open_:
        found = f"allowed to {arn} under conditions IAM cannot try: {', '.join(open_)}"
        return Finding("rights to deploy", "unknown", found, "read the conditions of its policies")
    found = f"{len(DEPLOYS)} actions and {len(PASSES)} roles to hand over, organisation policies aside"
    return Finding("rights to deploy", "ok", found)


def _concurrency(client: Client) -> Finding:
    limit = client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    if limit >= LAMBDA_CONCURRENCY:
        return Finding("Lambda concurrency", "ok", f"{limit} unreserved")
    return Finding(
        "Lambda concurrency",
        "wrong",
        f"{limit} unreserved, the stack needs {LAMBDA_CONCURRENCY}",
        "ask for 'Concurrent executions' in Service Quotas",
    )


def _instances(specs: Sequence[ModelSpec]) -> dict[str, int]:
    """Name the quotas the models need, and how many instances: a swap runs two fleets beside each other."""
    needed: dict[str, int] = {}
    for spec in specs:
        serving = f"{spec.deployment.instance} for endpoint usage"
        for instance in spec.training.instances:
            training = f"{instance} for training job usage"
            needed[training] = needed.get(training, 0) + spec.training.instance_count
        needed[serving] = needed.get(serving, 0) + 2 * spec.deployment.instance_count
        if _may_use_spark(spec):
            preparing = f"{spec.preprocessing.instance} for processing job usage"
            needed[preparing] = needed.get(preparing, 0) + spec.preprocessing.instance_count
    return needed


def _quota_asked(client: Client, usage: str, needed: int) -> Finding:
    return _asked(f"quota {usage}", lambda: _quota(client, usage, needed))


def _quota(client: Client, usage: str, needed: int) -> Finding:
    check, without = f"quota {usage}", _WITHOUT.get(usage.partition(" for ")[2], "")
    for page in (
        client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    ):
        for quota in page["Quotas"]:
            if quota["QuotaName"] == usage:
                if quota["Value"] >= needed:
                    return Finding(check, "ok", f"{quota['Value']:.0f}, needed {needed}")
                return Finding(
                    check,
                    "wrong",
                    f"{quota['Value']:.0f}, needed {needed}",
                    f"ask for it: aws service-quotas request-service-quota-increase --service-code sagemaker "
                    f"--quota-code {quota['QuotaCode']} --desired-value {needed}{without}",
                )
    return Finding(check, "wrong", "AWS lists no such quota here", "choose an instance type of this region")


def _bucket_events(client: Client, names: Names) -> Finding:
    check = "events of the landing bucket"
    answer = client("s3").get_bucket_notification_configuration(Bucket=names.landing_bucket)
    if "EventBridgeConfiguration" in answer:
        return Finding(check, "ok", f"{names.landing_bucket} tells EventBridge")
    return Finding(
        check,
        "wrong",
        f"{names.landing_bucket} does not tell EventBridge: no delivered file is ever noticed",
        "deploy the template again, or switch EventBridge on in the bucket's properties",
    )


def _no_loop(client: Client, names: Names) -> Finding:
    check = "no loop through our own outputs"
    events = client("events")
    rule = events.describe_rule(Name=f"{names.stack}-object-created")
    detail = json.loads(rule["EventPattern"]).get("detail", {})
    buckets = detail.get("bucket", {}).get("name", [])
    # A suffix or a wildcard may match what we write as well as what is delivered: only prefixes bind.
    keys = detail.get("object", {}).get("key") or [""]
    prefixes = [str(key.get("prefix", key) if isinstance(key, dict) else key) for key in keys]
    ours = [prefix for prefix in prefixes if not prefix.startswith((DATA, LABELS, MODELS))]
    others = [str(bucket) for bucket in buckets or ["every bucket"] if bucket != names.landing_bucket]
    if others or ours:
        what = ", ".join([*(repr(prefix) for prefix in ours), *others])
        return Finding(
            check,
            "wrong",
            f"rule {names.stack}-object-created also matches {what}: what a run writes could start the next",
            "restore the rule's pattern by deploying the template again",
        )
    return Finding(check, "ok", f"only {', '.join(prefixes)} of {names.landing_bucket} start anything")


def _switched_on(client: Client, names: Names) -> Finding:
    check = "rules and schedules"
    states = {
        f"rule {names.stack}-{rule}": client("events").describe_rule(Name=f"{names.stack}-{rule}")["State"]
        for rule in RULES
    } | {
        f"schedule {names.stack}-{name}": client("scheduler").get_schedule(Name=f"{names.stack}-{name}")[
            "State"
        ]
        for name in SCHEDULES
    }
    off = [name for name, state in states.items() if state != "ENABLED"]
    if off:
        return Finding(check, "wrong", f"switched off: {', '.join(off)}", "switch them on again")
    return Finding(check, "ok", f"{len(RULES)} rules and {len(SCHEDULES)} schedules are on")


def _no_sync(client: Client, names: Names) -> Finding:
    check = "state machine waits by token"
    machine = client("stepfunctions").describe_state_machine(stateMachineArn=names.state_machine_arn)
    used = sorted(set(re.findall(r'"Resource"\s*:\s*"([^"]+\.sync(?::\d)?)"', machine["definition"])))
    if used:
        return Finding(
            check,
            "wrong",
            f"it uses {', '.join(used)}, which needs rights on managed rules that its role does not have",
            "deploy the shipped state machine",
        )
    if surplus := rights_for_sync(client, machine["roleArn"]):
        return Finding(
            check,
            "wrong",
            f"no .sync integration, but its role may {', '.join(surplus)}",
            "deploy the template again: the machine needs lambda:InvokeFunction, logs and traces alone",
        )
    return Finding(check, "ok", "no .sync integration, and no right that one would need")


def dead_letters(client: Client, names: Names) -> Finding:
    """Count what lies in the dead-letter queues."""
    return _asked("dead-letter queues", lambda: _dead_letters(client, names))


def _dead_letters(client: Client, names: Names) -> Finding:
    check, sqs, waiting, ways = "dead-letter queues", client("sqs"), [], []
    for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{names.stack}-"):
        for url in page.get("QueueUrls", []):
            if not is_named_for(url.rpartition("/")[2], names.stack, "DeadLetterQueue"):
                continue
            wanted = ["ApproximateNumberOfMessages", "QueueArn"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
            if int(found[wanted[0]]):
                waiting.append(f"{found[wanted[0]]} in {url.rsplit('/', 1)[-1]}")
                ways.append(_way_back(url, found["QueueArn"]))
    if waiting:
        remedy = f"driftwheel logs says why; once that is mended: {'; '.join(ways)}"
        return Finding(check, "wrong", "; ".join(waiting), remedy)
    return Finding(check, "ok", "empty")


def _way_back(url: str, arn: str) -> str:
    """Say how messages leave a dead-letter queue; SQS moves only those that came from a queue."""
    if "EventDeadLetterQueue" in url:
        return f"aws sqs receive-message --queue-url {url}, and send each again"
    return f"aws sqs start-message-move-task --source-arn {arn}"


def is_named_for(name: str, stack: str, kind: str) -> bool:
    """Tell whether CloudFormation gave a name for this stack: that of ``driftwheel-staging`` begins alike.

    >>> queues = "dw-ArrivalDeadLetterQueue-1QK7", "dw-eu-ArrivalDeadLetterQueue-1QK7"
    >>> [is_named_for(name, "dw", "DeadLetterQueue") for name in queues]
    [True, False]
    """
    return re.fullmatch(rf"{re.escape(stack)}-[A-Za-z0-9]*{kind}(-[A-Za-z0-9]+)?", name) is not None


def ringing(client: Client, names: Names, endpoints: Collection[str]) -> Finding:
    """Name the alarms that ring: the stack's, and those that roll a deployment of its endpoints back."""
    return _asked("alarms", lambda: _ringing(client, names, endpoints))


def _ringing(client: Client, names: Names, endpoints: Collection[str]) -> Finding:
    rings = _alarms(client, names, endpoints, "ALARM")
    if not rings:
        return Finding("alarms", "ok", "none rings")
    said = "; ".join(
        f"{alarm['AlarmName']}: {alarm.get('AlarmDescription', '')}".rstrip(".") for alarm in rings
    )
    return Finding("alarms", "wrong", said, "driftwheel logs says more; each ends when its cause is mended")


def blind(client: Client, names: Names, endpoints: Collection[str], now: datetime) -> Finding:
    """Name the alarms that never had anything to judge, a day after they were made: they cannot ring.

    The template's alarms take missing data for calm, for bad or for no news: none loses its state again.
    """
    return _asked("alarms without data", lambda: _blind(client, names, endpoints, now))


def _blind(client: Client, names: Names, endpoints: Collection[str], now: datetime) -> Finding:
    check = "alarms without data"
    found = [
        f"{alarm['AlarmName']} since {alarm['StateUpdatedTimestamp']:%Y-%m-%d %H:%M} UTC"
        for alarm in _alarms(client, names, endpoints, "INSUFFICIENT_DATA")
        if now - alarm["StateUpdatedTimestamp"] > UNFED
    ]
    if not found:
        return Finding(check, "ok", "none")
    remedy = "driftwheel logs drift_check says whether drift is checked, which tells the stack's metrics; "
    remedy += "deploy the template again if an alarm was changed"
    return Finding(check, "wrong", f"{'; '.join(found)}: these cannot ring", remedy)


def _alarms(client: Client, names: Names, endpoints: Collection[str], state: str) -> list[dict[str, Any]]:
    """List the stack's alarms in a state, and those that roll a deployment of its endpoints back."""
    request = {"AlarmNamePrefix": f"{names.stack}-", "StateValue": state}
    pages = client("cloudwatch").get_paginator("describe_alarms").paginate(**request)
    alarms = [alarm for page in pages for alarm in page.get("MetricAlarms", [])]
    # The local stack knows no filter by prefix and state together, and gives all.
    return [
        alarm
        for alarm in alarms
        if alarm["StateValue"] == state
        and (
            is_named_for(alarm["AlarmName"], names.stack, "Alarm")
            or alarm["AlarmName"].rpartition("-")[0] in endpoints
        )
    ]
