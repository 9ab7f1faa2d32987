"""Resources that watch: CloudWatch alarms and log groups."""

from driftwheel_local.resources.declared import Created, Declared, tag_list, tag_map

_ALARM = (
    *("ActionsEnabled", "AlarmActions", "AlarmDescription", "ComparisonOperator", "DatapointsToAlarm"),
    *("Dimensions", "EvaluateLowSampleCountPercentile", "EvaluationPeriods", "ExtendedStatistic"),
    *("InsufficientDataActions", "MetricName", "Metrics", "Namespace", "OKActions", "Period", "Statistic"),
    *("Threshold", "ThresholdMetricId", "TreatMissingData", "Unit"),
)


def log_group(declared: Declared) -> Created:
    """Create an AWS::Logs::LogGroup."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("LogGroupName"), 512)
    tags = tag_map(p.take("Tags"))
    api.call_or(
        {"ResourceAlreadyExistsException"},
        "logs",
        "create_log_group",
        logGroupName=name,
        kmsKeyId=p.take("KmsKeyId"),
        logGroupClass=p.take("LogGroupClass"),
        tags=tags or None,
    )
    if (days := p.take("RetentionInDays")) is not None:
        api.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    return Created(name, {"Arn": declared.arn("logs", f"log-group:{name}:*")})


def alarm(declared: Declared) -> Created:
    """Create an AWS::CloudWatch::Alarm."""
    p = declared.properties
    name = declared.name(p.take("AlarmName"), 255)
    request, tags = p.pick(*_ALARM), tag_list(p.take("Tags"))
    declared.api.call("cloudwatch", "put_metric_alarm", AlarmName=name, Tags=tags or None, **request)
    return Created(name, {"Arn": declared.arn("cloudwatch", f"alarm:{name}")})
