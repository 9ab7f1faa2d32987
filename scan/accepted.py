"""Which findings the template accepts: `Metadata.Exceptions` gives reasons, resources name theirs."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Template = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """What one scanner says about one resource; `rule` as the scanner writes it."""

    scanner: str
    rule: str
    resource: str
    detail: str = ""


@dataclass(frozen=True)
class Acceptance:
    """One reason at one resource: the rules it silences there, as regular expressions."""

    resource: str
    name: str
    rules: tuple[re.Pattern[str], ...]

    def covers(self, finding: Finding, owner: str) -> bool:
        """Whether the finding, at the resource it belongs to, is one of those that this accepts."""
        return owner == self.resource and any(rule.fullmatch(finding.rule) for rule in self.rules)


def acceptances(source: Template) -> list[Acceptance]:
    """Read every exception of a template as written.

    Raises KeyError for a resource that names a reason which the template does not give.
    """
    reasons = source["Metadata"]["Exceptions"]
    return [
        Acceptance(resource, name, tuple(re.compile(rule) for rule in reasons[name]["Rules"]))
        for resource, body in source["Resources"].items()
        for name in body.get("Metadata", {}).get("Exceptions", [])
    ]


def owner(source: Template, resource: str) -> str:
    """The resource as written that a transformed one comes from: SAM derives names by appending to them."""
    written = [name for name in source["Resources"] if resource.startswith(name)]
    return max(written, key=len, default=resource)


def judge(
    source: Template, findings: Iterable[Finding], void: Container[str] = ()
) -> tuple[list[Finding], list[Acceptance]]:
    """Answer the findings that nothing accepts, and the acceptances that no finding needs.

    ``void`` are names of reasons that do not hold for what was scanned.
    """
    given = [each for each in acceptances(source) if each.name not in void]
    needed: set[Acceptance] = set()
    left: list[Finding] = []
    for finding in findings:
        place = owner(source, finding.resource)
        matching = [each for each in given if each.covers(finding, place)]
        needed.update(matching)
        if not matching:
            left.append(finding)
    return left, [each for each in given if each not in needed]
