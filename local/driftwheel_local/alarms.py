"""CloudWatch alarms: from metric data to states, events and notifications."""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from driftwheel_local.clock import Clock
from driftwheel_local.metrics import STATISTICS, MetricData, Point, metric_key, percentile_of
from driftwheel_local.waits import Waits

log = logging.getLogger(__name__)

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_WORDS = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_MISSING = ("missing", "notBreaching", "breaching", "ignore")
# CloudWatch evaluates standard alarms once a minute.
EVALUATION_SECONDS = 60.0
_NEWEST_DATAPOINTS = 10


class AlarmRefusedError(Exception):
    """When PutMetricAlarm asks for something the local runtime does not evaluate; names the property."""


@dataclass(frozen=True)
class AlarmRule:
    """What one alarm watches, and when it breaches."""

    name: str
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    unit: str | None
    period: float
    evaluation_periods: int
    datapoints_to_alarm: int
    threshold: float
    comparison: str
    missing: str


@dataclass(frozen=True)
class AlarmState:
    """A state with the reason CloudWatch gives for it."""

    value: str
    reason: str
    reason_data: str
    moment: datetime


@dataclass(frozen=True)
class Alarm:
    """An alarm as the control plane keeps it."""

    rule: AlarmRule
    arn: str
    description: str
    state: AlarmState
    actions: Mapping[str, list[str]]
    actions_enabled: bool


class AlarmShelf(Protocol):
    """Where alarms, queues and moto's own metric data live: `patches.CloudWatchShelf`."""

    def alarms(self) -> list[Alarm]:
        """List every alarm with its present state."""

    def set_state(self, name: str, state: AlarmState) -> None:
        """Replace an alarm's state; goes through SetAlarmState, which calls `Alarms.changed`."""

    def keep_metric(
        self, namespace: str, name: str, value: float, unit: str, dimensions: Mapping[str, str]
    ) -> None:
        """Make a value visible to GetMetricData."""

    def queue_metrics(self, now: datetime) -> list[tuple[str, dict[str, float]]]:
        """List every queue with its AWS/SQS metrics."""

    def notify(self, topic_arn: str, subject: str, message: str) -> None:
        """Publish to an SNS topic."""


def rule_of(properties: Mapping[str, Any]) -> AlarmRule:
    """Read PutMetricAlarm's properties; AlarmRefusedError names the one that is not evaluated here."""
    for name in ("Metrics", "ThresholdMetricId", "EvaluateLowSampleCountPercentile", "AlarmRule"):
        if properties.get(name):
            raise AlarmRefusedError(f"The local runtime does not evaluate the alarm property {name}.")
    statistic = str(properties.get("Statistic") or properties.get("ExtendedStatistic"))
    if statistic not in STATISTICS and percentile_of(statistic) is None:
        raise AlarmRefusedError(
            f"Statistic must be one of {', '.join(STATISTICS)}, "
            f"or ExtendedStatistic a pNN percentile, not {statistic}."
        )
    comparison = str(properties.get("ComparisonOperator"))
    if comparison not in _BREACHES:
        raise AlarmRefusedError(
            f"The local runtime does not evaluate ComparisonOperator {comparison}, "
            f"only {', '.join(_BREACHES)}."
        )
    missing = str(properties.get("TreatMissingData") or "missing")
    if missing not in _MISSING:
        raise AlarmRefusedError(f"TreatMissingData must be one of {', '.join(_MISSING)}, not {missing}.")
    for name in ("Namespace", "MetricName", "Period", "EvaluationPeriods", "Threshold"):
        if properties.get(name) is None:
            raise AlarmRefusedError(f"The alarm property {name} is missing.")
    periods = int(properties["EvaluationPeriods"])
    datapoints = int(properties.get("DatapointsToAlarm") or periods)
    if not 1 <= datapoints <= periods:
        raise AlarmRefusedError(
            f"DatapointsToAlarm must be between 1 and EvaluationPeriods, not {datapoints}."
        )
    return AlarmRule(
        name=str(properties["AlarmName"]),
        namespace=str(properties["Namespace"]),
        metric=str(properties["MetricName"]),
        dimensions={one["Name"]: one["Value"] for one in properties.get("Dimensions") or []},
        statistic=statistic,
        unit=properties.get("Unit"),
        period=float(properties["Period"]),
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        threshold=float(properties["Threshold"]),
        comparison=comparison,
        missing=missing,
    )


