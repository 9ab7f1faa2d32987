"""OR-9, OR-14 and OR-18: the state machine, its bounds, and who is told when something goes wrong."""

from collections.abc import Iterator, Mapping
from typing import Any

from .resources import Document, of_type, target

ALARMED = {
    ("AWS/States", "ExecutionsFailed"): "failed executions",
    ("AWS/States", "ExecutionsTimedOut"): "executions that waited too long",
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): "the age of the oldest message",
    ("AWS/Billing", "EstimatedCharges"): "spending",
    ("Driftwheel", "DataFault"): "broken live data",
    ("Driftwheel", "DriftSeverity"): "major drift",
    ("Driftwheel", "LabelCoverage"): "labels that do not come",
    ("Driftwheel", "OverdueModels"): "drift checks that do not happen",
}
"""Metrics that must have an alarm. The endpoint's 5xx and latency alarms are made with the endpoint."""


def or_9(template: Document) -> Iterator[str]:
    """Executions are kept, logged without their data, traced; their log is encrypted with our key."""
    groups = dict(of_type(template, "AWS::Logs::LogGroup"))
    for name, properties in of_type(template, "AWS::StepFunctions::StateMachine"):
        logging = properties.get("LoggingConfiguration", {})
        if properties.get("StateMachineType") != "STANDARD":
            yield f"{name}: is not STANDARD"
        if logging.get("Level") != "ALL" or not logging.get("Destinations"):
            yield f"{name}: is not logged"
        if logging.get("IncludeExecutionData") is not False:
            yield f"{name}: writes its data into the log"
        if properties.get("TracingConfiguration", {}).get("Enabled") is not True:
            yield f"{name}: is not traced"
        for each in logging.get("Destinations", []):
            group = target(each["CloudWatchLogsLogGroup"]["LogGroupArn"])
            if "KmsKeyId" not in groups.get(group, {}):
                yield f"{name}: its log {group} is not encrypted with our key"


def or_14(template: Document) -> Iterator[str]:
    """Somebody is told of dead letters, failures, waiting messages and spending."""
    alarms = dict(of_type(template, "AWS::CloudWatch::Alarm"))
    dead = {
        target(properties["RedrivePolicy"]["deadLetterTargetArn"])
        for _, properties in of_type(template, "AWS::SQS::Queue")
        if "RedrivePolicy" in properties
    } | {"EventDeadLetterQueue"}
    watched = {
        target(dimension["Value"])
        for properties in alarms.values()
        if properties["MetricName"] == "ApproximateNumberOfMessagesVisible"
        for dimension in properties["Dimensions"]
    }
    for queue in sorted(dead - watched):
        yield f"{queue}: nobody is told of its messages"
    metrics = {(properties["Namespace"], properties["MetricName"]) for properties in alarms.values()}
    for metric, words in ALARMED.items():
        if metric not in metrics:
            yield f"nobody is told of {words}"
    for name, properties in alarms.items():
        if not properties.get("AlarmActions"):
            yield f"{name}: tells nobody"


def or_18(template: Document, definition: Mapping[str, Any]) -> Iterator[str]:
    """A function ends before the state that calls it gives up."""
    functions = dict(of_type(template, "AWS::Lambda::Function"))
    for name, state in definition["States"].items():
        if state["Type"] != "Task":
            continue
        called = state.get("Parameters", {}).get("FunctionName", state["Resource"])
        timeout = functions[str(called).removeprefix("${").removesuffix("Arn}")]["Timeout"]
        if "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
            yield f"{name}: waits for ever"
        elif state.get("TimeoutSeconds", timeout + 1) <= timeout:
            yield f"{name}: gives up after {state['TimeoutSeconds']} s, its function only after {timeout} s"
