"""The effective permissions of every role as people read them: `permissions.md`."""

import json
from collections import defaultdict
from pathlib import Path

from .iam import managed_policies, roles

GOLDEN = Path(__file__).with_name("permissions.md")
_HEAD = """# What each role may do

Written by `pytest tests/security/test_golden.py --update-permissions` from the transformed template with
fixed names; a wider right is a line of a diff.
"""


def effective() -> str:
    """Word every right: per role, per resource and condition, its actions."""
    lines = [_HEAD]
    for role in sorted(roles()):
        rights: dict[str, set[str]] = defaultdict(set)
        for statement in roles()[role]:
            condition = f" when {json.dumps(statement.conditions)}" if statement.conditions else ""
            for resource in statement.resources:
                verb = "" if statement.allows else "DENY "
                rights[f"{resource}{condition}"].update(f"{verb}{action}" for action in statement.actions)
        lines += [f"## {role}", ""]
        lines += [f"- `{place}`: {', '.join(sorted(actions))}" for place, actions in sorted(rights.items())]
        lines += [f"- AWS's {policy}" for policy in managed_policies()[role]] + [""]
    return "\n".join(lines)
