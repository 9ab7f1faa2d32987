"""The rules and schedules moto keeps for the stack's account and region."""

from collections.abc import Iterable
from typing import Any

from moto.events.models import events_backends
from moto.scheduler.models import scheduler_backends

from driftwheel_local.events import Rule, UnknownBusError


class Buses:
    """Reads moto's EventBridge and Scheduler records; the API calls that write them are moto's."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    def rules_of(self, bus: str) -> Iterable[Rule]:
        """Answer the rules of `bus`. Raises UnknownBusError."""
        buses = events_backends[self._account][self._region].event_buses
        if bus not in buses:
            raise UnknownBusError(bus)
        rules: Iterable[Any] = buses[bus].rules.values()
        return list(rules)

    def scheduled_rules(self) -> Iterable[Rule]:
        """Answer the rules with a schedule expression; only the default bus can have them."""
        rules: list[Any] = list(self.rules_of("default"))
        return [rule for rule in rules if rule.scheduled_expression]

    def schedules(self) -> Iterable[Any]:
        """Answer EventBridge Scheduler's schedules of every group."""
        groups = scheduler_backends[self._account][self._region].schedule_groups
        return [schedule for group in list(groups.values()) for schedule in list(group.schedules.values())]

    def delete(self, schedule: Any) -> None:
        """Delete a schedule that is done."""
        group = scheduler_backends[self._account][self._region].schedule_groups.get(schedule.group_name)
        if group is not None:
            group.schedules.pop(schedule.name, None)
