import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from driftwheel_local.clock import Clock
from driftwheel_local.events import EventRouter
from driftwheel_local.expressions import InvalidExpressionError
from driftwheel_local.inputs import InvalidInputError
from driftwheel_local.scheduler import Scheduler
from driftwheel_local.targets import UnsupportedTargetError

ACCOUNT, REGION = "123456789012", "us-east-1"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
ORIGIN = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)


class Sent(list):
    """Takes deliveries instead of bringing them."""

    def submit(self, delivery):
        self.append(delivery)

    def payloads(self):
        return [json.loads(delivery.payload(1)) for delivery in self]


class Kept:
    """The schedules and rules there are."""

    def __init__(self):
        self.all = []
        self.rules = []

    def schedules(self):
        return list(self.all)

    def scheduled_rules(self):
        return list(self.rules)

    def rules_of(self, _bus):
        return list(self.rules)

    def delete(self, schedule):
        self.all.remove(schedule)

    def add(self, expression, **fields):
        name = f"s{len(self.all)}"
        schedule = SimpleNamespace(
            arn=f"arn:aws:scheduler:us-east-1:123456789012:schedule/default/{name}",
            name=name,
            group_name="default",
            schedule_expression=expression,
            schedule_expression_timezone="UTC",
            state="ENABLED",
            start_date=None,
            end_date=None,
            action_after_completion=None,
            target={"Arn": QUEUE, "Input": '"<aws.scheduler.scheduled-time>"'},
        )
        vars(schedule).update(fields)
        self.all.append(schedule)
        return schedule


@pytest.fixture
def clock():
    return Clock(ORIGIN)


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def make(kept, sent, clock, tmp_path):
    def make_scheduler():
        router = EventRouter(kept, sent, clock, account=ACCOUNT, region=REGION)
        return Scheduler(kept, router, sent, clock, tmp_path / "scheduler.json")

    return make_scheduler


@pytest.fixture
def scheduler(make):
    return make()


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_rate_fires_at_once_and_then_at_its_rhythm(scheduler, kept, sent, clock):
    kept.add("rate(5 minutes)")

    scheduler.tick()
    scheduler.tick()
    clock.advance(299)
    scheduler.tick()
    assert sent.payloads() == [iso(ORIGIN)]

    clock.advance(2)
    scheduler.tick()
    assert sent.payloads()[1] == iso(ORIGIN + timedelta(minutes=5))


def test_ticks_missed_while_time_jumped_fire_once(scheduler, kept, sent, clock):
    kept.add("rate(5 minutes)")
    scheduler.tick()

    clock.advance(3600 + 30)
    scheduler.tick()
    scheduler.tick()

    assert sent.payloads()[1:] == [iso(ORIGIN + timedelta(hours=1))]


def test_a_cron_fires_when_its_instant_has_passed(scheduler, kept, sent, clock):
    kept.add("cron(30 10 ? * WED *)")
    scheduler.tick()
    assert not sent

    clock.advance(31 * 60)
    scheduler.tick()
    clock.advance(3600)
    scheduler.tick()

    assert sent.payloads() == [iso(ORIGIN + timedelta(minutes=30))]


def test_a_one_time_schedule_fires_once_and_is_deleted_when_it_asks_to_be(scheduler, kept, sent, clock):
    kept.add("at(2026-01-07T11:00:00)", action_after_completion="DELETE")
    stays = kept.add("at(2026-01-07T11:00:00)")
    scheduler.tick()
    assert not sent

    clock.advance(3601)
    scheduler.tick()
    clock.advance(7200)
    scheduler.tick()

    assert len(sent) == 2
    assert kept.all == [stays]


def test_start_and_end_bound_a_schedule(scheduler, kept, sent, clock):
    kept.add(
        "rate(1 hour)",
        start_date=(ORIGIN + timedelta(minutes=90)).timestamp(),
        end_date=iso(ORIGIN + timedelta(hours=3)),
        action_after_completion="DELETE",
    )
    for _ in range(20):
        scheduler.tick()
        clock.advance(15 * 60)

    assert sent.payloads() == [iso(ORIGIN + timedelta(minutes=90)), iso(ORIGIN + timedelta(minutes=150))]
    assert not kept.all


def test_a_disabled_schedule_fires_nothing_and_makes_nothing_up_later(scheduler, kept, sent, clock):
    schedule = kept.add("rate(1 hour)", state="DISABLED")
    scheduler.tick()
    clock.advance(3601)
    scheduler.tick()

    schedule.state = "ENABLED"
    scheduler.tick()
    assert not sent

    clock.advance(3600)
    scheduler.tick()
    assert len(sent) == 1


