"""EventBridge's buses: which events are taken, which rules they match, what their targets receive."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from driftwheel_local.clock import Clock
from driftwheel_local.deliveries import Deliveries
from driftwheel_local.disorder import Disorder
from driftwheel_local.inputs import InvalidInputError, check_input, target_input
from driftwheel_local.patterns import matches
from driftwheel_local.pending import Delivery
from driftwheel_local.targets import UnsupportedTargetError, target_kind

ENTRIES_LIMIT = 10
REQUEST_LIMIT_BYTES = 262_144
TARGETS_PER_RULE = 5
_RETRY_BOUNDS = {"MaximumRetryAttempts": (0, 185), "MaximumEventAgeInSeconds": (60, 86_400)}
_TARGET_FIELDS = frozenset(
    {"Id", "Arn", "RoleArn", "Input", "InputPath", "InputTransformer", "RetryPolicy", "DeadLetterConfig"}
    | {"SqsParameters"}
)


class Rule(Protocol):
    """What the router reads of a rule."""

    name: str
    arn: str
    state: str
    event_bus_name: str
    targets: list[dict[str, Any]]
    event_pattern: Any


class Rules(Protocol):
    """Where the router finds the rules of a bus."""

    def rules_of(self, bus: str) -> Iterable[Rule]:
        """Answer the rules of `bus`. Raises UnknownBusError."""


class UnknownBusError(KeyError):
    """When there is no event bus of that name."""


class TargetLimitError(ValueError):
    """When a rule would have more targets than AWS allows."""


class RequestTooLargeError(ValueError):
    """When PutEvents has too many or too large entries; the message is AWS's."""


