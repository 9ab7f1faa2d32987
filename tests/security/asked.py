"""What the roles asked for in this session: collected by the functions' and the loop's tests."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from driftwheel.vpc import NO_VPC, Vpc
from driftwheel_local.permissions.gate import Asked
from driftwheel_local.permissions.journal import WHOLE_REQUESTS
from driftwheel_local.permissions.policies import Need

from . import job_role
from .iam import VPC, general, read, role_of, written
from .sent import faults

seen: dict[str, set[str]] = defaultdict(set)
"""What each role asked for and was allowed, as `written` words it."""
denied: list[str] = []
sent_faults: list[str] = []
"""What is wrong with the SageMaker requests that were sent (SE-14)."""
sent: set[str] = set()


def note(asked: Asked) -> None:
    """Keep what an in-process request asked for."""
    _keep(asked.role, list(asked.needs), asked.verdict)
    if asked.call.service == "sagemaker":
        note_request(asked.call.operation, dict(asked.call.parameters))


def note_denial(asked: Asked) -> None:
    """Keep an in-process request that was denied; one that was allowed shows no use of the right."""
    if asked.verdict == "denied":
        _keep(asked.role, list(asked.needs), asked.verdict)


def note_request(operation: str, request: dict[str, Any], vpc: Vpc = VPC) -> None:
    """Hold a SageMaker request to SE-14; in one process, every stack is in the tests' VPC."""
    if operation in WHOLE_REQUESTS:
        sent.add(operation)
        sent_faults.extend(faults(operation, request, vpc))
        _note_job(operation, request, in_vpc=vpc != NO_VPC)


def _note_job(operation: str, request: dict[str, Any], *, in_vpc: bool) -> None:
    """Keep what the request makes SageMaker do in the name of the role it passes."""
    role = job_role.passed(request)
    needs = list(job_role.needs(operation, request))
    if operation == "CreateEndpointConfig":
        role, needs = "SageMakerRole", list(job_role.captured(request))  # that of its models
    if role is not None:
        lacking = job_role.lacking(role, needs, in_vpc=in_vpc)
        _keep(role, lacking or needs, "denied" if lacking else "allowed")


def note_file(path: Path, vpc: Vpc = NO_VPC) -> None:
    """Keep what the roles of a local stack asked for; ``vpc`` is the one it was started in."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        needs = [Need(*need) for need in entry["needs"]]
        _keep(role_of(entry["role"]), needs, entry["verdict"])
        if "request" in entry:
            note_request(entry["call"].partition(":")[2], entry["request"], vpc)


def _keep(role: str, needs: list[Need], verdict: str) -> None:
    lines = written(map(general, needs))
    if verdict == "denied":
        denied.append(f"{role}: {', '.join(lines)}")
    else:
        seen[role].update(lines)


def needs() -> dict[str, list[Need]]:
    """Answer what each role asked for, to be held against its policies."""
    return {role: [read(line) for line in sorted(lines)] for role, lines in seen.items()}


def collected() -> dict[str, Any]:
    """What this process collected, as plain JSON."""
    plain = {role: sorted(lines) for role, lines in seen.items()}
    return {"denied": denied, "sent_faults": sent_faults, "sent": sorted(sent), "seen": plain}


def merge(other: dict[str, Any]) -> None:
    """Add what another process collected."""
    denied.extend(other["denied"])
    sent_faults.extend(other["sent_faults"])
    sent.update(other["sent"])
    for role, lines in other["seen"].items():
        seen[role].update(lines)
