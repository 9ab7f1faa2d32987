from datetime import UTC, datetime, timedelta

import pytest

from driftwheel_local.expressions import InvalidExpressionError, parse_expression

NOW = datetime(2026, 1, 7, 10, 30, 15, tzinfo=UTC)  # a Wednesday


def following(text, timezone="UTC", now=NOW):
    return parse_expression(text, timezone=timezone, scheduler=True).following(now, now)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cron(0 12 * * ? *)", datetime(2026, 1, 7, 12, tzinfo=UTC)),
        ("cron(0/15 * * * ? *)", datetime(2026, 1, 7, 10, 45, tzinfo=UTC)),
        ("cron(0 8 ? * 1 *)", datetime(2026, 1, 11, 8, tzinfo=UTC)),  # 1 is Sunday
        ("cron(0 8 ? * 7 *)", datetime(2026, 1, 10, 8, tzinfo=UTC)),
        ("cron(0 8 ? * MON-FRI *)", datetime(2026, 1, 8, 8, tzinfo=UTC)),
        ("cron(0 8 ? * 2-6 *)", datetime(2026, 1, 8, 8, tzinfo=UTC)),
        ("cron(0 8 ? * SUN,SAT *)", datetime(2026, 1, 10, 8, tzinfo=UTC)),
        ("cron(0 8 ? * 6#2 *)", datetime(2026, 1, 9, 8, tzinfo=UTC)),
        ("cron(0 8 ? * FRI#2 *)", datetime(2026, 1, 9, 8, tzinfo=UTC)),
        ("cron(0 8 ? * 6L *)", datetime(2026, 1, 30, 8, tzinfo=UTC)),
        ("cron(0 8 L * ? *)", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("cron(0 8 15W * ? *)", datetime(2026, 1, 15, 8, tzinfo=UTC)),
        ("cron(0 8 1 1 ? 2028)", datetime(2028, 1, 1, 8, tzinfo=UTC)),
        ("cron(0 8 1 1 ? 2020)", None),
        ("at(2026-02-01T00:00:00)", datetime(2026, 2, 1, tzinfo=UTC)),
        ("at(2020-02-01T00:00:00)", None),
        ("rate(5 minutes)", NOW),
    ],
)
def test_the_next_due_instant_is_awss(text, expected):
    found = following(text)

    assert found == (NOW + timedelta(minutes=5) if text.startswith("rate") else expected)


def test_a_timezone_moves_cron_and_at_with_its_summer_time():
    july = datetime(2026, 7, 1, tzinfo=UTC)

    assert following("cron(0 8 * * ? *)", "Europe/Berlin") == datetime(2026, 1, 8, 7, tzinfo=UTC)
    assert following("cron(0 8 * * ? *)", "Europe/Berlin", july) == datetime(2026, 7, 1, 6, tzinfo=UTC)
    assert following("at(2026-07-01T08:00:00)", "America/New_York") == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_the_latest_due_instant_is_the_last_one_up_to_now():
    begin = NOW - timedelta(days=1)

    assert parse_expression("cron(30 10 * * ? *)", scheduler=True).latest(begin, NOW) == NOW.replace(second=0)
    assert parse_expression("rate(1 hour)", scheduler=True).latest(begin, NOW) == NOW
    assert parse_expression("cron(0 11 1 1 ? *)", scheduler=True).latest(begin, NOW) is None


def test_a_rate_of_scheduler_is_due_at_once_and_one_of_a_rule_after_its_period():
    assert parse_expression("rate(1 hour)", scheduler=True).latest(NOW, NOW) == NOW
    assert parse_expression("rate(1 hour)", scheduler=False).latest(NOW, NOW) is None
    assert parse_expression("rate(1 hour)", scheduler=False).following(NOW, NOW) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "scheduler"),
    [
        ("rate(0 minutes)", True),
        ("rate(5 seconds)", True),
        ("rate(1 hours)", False),
        ("rate(2 hour)", False),
        ("at(2026-01-01T00:00:00)", False),
        ("at(2026-13-01T00:00:00)", True),
        ("at(2026-01-01)", True),
        ("cron(0 8 * * *)", True),
        ("cron(0 8 * * * *)", True),
        ("cron(0 8 ? * ? *)", True),
        ("cron(0 8 ? * 8 *)", True),
        ("cron(0 25 * * ? *)", True),
        ("cron(0 8 LW * ? *)", True),
        ("daily", True),
    ],
)
def test_an_expression_aws_would_not_take_is_refused(text, scheduler):
    with pytest.raises(InvalidExpressionError):
        parse_expression(text, scheduler=scheduler)


def test_an_unknown_timezone_is_refused():
    with pytest.raises(InvalidExpressionError, match="'Mars/Base' is not a timezone"):
        parse_expression("rate(1 hour)", timezone="Mars/Base", scheduler=True)
