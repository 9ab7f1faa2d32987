"""Resources that carry messages: SQS, SNS, EventBridge, EventBridge Scheduler."""

import json
from typing import Any

from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.resources.declared import Created, Declared, tag_list, tag_map

_QUEUE_ATTRIBUTES = (
    *("DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds"),
    *("VisibilityTimeout", "RedrivePolicy", "RedriveAllowPolicy", "FifoQueue", "ContentBasedDeduplication"),
    *("DeduplicationScope", "FifoThroughputLimit", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"),
    "SqsManagedSseEnabled",
)


def queue(declared: Declared) -> Created:
    """Create an AWS::SQS::Queue."""
    p = declared.properties
    attributes = p.pick(*_QUEUE_ATTRIBUTES)
    ending = ".fifo" if str(attributes.get("FifoQueue")).lower() == "true" else ""
    name = declared.name(p.take("QueueName"), 80, ending=ending)
    tags = tag_map(p.take("Tags"))
    answer = declared.api.call(
        "sqs", "create_queue", QueueName=name, Attributes=attributes, tags=tags or None
    )
    url = answer["QueueUrl"]
    return Created(url, {"Arn": declared.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def queue_policy(declared: Declared) -> Created:
    """Create an AWS::SQS::QueuePolicy on its queues."""
    p = declared.properties
    document = json.dumps(p.require("PolicyDocument"))
    for url in p.require("Queues"):
        declared.api.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": document})
    return Created(declared.name(None, 80))


def topic(declared: Declared) -> Created:
    """Create an AWS::SNS::Topic and the subscriptions written into it."""
    p = declared.properties
    attributes = p.pick("DisplayName", "KmsMasterKeyId", "FifoTopic", "ContentBasedDeduplication")
    ending = ".fifo" if str(attributes.get("FifoTopic")).lower() == "true" else ""
    name = declared.name(p.take("TopicName"), 256, ending=ending)
    tags = tag_list(p.take("Tags"))
    answer = declared.api.call("sns", "create_topic", Name=name, Attributes=attributes or None, Tags=tags)
    arn = answer["TopicArn"]
    for each in p.nested_list("Subscription"):
        _subscribe(declared, arn, each.require("Protocol"), each.require("Endpoint"), {})
    return Created(arn, {"TopicArn": arn, "TopicName": name})


def topic_policy(declared: Declared) -> Created:
    """Create an AWS::SNS::TopicPolicy on its topics."""
    p = declared.properties
    document = p.require("PolicyDocument")
    for arn in p.require("Topics"):
        declared.api.call(
            "sns", "set_topic_attributes", TopicArn=arn, AttributeName="Policy", AttributeValue=document
        )
    return Created(declared.name(None, 80))


def subscription(declared: Declared) -> Created:
    """Create an AWS::SNS::Subscription."""
    p = declared.properties
    attributes = p.pick("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")
    return Created(
        _subscribe(declared, p.require("TopicArn"), p.require("Protocol"), p.require("Endpoint"), attributes)
    )


def _subscribe(declared: Declared, arn: str, protocol: str, endpoint: str, attributes: dict[str, Any]) -> str:
    answer = declared.api.call(
        "sns",
        "subscribe",
        TopicArn=arn,
        Protocol=protocol,
        Endpoint=endpoint,
        Attributes=attributes or None,
        ReturnSubscriptionArn=True,
    )
    return str(answer["SubscriptionArn"])


def event_bus(declared: Declared) -> Created:
    """Create an AWS::Events::EventBus."""
    p = declared.properties
    name = p.require("Name")
    declared.api.call_or(
        {"ResourceAlreadyExistsException"},
        "events",
        "create_event_bus",
        Name=name,
        Description=p.take("Description"),
        Tags=tag_list(p.take("Tags")) or None,
    )
    return Created(name, {"Arn": declared.arn("events", f"event-bus/{name}"), "Name": name})


def rule(declared: Declared) -> Created:
    """Create an AWS::Events::Rule with its targets."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("Name"), 64)
    bus = p.take("EventBusName")
    request = p.pick("Description", "EventPattern", "ScheduleExpression", "State", "RoleArn")
    targets = p.take("Targets", [])
    answer = api.call("events", "put_rule", Name=name, EventBusName=bus, **request)
    if targets:
        refused = api.call("events", "put_targets", Rule=name, EventBusName=bus, Targets=targets)
        if refused.get("FailedEntryCount"):
            raise TemplateError(f"{p.place}: {refused['FailedEntries']}")
    ref = name if bus in {None, "default"} else f"{bus}|{name}"
    return Created(ref, {"Arn": answer["RuleArn"]})


def schedule_group(declared: Declared) -> Created:
    """Create an AWS::Scheduler::ScheduleGroup."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("Name"), 64)
    tags = tag_list(p.take("Tags"))
    known = {group["Name"] for group in api.call("scheduler", "list_schedule_groups")["ScheduleGroups"]}
    if name not in known:
        api.call("scheduler", "create_schedule_group", Name=name, Tags=tags)
    return Created(name, {"Arn": declared.arn("scheduler", f"schedule-group/{name}")})


def schedule(declared: Declared) -> Created:
    """Create an AWS::Scheduler::Schedule."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("Name"), 64)
    request = p.pick("Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "StartDate")
    request |= p.pick("ScheduleExpression", "ScheduleExpressionTimezone", "State", "Target")
    fresh = api.call_or({"ConflictException"}, "scheduler", "create_schedule", Name=name, **request)
    if fresh is None:
        api.call("scheduler", "update_schedule", Name=name, **request)
    group = request.get("GroupName", "default")
    return Created(name, {"Arn": declared.arn("scheduler", f"schedule/{group}/{name}")})
