"""Known vulnerabilities read from a copy on disk, answered the way OSV's query API does.

pip-audit asks OSV over HTTP. Where OSV cannot be reached, or must not learn what is installed, this server
answers from a checkout instead. Read are OSV's own format (github.com/pypa/advisory-database in YAML,
github.com/github/advisory-database in JSON, https://ossf.github.io/osv-schema/) and `insecure.json` of
github.com/pyupio/safety-db, which maps a package to version specifiers.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from driftwheel_local.endpoint import ADDRESS, Guard

BODY_LIMIT_BYTES = 64 * 1024
ECOSYSTEM = "PyPI"
SAFETY = "insecure.json"
FIRST = Version("0.dev0")
"""What OSV means by "0": before every version."""


@dataclass(frozen=True)
class Advisory:
    """What one entry says of one package: versions by name, by OSV's ranges, or by a specifier."""

    entry: Mapping[str, Any]
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[Mapping[str, str], ...], ...] = ()
    specifier: str | None = None

    def covers(self, version: str) -> bool:
        """Whether this version is vulnerable; it is where PEP 440 cannot read it, or the entry."""
        try:
            asked = Version(version)
            return (
                version in self.versions
                or any(_inside(asked, events) for events in self.ranges)
                or (
                    self.specifier is not None
                    and SpecifierSet(self.specifier).contains(asked, prereleases=True)
                )
            )
        except (InvalidVersion, InvalidSpecifier):
            return True


def _inside(asked: Version, events: Iterable[Mapping[str, str]]) -> bool:
    """OSV's own evaluation: the last event at or before the version decides."""
    moments: list[tuple[Version, bool, bool]] = []
    for event in events:
        [(kind, at)] = event.items()
        if kind != "limit":
            moments.append(
                (FIRST if at == "0" else Version(at), kind == "introduced", kind == "last_affected")
            )
    inside = False
    for at, starts, still in sorted(moments):
        if asked > at or (asked == at and not still):
            inside = starts
    return inside


class Advisories:
    """Every advisory of a checkout, by package."""

    def __init__(self, by_package: Mapping[str, list[Advisory]]) -> None:
        self._by_package = by_package

    def __len__(self) -> int:
        return len(self._by_package)

    @classmethod
    def read(cls, *places: Path) -> Self:
        """Read checkouts or files; raises ValueError for a place that holds no advisory of PyPI."""
        found: dict[str, list[Advisory]] = {}
        for place in places:
            before = sum(map(len, found.values()))
            for name, advisory in _read(place):
                found.setdefault(canonicalize_name(name), []).append(advisory)
            if sum(map(len, found.values())) == before:
                raise ValueError(
                    f"{place} holds no advisory of {ECOSYSTEM}: name a checkout of"
                    " github.com/pypa/advisory-database, or insecure.json of github.com/pyupio/safety-db"
                )
        return cls(found)

    def of(self, package: str, version: str) -> list[Mapping[str, Any]]:
        """Answer the entries that cover one version of a package."""
        known = self._by_package.get(canonicalize_name(package), [])
        return [advisory.entry for advisory in known if advisory.covers(version)]


def _read(place: Path) -> Iterator[tuple[str, Advisory]]:
    if place.name == SAFETY:
        yield from _safety(json.loads(place.read_text(encoding="utf-8")))
        return
    for path in sorted(place.rglob("*")):
        if ".git" in path.parts or path.suffix not in (".yaml", ".json"):
            continue
        text = path.read_text(encoding="utf-8")
        entry = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
        if isinstance(entry, dict) and "affected" in entry and not entry.get("withdrawn"):
            yield from _osv(entry)


def _osv(entry: Mapping[str, Any]) -> Iterator[tuple[str, Advisory]]:
    for affected in entry["affected"]:
        package = affected.get("package", {})
        if package.get("ecosystem") == ECOSYSTEM:
            ranges = (each for each in affected.get("ranges", []) if each["type"] == "ECOSYSTEM")
            yield (
                package["name"],
                Advisory(
                    entry,
                    frozenset(affected.get("versions", [])),
                    tuple(tuple(each["events"]) for each in ranges),
                ),
            )


def _safety(document: Mapping[str, Any]) -> Iterator[tuple[str, Advisory]]:
    for name, specifiers in document.items():
        if name.startswith("$"):
            continue
        for specifier in specifiers:
            entry = {
                "id": f"safety-db:{canonicalize_name(name)}{specifier}",
                "summary": f"{name} {specifier} is listed as insecure",
                "affected": [{"package": {"name": canonicalize_name(name), "ecosystem": ECOSYSTEM}}],
            }
            yield name, Advisory(entry, specifier=specifier)


def _moment(value: object) -> str:
    """YAML reads an unquoted moment as one; OSV's answer is text in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise TypeError(f"an advisory holds {value!r}, which OSV's format does not know")


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Say nothing."""


@contextmanager
def served(advisories: Advisories) -> Iterator[str]:
    """Answer OSV's queries on a free port of this machine; gives the address to ask."""

    @Request.application
    def answer(request: Request) -> Response:
        asked = json.loads(request.get_data())
        vulns = advisories.of(asked["package"]["name"], asked["version"])
        body = json.dumps({"vulns": vulns} if vulns else {}, default=_moment)
        return Response(body, content_type="application/json")

    guard = Guard(answer, BODY_LIMIT_BYTES)
    server = make_server(ADDRESS, 0, guard, threaded=True, request_handler=_QuietHandler)
    guard.hosts = frozenset({f"{ADDRESS}:{server.server_port}"})
    thread = threading.Thread(target=server.serve_forever, name="advisories", daemon=True)
    thread.start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
