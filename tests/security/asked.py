"""What the roles asked for in this session: collected by the functions' and the loop's tests."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from driftwheel_local.permissions.gate import Asked
from driftwheel_local.permissions.journal import WHOLE_REQUESTS
from driftwheel_local.permissions.policies import Need

from .iam import general, read, role_of, written
from .sent import faults

USED = Path(__file__).with_name("used.json")
seen: dict[str, set[str]] = defaultdict(set)
"""Needs by role, as `written` words them."""
denied: list[str] = []
sent_faults: list[str] = []
"""What is wrong with the SageMaker requests that were sent (SE-14)."""
sent: set[str] = set()


def note(asked: Asked) -> None:
    """Keep what an in-process request asked for."""
    _keep(asked.role, list(asked.needs), asked.verdict)
    if asked.call.service == "sagemaker":
        note_request(asked.call.operation, dict(asked.call.parameters))


def note_request(operation: str, request: dict[str, Any]) -> None:
    """Hold a SageMaker request to SE-14."""
    if operation in WHOLE_REQUESTS:
        sent.add(operation)
        sent_faults.extend(faults(operation, request))


def note_file(path: Path) -> None:
    """Keep what the roles of a local stack asked for."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        needs = [Need(*need) for need in entry["needs"]]
        _keep(role_of(entry["role"]), needs, entry["verdict"])
        if "request" in entry:
            note_request(entry["call"].partition(":")[2], entry["request"])


def _keep(role: str, needs: list[Need], verdict: str) -> None:
    lines = written(map(general, needs))
    if verdict == "denied":
        denied.append(f"{role}: {', '.join(lines)}")
    else:
        seen[role].update(lines)


def used() -> dict[str, list[Need]]:
    """Read the record: what every role asked for when the whole suite ran."""
    body = json.loads(USED.read_text(encoding="utf-8"))
    return {role: [read(line) for line in lines] for role, lines in body.items()}


def write(*, whole: bool) -> None:
    """Write this session's needs; those of a part of the suite are added."""
    before = json.loads(USED.read_text(encoding="utf-8")) if USED.exists() and not whole else {}
    body = {role: sorted(seen.get(role, set()) | set(before.get(role, []))) for role in {*seen, *before}}
    USED.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def differences() -> list[str]:
    """Compare a whole session with the record: what it lacks, and what nobody asked for."""
    body = json.loads(USED.read_text(encoding="utf-8"))
    found = []
    for role in sorted({*seen, *body}):
        now, then = seen.get(role, set()), set(body.get(role, []))
        found += [f"{role} asked for more than {USED.name} says: {line}" for line in sorted(now - then)]
        found += [f"{role} no longer asked for: {line}" for line in sorted(then - now)]
    return found