class EventRouter:
    """Decides what happens to every event and hands it to `Deliveries`."""

    def __init__(
        self, rules: Rules, deliveries: Deliveries, clock: Clock, *, account: str, region: str
    ) -> None:
        self.account = account
        self.region = region
        self._rules = rules
        self._deliveries = deliveries
        self._clock = clock
        self.disorder: Disorder | None = None

    def publish(self, event: Mapping[str, Any], bus: str = "default") -> None:
        """Put an AWS service's own event on a bus; the envelope is completed here.

        `event` has `source`, `detail-type`, `detail`, `resources`. With `disorder` it may be lost, told twice
        or told late.
        """
        complete = self._envelope(event, self._clock.now())
        for told in [complete] if self.disorder is None else self.disorder.told(complete):
            self._route(told, bus, hops=0)

    def put_events(self, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Answer PutEvents: an event id or an error for each entry. Raises RequestTooLargeError."""
        if not 1 <= len(entries) <= ENTRIES_LIMIT:
            raise RequestTooLargeError(
                "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to satisfy "
                f"constraint: Member must have length less than or equal to {ENTRIES_LIMIT}"
            )
        if sum(_entry_bytes(entry) for entry in entries) > REQUEST_LIMIT_BYTES:
            raise RequestTooLargeError("Total size of the entries in the request is over the limit.")
        for entry in entries:
            self._rules.rules_of(_bus_name(entry.get("EventBusName")))
        return [self._put_event(entry) for entry in entries]

    def _put_event(self, entry: Mapping[str, Any]) -> dict[str, str]:
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}
        if entry["Source"].startswith("aws."):
            message = "Not authorized for the source."
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": message}
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        given = entry.get("Time")
        moment = self._clock.now() if given is None else datetime.fromtimestamp(float(given), UTC)
        event = self._envelope(
            {
                "detail-type": entry["DetailType"],
                "source": entry["Source"],
                "resources": entry.get("Resources") or [],
                "detail": detail,
            },
            moment,
        )
        self._route(event, _bus_name(entry.get("EventBusName")), hops=0)
        return {"EventId": event["id"]}

    def send_to_rule(self, rule: Rule, event: Mapping[str, Any]) -> None:
        """Deliver `event` to the targets of `rule` when it is enabled and its pattern matches."""
        self._send(rule, event, hops=0)

    def tick(self, rule: Rule, moment: datetime) -> None:
        """Deliver the 'Scheduled Event' of a rule that was due at `moment`."""
        event = {
            "source": "aws.events",
            "detail-type": "Scheduled Event",
            "resources": [rule.arn],
            "detail": {},
        }
        self.deliver(rule, self._envelope(event, moment))

    def check_targets(
        self, existing: Iterable[Mapping[str, Any]], added: Iterable[Mapping[str, Any]]
    ) -> None:
        """Refuse targets that cannot be served. Raises Unsupported-, InvalidInput- or TargetLimitError."""
        added = list(added)
        for target in added:
            target_kind(target["Arn"], self.account, self.region)
            unknown = sorted(name for name in target if name not in _TARGET_FIELDS)
            if unknown:
                raise UnsupportedTargetError(
                    f"target {target['Id']}: {unknown[0]} is not supported by the local runtime"
                )
            check_policy(target)
            check_input(target)
        if len({target["Id"] for target in [*existing, *added]}) > TARGETS_PER_RULE:
            raise TargetLimitError("The requested resource exceeds the maximum number allowed.")

    def _envelope(self, event: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": event["detail-type"],
            "source": event["source"],
            "account": self.account,
            "time": _iso(moment),
            "region": self.region,
            "resources": list(event.get("resources", [])),
            "detail": event["detail"],
        }

    def _route(self, event: Mapping[str, Any], bus: str, hops: int) -> None:
        for rule in list(self._rules.rules_of(bus)):
            self._send(rule, event, hops)

    def _send(self, rule: Rule, event: Mapping[str, Any], hops: int) -> None:
        pattern = rule.event_pattern.get_pattern()
        if not rule.state.startswith("ENABLED") or not pattern or not matches(pattern, event):
            return
        self.deliver(rule, event, hops)

    def deliver(self, rule: Rule, event: Mapping[str, Any], hops: int = 0) -> None:
        """Bring `event` to every target of `rule`; `hops` counts buses it has passed."""
        ingested = _iso(self._clock.now())
        for target in list(rule.targets):
            if target_kind(target["Arn"], self.account, self.region) == "events":
                # a bus passes on what it got first-hand only, so buses cannot feed each other for ever
                if hops == 0:
                    self._route(event, _bus_name(target["Arn"]), hops=1)
                continue
            text = target_input(target, event, rule_arn=rule.arn, rule_name=rule.name, ingested=ingested)
            self._deliveries.submit(
                Delivery(
                    target,
                    text,
                    attributes={"RULE_ARN": rule.arn},
                    event=event,
                    dead_letter_body=json.dumps(event),
                )
            )


def check_policy(target: Mapping[str, Any]) -> None:
    """Refuse a RetryPolicy outside AWS's bounds, or a dead-letter queue that is none."""
    for name, value in (target.get("RetryPolicy") or {}).items():
        lowest, highest = _RETRY_BOUNDS[name]
        if not lowest <= value <= highest:
            raise InvalidInputError(f"{name} {value} is outside {lowest}..{highest}")
    arn = (target.get("DeadLetterConfig") or {}).get("Arn")
    if arn is not None and (":sqs:" not in arn or arn.endswith(".fifo")):
        raise InvalidInputError(f"DeadLetterConfig.Arn {arn} is not a standard SQS queue")


def _bus_name(given: str | None) -> str:
    return (given or "default").rsplit("/", 1)[-1]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry_bytes(entry: Mapping[str, Any]) -> int:
    """Answer an entry's size as AWS counts it (eb-putevent-size)."""
    texts = [
        entry.get("Source"),
        entry.get("DetailType"),
        entry.get("Detail"),
        *(entry.get("Resources") or []),
    ]
    return (14 if entry.get("Time") is not None else 0) + sum(len((text or "").encode()) for text in texts)