def judge(rule: AlarmRule, window: list[float | None]) -> str | None:
    """Decide the state from one value per period, newest first, None where data is missing.

    M of N: ALARM when `datapoints_to_alarm` of the values breach. None means: keep the present state
    (TreatMissingData ignore). With `missing`, fewer real values than M alarm when all of them breach.
    CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data".
    """
    real = [value for value in window if value is not None]
    breaching = sum(_BREACHES[rule.comparison](value, rule.threshold) for value in real)
    needed = rule.datapoints_to_alarm
    if rule.missing == "breaching":
        breaching += len(window) - len(real)
    elif rule.missing == "missing":
        if not real:
            return "INSUFFICIENT_DATA"
        needed = min(needed, len(real))
    elif rule.missing == "ignore" and len(real) < needed:
        return None
    return "ALARM" if breaching >= needed else "OK"


class Alarms:
    """Evaluates every alarm on the stack's clock and tells EventBridge and SNS when a state changes.

    `time_scale` shortens periods and the pause between evaluations, as it shortens a deployment's baking:
    with 0.01 an alarm over 5 minutes looks at the last 3 seconds. Windows end now, they are not aligned.
    Schedules keep real time, so an alarm that waits for silence (TreatMissingData breaching) does too, and it
    is not judged on a window that began before the stack did while that window is empty.
    """

    def __init__(
        self,
        clock: Clock,
        publish: Callable[[dict[str, Any]], None],
        shelf: AlarmShelf,
        *,
        time_scale: float = 1.0,
    ) -> None:
        self._clock = clock
        self._publish = publish
        self._shelf = shelf
        self._time_scale = time_scale
        self._started = clock.now()
        self._data = MetricData()
        self._turn = threading.Lock()
        self._waits = Waits(clock)
        self._closed = False
        self._advanced = False
        self._thread: threading.Thread | None = None

    def put_metric(
        self,
        namespace: str,
        name: str,
        value: float,
        unit: str = "None",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """Record one value of a metric that AWS itself publishes (AWS/States, AWS/Lambda, AWS/SageMaker)."""
        self._shelf.keep_metric(namespace, name, value, unit, dimensions or {})

    def received(self, namespace: str, data: Iterable[Mapping[str, Any]]) -> None:
        """Take over the MetricData of a PutMetricData call (boto3's member names)."""
        for datum in data:
            key = metric_key(namespace, datum["MetricName"], _dimensions(datum.get("Dimensions")))
            self._data.add(key, list(self._points(datum)))

    def start(self) -> None:
        """Evaluate in the background: every scaled minute, and at once when the clock is advanced."""
        self._clock.subscribe(self._clock_moved)
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop evaluating."""
        self._closed = True
        self._waits.ring()
        if self._thread is not None:
            self._thread.join()

    def alarm_states(self, names: Iterable[str]) -> dict[str, str]:
        """Answer the present state of each named alarm, after evaluating; unknown names are left out."""
        self.evaluate()
        wanted = set(names)
        return {
            alarm.rule.name: alarm.state.value for alarm in self._shelf.alarms() if alarm.rule.name in wanted
        }

    def evaluate(self) -> None:
        """Look at every alarm once and change the states that no longer hold."""
        with self._turn:
            now = self._clock.now()
            for queue, values in self._shelf.queue_metrics(now):
                for name, value in values.items():
                    point = Point(now, value, value, value, 1, "None")
                    self._data.add(metric_key("AWS/SQS", name, {"QueueName": queue}), [point])
            for alarm in self._shelf.alarms():
                state = self._judge(alarm, now)
                if state is not None:
                    self._shelf.set_state(alarm.rule.name, state)

    def changed(self, alarm: Alarm, before: AlarmState) -> None:
        """Announce a change of state: the event, and the SNS topics of the new state's actions."""
        if alarm.state.value == before.value:
            return
        log.info("alarm %s is %s: %s", alarm.rule.name, alarm.state.value, alarm.state.reason)
        self._publish(state_change(alarm, before))
        if alarm.actions_enabled:
            subject = f'{alarm.state.value}: "{alarm.rule.name}" in US East (N. Virginia)'
            for topic in alarm.actions[alarm.state.value]:
                self._shelf.notify(topic, subject[:100], json.dumps(_notification(alarm, before)))

    def _judge(self, alarm: Alarm, now: datetime) -> AlarmState | None:
        rule = alarm.rule
        silence = rule.missing == "breaching"
        span = timedelta(seconds=rule.period * (1.0 if silence else self._time_scale))
        key = metric_key(rule.namespace, rule.metric, rule.dimensions)
        ends = [now - span * index for index in range(rule.evaluation_periods)]
        window = [self._data.statistic(key, rule.statistic, end - span, end, rule.unit) for end in ends]
        if (
            silence
            and now - span * rule.evaluation_periods < self._started
            and not any(datum is not None for datum in window)
        ):
            return None
        value = judge(rule, window)
        if value is None or value == alarm.state.value:
            return None
        return AlarmState(value, _reason(rule, window, value), _reason_data(rule, window, now), now)

    def _points(self, datum: Mapping[str, Any]) -> Iterable[Point]:
        given = datum.get("Timestamp")
        moment = given if isinstance(given, datetime) else self._clock.now()
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        unit = str(datum.get("Unit") or "None")
        if statistics := datum.get("StatisticValues"):
            low, high = float(statistics["Minimum"]), float(statistics["Maximum"])
            yield Point(moment, low, high, float(statistics["Sum"]), float(statistics["SampleCount"]), unit)
            return
        values = datum.get("Values") or [datum.get("Value", 0)]
        counts = datum.get("Counts") or [1] * len(values)
        for value, count in zip(values, counts, strict=True):
            for _ in range(int(float(count))):
                yield Point(moment, float(value), float(value), float(value), 1, unit)

    def _clock_moved(self) -> None:
        self._advanced = True
        self._waits.ring()

    def _run(self) -> None:
        while not self._closed:
            self._advanced = False
            try:
                self.evaluate()
            except Exception:
                # One bad alarm must not blind the others for ever; the next turn tries again.
                log.exception("alarm evaluation failed")
            self._waits.until(lambda: self._closed or self._advanced, EVALUATION_SECONDS * self._time_scale)


def state_change(alarm: Alarm, before: AlarmState) -> dict[str, Any]:
    """Build the 'CloudWatch Alarm State Change' event (aws.md 1.8)."""
    rule = alarm.rule
    metric = {"namespace": rule.namespace, "name": rule.metric, "dimensions": dict(rule.dimensions)}
    stat = {"metric": metric, "period": int(rule.period), "stat": rule.statistic}
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm.arn))
    return {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "resources": [alarm.arn],
        "detail": {
            "alarmName": rule.name,
            "configuration": {
                "description": alarm.description,
                "metrics": [{"id": identity, "metricStat": stat, "returnData": True}],
            },
            "previousState": _event_state(before),
            "state": _event_state(alarm.state),
        },
    }


