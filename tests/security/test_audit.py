"""SE-16: what `make audit` knows; that pip-audit hears it is its control, which `make scan` runs too."""

import http.client
import importlib.util
import json
import sys
import urllib.request

import pytest

from .rules import ROOT


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scan" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def advisories():
    yield _script("advisories")
    del sys.modules["advisories"]


@pytest.fixture(scope="module")
def audit(advisories):
    yield _script("audit")
    del sys.modules["audit"]


@pytest.fixture
def planted(advisories, audit):
    return advisories.Advisories.read(audit.PLANTED)


@pytest.mark.case("SE-16")
@pytest.mark.parametrize(
    ("version", "vulnerable"),
    [
        ("0", True),
        ("0.0a1", True),
        ("1.0.4.post1", True),
        ("1.0.5", False),
        ("1.1", True),
        ("1.2.1rc1", True),
        ("1.2.1", False),
        ("3.0", True),
        ("3.0.2", True),
        ("3.0.2.post1", False),
        ("5.0.0", True),
        ("9.9", False),
        ("no version", True),
    ],
)
def test_a_planted_advisory_covers_the_versions_osv_says(planted, version, vulnerable):
    found = [entry["id"] for entry in planted.of("Driftwheel_Planted", version)]

    assert found == (["PLANTED-1"] if vulnerable else [])
    assert planted.of("driftwheel-other", version) == []


@pytest.mark.case("SE-16")
def test_withdrawn_entries_are_left_out_and_specifiers_nobody_can_read_cover_everything(advisories, tmp_path):
    affected = [{"package": {"name": "a", "ecosystem": "PyPI"}, "versions": ["1.0", "2.0"]}]
    for name, more in (("kept", {}), ("withdrawn", {"withdrawn": "2026-01-01T00:00:00Z"})):
        text = json.dumps({"id": name, "affected": affected} | more)
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    listed = {"$meta": {"timestamp": 0}, "B_c": ["<2", ">=3,<3.1"], "d": ["<2013.1.g3"]}
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "insecure.json").write_text(json.dumps(listed), encoding="utf-8")

    known = advisories.Advisories.read(tmp_path, tmp_path / "more" / "insecure.json")

    assert [[each["id"] for each in known.of("a", version)] for version in ("1.0", "1.1")] == [["kept"], []]
    assert [len(known.of("b-c", version)) for version in ("1.9", "2", "3.0.1", "3.1")] == [1, 0, 1, 0]
    assert len(known.of("d", "9999")) == 1


@pytest.mark.case("SE-16")
def test_a_place_without_advisories_is_refused(advisories, audit, tmp_path):
    with pytest.raises(ValueError, match="holds no advisory"):
        advisories.Advisories.read(audit.PLANTED, tmp_path)


@pytest.mark.case("SE-18")
def test_the_server_answers_as_osv_and_its_own_door_alone(advisories, planted):
    def ask(address, version):
        asked = {"package": {"name": "driftwheel-planted", "ecosystem": "PyPI"}, "version": version}
        with urllib.request.urlopen(address, data=json.dumps(asked).encode(), timeout=5) as answer:
            return json.load(answer)

    def status(port, **headers):
        door = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        door.request("POST", "/v1/query", headers=headers)
        try:
            return door.getresponse().status
        finally:
            door.close()

    with advisories.served(planted) as address:
        [found] = ask(address, "1.2")["vulns"]
        assert (found["id"], found["published"]) == ("PLANTED-1", "2026-01-01T00:00:00Z")
        assert ask(address, "1.2.1") == {}
        host = address.split("/")[2]
        port = int(host.rsplit(":", 1)[1])
        assert status(port, Host="evil.example", **{"Content-Length": "0"}) == 403
        much = str(advisories.BODY_LIMIT_BYTES + 1)
        assert status(port, Host=host, **{"Content-Length": much}) == 413


@pytest.mark.case("SE-16")
def test_every_lock_is_looked_up_or_named(audit):
    files = {
        path.relative_to(ROOT).as_posix()
        for pattern in (
            "requirements*",
            "*/requirements*",
            "functions/*/requirements*",
            "benchmarks/peers/*.txt",
        )
        for path in ROOT.glob(pattern)
        if path.suffix != ".in"
    }

    assert files == {*audit.LOCKED, *audit.UNASKED}
