"""The door IAM stands at: a role's request runs only when its policies allow all that it asks for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from driftwheel_local.permissions.actions import Facts, UnmappedOperationError, needs_of, needs_when_absent
from driftwheel_local.permissions.policies import Need, Verdict, decide
from driftwheel_local.permissions.requests import Call
from driftwheel_local.permissions.roles import Role

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a role asked for, and what came of it; `needs` is empty for a call nobody wrote rules for."""

    role: str
    call: Call
    needs: tuple[Need, ...]
    verdict: Literal["allowed", "denied"]


@dataclass(frozen=True)
class Denied:
    """A right a role does not have."""

    call: Call
    role: Role
    need: Need
    verdict: Verdict

    @property
    def message(self) -> str:
        """AWS's words."""
        action, account = self.need.action, self.role.arn.split(":")[4]
        session = f"arn:aws:sts::{account}:assumed-role/{self.role.name}/local"
        if self.verdict == "explicit deny":
            reason = "with an explicit deny in an identity-based policy"
        else:
            reason = f"because no identity-based policy allows the {action} action"
        resource = self.need.resource
        return f"User: {session} is not authorized to perform: {action} on resource: {resource} {reason}"


class Gate:
    """Judges calls of roles; who is no role (the operator, the stack itself) may do everything.

    `record` hears of every call judged.
    """

    def __init__(
        self,
        account: str,
        find: Callable[[str], Role | None],
        facts: Facts,
        record: Callable[[Asked], None] = lambda _: None,
    ) -> None:
        self._account, self._find, self._facts, self._record = account, find, facts, record

    def role(self, access_key: str) -> Role | None:
        """Answer the role that signs with this key; None for the operator."""
        return self._find(access_key)

    def judge(self, role: Role, call: Call) -> Denied | None:
        """Answer the first right the role lacks for the call, None when it has all of them."""
        try:
            needs = needs_of(call, self._account, self._facts)
        except UnmappedOperationError as error:
            return self._end(role, call, (Need(str(error), "*"),), force=True)
        return self._end(role, call, needs)

    def judge_absent(self, role: Role, call: Call) -> Denied | None:
        """Answer why the role may not even learn that an object does not exist, None when it may."""
        needs = needs_when_absent(call)
        return self._end(role, call, needs) if needs else None

    def _end(self, role: Role, call: Call, needs: tuple[Need, ...], *, force: bool = False) -> Denied | None:
        denied: Denied | None = None
        for need in needs:
            verdict: Verdict = "implicit deny" if force else decide(role.statements, need)
            if verdict != "allowed":
                denied = Denied(call, role, need, verdict)
                log.warning("denied: %s", denied.message)
                break
        self._record(Asked(role.name, call, needs, "denied" if denied else "allowed"))
        return denied
