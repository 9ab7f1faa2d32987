"""What counts as a right too many; a session that ran the whole suite is held to it (tests/conftest.py)."""

import pytest

from driftwheel_local.permissions.policies import Need, Statement

from .exercised import MANAGED, UNSEEN
from .iam import managed_policies, roles
from .minimal import faults, machine_needs, scheduler_needs, survivors, unused

READ = Need("s3:GetObject", "arn:aws:s3:::b/runs/key")
EXACT = (Statement(allows=True, actions=("s3:GetObject",), resources=("arn:aws:s3:::b/runs/*",)),)


@pytest.mark.case("SE-11")
def test_a_policy_of_what_was_asked_for_has_nothing_too_many() -> None:
    assert list(unused(EXACT, [READ])) == []
    assert list(survivors(EXACT, [READ])) == []


@pytest.mark.case("SE-11")
@pytest.mark.parametrize(
    ("statement", "unused_", "survivor"),
    [
        (
            Statement(
                allows=True,
                actions=("s3:GetObject", "s3:PutObject"),
                resources=("arn:aws:s3:::b/runs/*",),
            ),
            "s3:PutObject on arn:aws:s3:::b/runs/*",
            "statement 0 without s3:PutObject",
        ),
        (
            Statement(
                allows=True,
                actions=("s3:GetObject",),
                resources=("arn:aws:s3:::b/runs/*", "arn:aws:s3:::b/code/*"),
            ),
            "s3:GetObject on arn:aws:s3:::b/code/*",
            "statement 0 with less than arn:aws:s3:::b/code/*",
        ),
    ],
)
def test_an_action_or_a_resource_nobody_asked_for_is_named(
    statement: Statement, unused_: str, survivor: str
) -> None:
    assert list(unused((statement,), [READ])) == [unused_]
    assert list(survivors((statement,), [READ])) == [survivor]


@pytest.mark.case("SE-11")
def test_a_right_given_twice_and_a_condition_that_always_holds_could_be_narrower() -> None:
    conditional = Statement(
        allows=True,
        actions=("s3:ListBucket",),
        resources=("arn:aws:s3:::b",),
        conditions={"StringLikeIfExists": {"s3:prefix": "runs/*"}},
    )

    assert len(list(survivors(EXACT + EXACT, [READ]))) == 4
    prefixed = Need("s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "runs/x"})
    assert list(survivors((conditional,), [prefixed])) == []


@pytest.mark.case("SE-11")
def test_what_the_state_machine_and_the_schedules_ask_for_is_all_their_roles_may_do() -> None:
    named = [fault for fault in faults({}) if "ModelLoopRole" in fault or "SchedulerRole" in fault]

    assert named == []
    assert len(machine_needs()) >= 8
    assert len(scheduler_needs()) >= 8


@pytest.mark.case("SE-11")
def test_a_role_nobody_was_heard_of_is_all_unused() -> None:
    assert any(fault.startswith("unused: TriggerFunctionRole: states:StartExecution") for fault in faults({}))


@pytest.mark.case("SE-11")
def test_the_closed_list_excuses_only_rights_that_exist() -> None:
    granted = {
        role: [a for each in statements for a in each.actions]
        for role, statements in roles(in_vpc=True).items()
    }

    for role, reasons in UNSEEN.items():
        for pattern in reasons:
            prefix = pattern.removesuffix("*")
            assert any(action.startswith(prefix) for action in granted[role]), (role, pattern)
    assert {policy for policies in managed_policies().values() for policy in policies} == set(MANAGED)
