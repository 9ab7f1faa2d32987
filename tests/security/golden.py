"""The effective permissions of every role as people read them: `permissions.md`, and what a VPC adds."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from driftwheel_local.permissions.policies import Statement

from .iam import managed_policies, roles

GOLDEN = Path(__file__).with_name("permissions.md")
GOLDEN_IN_VPC = Path(__file__).with_name("permissions_in_vpc.md")
_HEAD = """# What each role may do

Written by `pytest tests/security/test_golden.py --update-permissions` from the transformed template with
fixed names; a wider right is a line of a diff.
"""
_HEAD_IN_VPC = """# What each role may do more where the stack has a VPC

Written beside `permissions.md`: Lambda and SageMaker put functions, jobs and models into it.
"""


def effective() -> str:
    """Word every right: per role, per resource and condition, its actions."""
    lines = [_HEAD]
    for role in sorted(roles()):
        lines += [f"## {role}", "", *_worded(roles()[role])]
        lines += [f"- AWS's {policy}" for policy in managed_policies()[role]] + [""]
    return "\n".join(lines)


def more_in_vpc() -> str:
    """Word the rights that only a stack in a VPC gives."""
    lines = [_HEAD_IN_VPC]
    for role, statements in sorted(roles(in_vpc=True).items()):
        added = [each for each in statements if each not in roles()[role]]
        if added:
            lines += [f"## {role}", "", *_worded(added), ""]
    return "\n".join(lines)


def _worded(statements: Iterable[Statement]) -> list[str]:
    rights: dict[str, set[str]] = defaultdict(set)
    for statement in statements:
        condition = f" when {json.dumps(statement.conditions)}" if statement.conditions else ""
        for resource in statement.resources:
            verb = "" if statement.allows else "DENY "
            rights[f"{resource}{condition}"].update(f"{verb}{action}" for action in statement.actions)
    return [f"- `{place}`: {', '.join(sorted(actions))}" for place, actions in sorted(rights.items())]