def test_a_restart_keeps_the_rhythm_and_repeats_nothing(make, kept, sent, clock):
    kept.add("rate(1 hour)")
    kept.add("at(2026-01-07T10:00:00)")
    make().tick()
    assert len(sent) == 2

    clock.advance(600)
    second = make()
    second.tick()
    assert len(sent) == 2

    clock.advance(3000)
    second.tick()
    assert sent.payloads()[2:] == [iso(ORIGIN + timedelta(hours=1))]


def test_a_changed_expression_begins_anew(scheduler, kept, sent, clock):
    schedule = kept.add("rate(1 hour)")
    scheduler.tick()
    clock.advance(60)

    schedule.schedule_expression = "rate(1 day)"
    scheduler.tick()

    assert len(sent) == 2


def test_the_context_attributes_are_filled_anew_for_each_attempt(scheduler, kept, sent):
    template = {
        "schedule": "<aws.scheduler.schedule-arn>",
        "at": "<aws.scheduler.scheduled-time>",
        "execution": "<aws.scheduler.execution-id>",
        "attempt": "<aws.scheduler.attempt-number>",
    }
    schedule = kept.add("rate(1 hour)", target={"Arn": QUEUE, "Input": json.dumps(template)})

    scheduler.tick()

    first, second = (json.loads(sent[0].payload(attempt)) for attempt in (1, 2))
    assert first["schedule"] == schedule.arn
    assert first["at"] == second["at"] == iso(ORIGIN)
    assert (first["attempt"], second["attempt"]) == ("1", "2")
    assert first["execution"] != second["execution"]
    assert sent[0].attributes == {
        "SCHEDULE_ARN": schedule.arn,
        "SCHEDULED_TIME": iso(ORIGIN),
        "EXECUTION_ID": second["execution"],
    }


def test_without_input_scheduler_sends_its_own_event(scheduler, kept, sent):
    schedule = kept.add("rate(1 hour)", target={"Arn": QUEUE})

    scheduler.tick()

    event = sent.payloads()[0]
    assert (event["source"], event["detail"]) == ("aws.scheduler", "{}")
    assert event["resources"] == [schedule.arn]


def test_a_rule_with_a_schedule_sends_the_scheduled_event_after_its_period(scheduler, kept, sent, clock):
    rule = SimpleNamespace(
        name="r",
        arn="arn:aws:events:us-east-1:123456789012:rule/r",
        state="ENABLED",
        event_bus_name="default",
        targets=[{"Id": "1", "Arn": QUEUE}],
        event_pattern=SimpleNamespace(get_pattern=dict),
        scheduled_expression="rate(1 hour)",
    )
    kept.rules.append(rule)
    scheduler.tick()
    assert not sent

    clock.advance(3601)
    scheduler.tick()

    event = sent.payloads()[0]
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
    assert event["resources"] == [rule.arn]
    assert event["time"] == iso(ORIGIN + timedelta(hours=1))


def test_the_thread_fires_soon_after_the_clock_is_advanced(scheduler, kept, sent, clock):
    kept.add("at(2026-01-07T11:00:00)")
    scheduler.start()

    clock.advance(3601)
    deadline = clock.monotonic() + 5
    while not sent and clock.monotonic() < deadline:
        clock.wait(0.01, SimpleNamespace(is_set=lambda: False))
    scheduler.close()

    assert len(sent) == 1


@pytest.mark.parametrize(
    ("expression", "target", "error"),
    [
        ("every day", {"Arn": QUEUE}, InvalidExpressionError),
        ("rate(1 hour)", {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"}, UnsupportedTargetError),
        ("rate(1 hour)", {"Arn": QUEUE, "KinesisParameters": {}}, UnsupportedTargetError),
        ("rate(1 hour)", {"Arn": "arn:aws:logs:us-east-1:123456789012:log-group:x"}, UnsupportedTargetError),
        ("rate(1 hour)", {"Arn": QUEUE, "RetryPolicy": {"MaximumEventAgeInSeconds": 1}}, InvalidInputError),
    ],
)
def test_a_schedule_that_cannot_work_is_refused(scheduler, expression, target, error):
    with pytest.raises(error):
        scheduler.check(expression, "UTC", target)


def test_a_faulty_schedule_does_not_stop_the_others_and_is_told_once(scheduler, kept, sent, caplog):
    kept.add("whenever")
    kept.add("rate(1 hour)")

    scheduler.tick()
    scheduler.tick()

    assert len(sent) == 1
    assert [record.message for record in caplog.records if "never fires" in record.message] == [
        f"{kept.all[0].arn} never fires: 'whenever' is not a valid rate(), cron() or at() expression"
    ]
