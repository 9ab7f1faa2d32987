"""OR-6 to OR-8 and OR-11: no event is lost, none is handled twice at once, none of our own wakes us."""

from collections.abc import Iterator, Mapping
from typing import Any

from .resources import Document, listed, of_type, strings, target, text

FOURTEEN_DAYS = 1_209_600
OURS = ("runs/", "capture/", "quarantine/", "holdout/", "code/", "drift/", "domain/")
"""Prefixes that the product itself writes: an event of one of them would wake the loop for ever."""


def or_6(template: Document) -> Iterator[str]:
    """What EventBridge and Scheduler cannot deliver is tried again, then kept."""
    targets: list[tuple[str, Mapping[str, Any]]] = [
        (name, each)
        for name, properties in of_type(template, "AWS::Events::Rule")
        for each in properties["Targets"]
    ]
    targets += [
        (name, properties["Target"]) for name, properties in of_type(template, "AWS::Scheduler::Schedule")
    ]
    for name, each in targets:
        for wanted in ("RetryPolicy", "DeadLetterConfig"):
            if wanted not in each:
                yield f"{name}: its target has no {wanted}"


def or_7(template: Document) -> Iterator[str]:
    """A message is kept for 14 days, leaves to a dead letter queue, and is hidden while it is handled."""
    queues = dict(of_type(template, "AWS::SQS::Queue"))
    redrives = [
        properties["RedrivePolicy"] for properties in queues.values() if "RedrivePolicy" in properties
    ]
    dead = {target(each["deadLetterTargetArn"]) for each in redrives} | undelivered(template)
    for name, properties in queues.items():
        if name not in dead and "RedrivePolicy" not in properties:
            yield f"{name}: has no dead letter queue"
        if properties.get("MessageRetentionPeriod") != FOURTEEN_DAYS:
            yield f"{name}: forgets messages before 14 days are over"
    functions = dict(of_type(template, "AWS::Lambda::Function"))
    for name, properties in of_type(template, "AWS::Lambda::EventSourceMapping"):
        timeout = functions[target(properties["FunctionName"])]["Timeout"]
        queue = target(properties["EventSourceArn"])
        if queues[queue].get("VisibilityTimeout", 30) < 6 * timeout:
            yield f"{queue}: shows a message again before {name} may have ended six times"


def undelivered(template: Document) -> set[str]:
    """Queues that hold what could not be delivered to something that is no queue."""
    found: set[str] = set()
    types = ("AWS::Events::Rule", "AWS::Scheduler::Schedule", "AWS::Lambda::EventInvokeConfig")
    for _, properties in of_type(template, *types):
        places = [*properties.get("Targets", []), properties.get("Target", {})]
        found |= {target(each["DeadLetterConfig"]["Arn"]) for each in places if "DeadLetterConfig" in each}
        failure = properties.get("DestinationConfig", {}).get("OnFailure", {})
        found |= {target(each) for each in listed(failure.get("Destination"))}
    return found


def or_8(template: Document) -> Iterator[str]:
    """One bad message fails alone, and a flood starts no flood of functions."""
    for name, properties in of_type(template, "AWS::Lambda::EventSourceMapping"):
        if "ReportBatchItemFailures" not in properties.get("FunctionResponseTypes", []):
            yield f"{name}: one bad message fails its whole batch"
        if "MaximumConcurrency" not in properties.get("ScalingConfig", {}):
            yield f"{name}: has no MaximumConcurrency"


def or_11(template: Document) -> Iterator[str]:
    """A rule hears only of this stack, and of objects only what others drop."""
    for name, properties in of_type(template, "AWS::Events::Rule"):
        pattern = properties.get("EventPattern", {})
        if not pattern.get("source") or "detail" not in pattern:
            yield f"{name}: hears everything"
            continue
        if "aws.s3" in pattern["source"]:
            yield from objects(name, pattern["detail"])
        elif not any(
            "AWS::StackName" in found or found == "ModelLoop" for found in strings(pattern["detail"])
        ):
            yield f"{name}: hears other stacks"


def objects(name: str, detail: Mapping[str, Any]) -> Iterator[str]:
    buckets = [target(each) for each in listed(detail.get("bucket", {}).get("name"))]
    if buckets != ["LandingBucket"]:
        yield f"{name}: hears of {text(buckets)} instead of the landing bucket alone"
    keys = listed(detail.get("object", {}).get("key"))
    prefixes = [str(each.get("prefix", "")) if isinstance(each, dict) else str(each) for each in keys]
    if not prefixes or not all(prefixes):
        yield f"{name}: hears of every key"
    for prefix in prefixes:
        if any(ours.startswith(prefix) or prefix.startswith(ours) for ours in OURS if prefix):
            yield f"{name}: hears of our own outputs under {prefix}"