def _event_state(state: AlarmState) -> dict[str, str]:
    return {
        "value": state.value,
        "reason": state.reason,
        "reasonData": state.reason_data,
        "timestamp": _stamp(state.moment),
    }


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _notification(alarm: Alarm, before: AlarmState) -> dict[str, Any]:
    rule = alarm.rule
    return {
        "AlarmName": rule.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": alarm.arn.split(":")[4],
        "NewStateValue": alarm.state.value,
        "NewStateReason": alarm.state.reason,
        "StateChangeTime": _stamp(alarm.state.moment),
        "Region": "US East (N. Virginia)",
        "AlarmArn": alarm.arn,
        "OldStateValue": before.value,
        "Trigger": {
            "MetricName": rule.metric,
            "Namespace": rule.namespace,
            "Statistic": rule.statistic,
            "Unit": rule.unit,
            "Dimensions": [{"name": name, "value": value} for name, value in rule.dimensions.items()],
            "Period": int(rule.period),
            "EvaluationPeriods": rule.evaluation_periods,
            "DatapointsToAlarm": rule.datapoints_to_alarm,
            "ComparisonOperator": rule.comparison,
            "Threshold": rule.threshold,
            "TreatMissingData": rule.missing,
        },
    }


def _reason(rule: AlarmRule, window: list[float | None], value: str) -> str:
    if value == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {rule.evaluation_periods} datapoints were unknown."
    real = [datum for datum in window if datum is not None]
    if not real:
        kind = "Breaching" if rule.missing == "breaching" else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {len(window)} periods "
            f"and {len(window)} missing datapoints were treated as [{kind}]."
        )
    shown = ", ".join(str(datum) for datum in real[:_NEWEST_DATAPOINTS])
    verb = "were" if value == "ALARM" else "were not"
    return (
        f"Threshold Crossed: {len(real)} datapoints [{shown}] {verb} {_WORDS[rule.comparison]} "
        f"the threshold ({rule.threshold})."
    )


def _reason_data(rule: AlarmRule, window: list[float | None], now: datetime) -> str:
    return json.dumps(
        {
            "version": "1.0",
            "queryDate": _stamp(now),
            "statistic": rule.statistic,
            "period": int(rule.period),
            "recentDatapoints": [datum for datum in reversed(window) if datum is not None],
            "threshold": rule.threshold,
        }
    )


def _dimensions(given: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in given or []}
