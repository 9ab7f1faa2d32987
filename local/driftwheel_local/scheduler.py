"""EventBridge Scheduler's schedules and rules with a ScheduleExpression: what is due, fired once.

AWS never fills up missed ticks, so when time jumps the last due tick fires once. What has fired is kept in
ROOT/scheduler.json: a restart keeps the rhythm and repeats nothing.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from driftwheel_local.clock import Clock
from driftwheel_local.deliveries import Deliveries
from driftwheel_local.events import EventRouter, Rule, check_policy
from driftwheel_local.expressions import At, Expression, InvalidExpressionError, parse_expression
from driftwheel_local.inputs import InvalidInputError
from driftwheel_local.pending import Delivery
from driftwheel_local.targets import UnsupportedTargetError, target_kind

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25  # how soon a schedule made through the API is noticed; AWS promises 60 s precision
_TARGET_FIELDS = frozenset(
    {"Arn", "RoleArn", "Input", "RetryPolicy", "DeadLetterConfig", "SqsParameters", "EventBridgeParameters"}
)


@dataclass(frozen=True)
class Schedule:
    """One thing to fire: a schedule, or a rule with a schedule expression.

    `identity` changes when its timing does. Times are aware.
    """

    arn: str
    identity: str
    expression: Expression
    enabled: bool
    fire: Callable[[datetime], None]
    complete: Callable[[], None] | None = None
    start: datetime | None = None
    end: datetime | None = None


class Schedules(Protocol):
    """Where the scheduler finds what exists."""

    def schedules(self) -> Iterable[Any]:
        """Answer EventBridge Scheduler's schedules (moto's objects)."""

    def scheduled_rules(self) -> Iterable[Rule]:
        """Answer the rules that have a schedule expression."""

    def delete(self, schedule: Any) -> None:
        """Delete a schedule that is done and wants to be."""


@dataclass
class _Memory:
    anchor: datetime
    last: datetime | None = None
    following: datetime | None = field(default=None, compare=False)


class Scheduler:
    """Fires what is due; `tick` does it once, `start` keeps doing it on a thread."""

    def __init__(
        self, schedules: Schedules, router: EventRouter, deliveries: Deliveries, clock: Clock, path: Path
    ) -> None:
        self._schedules = schedules
        self._router = router
        self._deliveries = deliveries
        self._clock = clock
        self._path = path
        self._memory = _read(path)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._faulty: set[str] = set()

    def start(self) -> None:
        """Begin to fire."""
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop firing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def check(self, expression: str, timezone: str | None, target: Mapping[str, Any]) -> None:
        """Refuse a schedule that cannot be carried out.

        Raises InvalidExpressionError, UnsupportedTargetError or InvalidInputError.
        """
        parse_expression(expression, timezone=timezone or "UTC", scheduler=True)
        kind = target_kind(target["Arn"], self._router.account, self._router.region)
        if kind == "logs" or (kind == "events" and not target.get("EventBridgeParameters")):
            raise UnsupportedTargetError(f"target {target['Arn']} is not a target of EventBridge Scheduler")
        unknown = sorted(set(target) - _TARGET_FIELDS)
        if unknown:
            raise UnsupportedTargetError(
                f"target parameter {unknown[0]} is not supported by the local runtime"
            )
        check_policy(target)

    def tick(self) -> None:
        """Fire everything that is due now, each once."""
        with self._lock:
            now = self._clock.now()
            known = [*self._known()]
            before = {identity: (memory.anchor, memory.last) for identity, memory in self._memory.items()}
            kept = {schedule.identity for schedule in known}
            self._memory = {i: memory for i, memory in self._memory.items() if i in kept}
            due = [(schedule, moment) for schedule in known if (moment := self._due(schedule, now))]
            after = {identity: (memory.anchor, memory.last) for identity, memory in self._memory.items()}
            if after != before:
                # written before firing: after a crash a tick may be lost, which AWS's next tick repairs,
                # but no schedule fires the same tick twice
                _write(self._path, self._memory)
        for schedule, moment in due:
            schedule.fire(moment)
        for schedule in known:
            if schedule.complete is not None and self._is_complete(schedule, now):
                schedule.complete()

    def _due(self, schedule: Schedule, now: datetime) -> datetime | None:
        memory = self._memory.get(schedule.identity)
        if memory is None:
            memory = self._memory[schedule.identity] = _Memory(schedule.start or now)
        if memory.following is not None and now < memory.following:
            return None
        until = now if schedule.end is None else min(now, schedule.end)
        moment = schedule.expression.latest(memory.anchor, until)
        memory.following = schedule.expression.following(memory.anchor, now)
        if memory.following is None:
            memory.following = now + timedelta(days=1)  # never again; look once a day
        if moment is None or (memory.last is not None and moment <= memory.last):
            return None
        if schedule.start is not None and moment < schedule.start:
            return None
        memory.last = moment
        return moment if schedule.enabled else None

    def _is_complete(self, schedule: Schedule, now: datetime) -> bool:
        if schedule.end is not None and now > schedule.end:
            return True
        memory = self._memory.get(schedule.identity)
        return isinstance(schedule.expression, At) and memory is not None and memory.last is not None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
            except Exception:  # the thread's last line of defence: it is recorded, and the next tick comes
                log.exception("the scheduler could not fire")
            self._clock.wait(LOOK_SECONDS, self._stop)

    def _known(self) -> Iterable[Schedule]:
        for rule in self._schedules.scheduled_rules():
            if (found := self._parsed(rule.arn, self._of_rule, rule)) is not None:
                yield found
        for schedule in self._schedules.schedules():
            if (found := self._parsed(schedule.arn, self._of_schedule, schedule)) is not None:
                yield found

    def _parsed(self, arn: str, make: Callable[[Any], Schedule], found: Any) -> Schedule | None:
        try:
            return make(found)
        except (InvalidExpressionError, InvalidInputError, UnsupportedTargetError) as error:
            if arn not in self._faulty:  # refused when it is made; said once if it got in otherwise
                self._faulty.add(arn)
                log.error("%s never fires: %s", arn, error)  # noqa: TRY400  (the trace says nothing more)
            return None

    def _of_rule(self, rule: Any) -> Schedule:
        expression = parse_expression(rule.scheduled_expression, scheduler=False)
        return Schedule(
            rule.arn,
            f"{rule.arn} {rule.scheduled_expression}",
            expression,
            rule.state.startswith("ENABLED"),
            fire=lambda moment: self._router.tick(rule, moment),
        )

    def _of_schedule(self, schedule: Any) -> Schedule:
        zone = schedule.schedule_expression_timezone
        start, end = _moment(schedule.start_date), _moment(schedule.end_date)
        finished = schedule.action_after_completion == "DELETE"
        return Schedule(
            schedule.arn,
            f"{schedule.arn} {schedule.schedule_expression} {zone} {start}",
            parse_expression(schedule.schedule_expression, timezone=zone, scheduler=True),
            schedule.state == "ENABLED",
            fire=lambda moment: self._fire(schedule.arn, schedule.target, moment),
            complete=(lambda: self._schedules.delete(schedule)) if finished else None,
            start=start,
            end=end,
        )

    def _fire(self, arn: str, target: Mapping[str, Any], moment: datetime) -> None:
        scheduled = _iso(moment)
        template = target.get("Input")
        if template is None:
            template = json.dumps(
                {
                    "version": "0",
                    "id": str(uuid.uuid4()),
                    "detail-type": "Scheduled Event",
                    "source": "aws.scheduler",
                    "account": self._router.account,
                    "time": scheduled,
                    "region": self._router.region,
                    "resources": [arn],
                    "detail": "{}",  # Scheduler sends text here
                }
            )

        attributes = {"SCHEDULE_ARN": arn, "SCHEDULED_TIME": scheduled}
        self._deliveries.submit(Delivery(target, template, attributes, scheduled=True))


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(path: Path) -> dict[str, _Memory]:
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {
        identity: _Memory(
            datetime.fromisoformat(each["anchor"]),
            None if each["last"] is None else datetime.fromisoformat(each["last"]),
        )
        for identity, each in stored.items()
    }


def _write(path: Path, memories: Mapping[str, _Memory]) -> None:
    stored = {
        identity: {
            "anchor": memory.anchor.isoformat(),
            "last": None if memory.last is None else memory.last.isoformat(),
        }
        for identity, memory in memories.items()
    }
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    unfinished.replace(path)
