"""A canary that answers badly, watched by the alarms the product itself declares."""

import boto3
import pytest
from tests.unit.local.sagemaker.test_sagemaker_endpoints import Prober, canary, update

from driftwheel.layout import VARIANT
from driftwheel.steps.deployment import LATENCY_LIMIT_MICROSECONDS, alarm_requests
from driftwheel_local import patches
from driftwheel_local.alarms import Alarms

TIME_SCALE = 0.01
BAKE_SECONDS = 1_000
SLOW = 1.5 * LATENCY_LIMIT_MICROSECONDS / 1e6


def watched(account, time_scale=TIME_SCALE):
    """Put the real alarms, fed by the endpoint's own metrics, where the account's stand in otherwise."""
    alarms = Alarms(account.clock, account.events.append, patches.CloudWatchShelf(), time_scale=time_scale)
    patches.patch_cloudwatch(alarms)

    def states(names):
        account.world.invocations.flush()
        return alarms.alarm_states(names)

    site = account.world.site
    site.time_scale, site.put_metric, site.alarm_states = time_scale, alarms.put_metric, states
    cloudwatch = boto3.client("cloudwatch")
    requests = alarm_requests("scores", boto3.client("sns").create_topic(Name="alerts")["TopicArn"])
    for request in requests:
        cloudwatch.put_metric_alarm(**request)
    return [{"AlarmName": request["AlarmName"]} for request in requests]


def states_of(account, alarm):
    """Every state an alarm has entered."""
    changes = [detail for detail in account.details("CloudWatch Alarm") if detail["alarmName"] == alarm]
    return [change["state"]["value"] for change in changes]


@pytest.mark.case("DE-05")
@pytest.mark.parametrize(
    ("trouble", "rings"), [({"fails_after": 0}, "scores-5xx"), ({"slow": SLOW}, "scores-latency")], ids=str
)
def test_a_canary_that_answers_badly_is_rolled_back_within_its_baking(account, trouble, rings):
    alarms = watched(account)
    account.endpoint(offset=1, VariantName=VARIANT)
    account.model("two", 2, trouble=trouble)
    account.config("two", "two", VariantName=VARIANT)

    with Prober(account) as prober:
        account.until(lambda: len(prober.answers), lambda now: now > 20)
        before = len(prober.answers)
        began = account.clock.monotonic()
        rolled_back = {"AutoRollbackConfiguration": {"Alarms": alarms}}
        update(account, "two", {**canary(10, wait=BAKE_SECONDS), **rolled_back})
        described = account.settled()
        took = account.clock.monotonic() - began

    asked = len(prober.answers) + len(prober.failures) - before
    harmed = len(prober.failures) + prober.answers.count(2)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert "FailureReason" not in described
    assert took < BAKE_SECONDS * TIME_SCALE
    assert 1 <= harmed <= 0.1 * asked + 1
    assert "ALARM" in states_of(account, rings)


@pytest.mark.case("DE-06")
def test_a_canary_that_fails_only_in_the_third_minute_of_its_baking_is_rolled_back(account):
    alarms = watched(account, time_scale=0.03)
    account.endpoint(offset=1, VariantName=VARIANT)
    account.model("two", 2, trouble={"fails_after": 180 * account.world.site.time_scale})
    account.config("two", "two", VariantName=VARIANT)

    with Prober(account) as prober:
        rolled_back = {"AutoRollbackConfiguration": {"Alarms": alarms}}
        began = account.clock.monotonic()
        update(account, "two", {**canary(10, wait=BAKE_SECONDS), **rolled_back})
        account.until(lambda: list(prober.answers), lambda answers: answers.count(2) > 2)
        healthy = len(prober.failures)
        described = account.settled()
        took = account.clock.monotonic() - began
        answers = len(prober.answers)
        account.until(lambda: len(prober.answers), lambda now: now > answers + 20)

    assert healthy == 0
    assert prober.failures
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert took < BAKE_SECONDS * account.world.site.time_scale
    assert set(prober.answers[answers:]) == {1}
    assert "ALARM" in states_of(account, "scores-5xx")


def test_a_canary_that_answers_well_is_not(account):
    alarms = watched(account)
    account.endpoint(offset=1, VariantName=VARIANT)
    account.model("two", 2)
    account.config("two", "two", VariantName=VARIANT)

    with Prober(account) as prober:
        update(account, "two", {**canary(10, wait=100), "AutoRollbackConfiguration": {"Alarms": alarms}})
        described = account.settled()

    assert (described["EndpointConfigName"], prober.failures) == ("two", [])
