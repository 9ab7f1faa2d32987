"""One moto server for the whole session; every test gets it empty and unpatched."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from driftwheel_local import patches

# Spark's machines live for a minute: the second compiler would take 28 of 73 CPU seconds and save none.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def _once(load: Callable[..., Any]) -> Callable[..., Any]:
    """Parse each of botocore's files once in a process: every session would do it anew, for half a second."""
    known: dict[tuple[Any, ...], Any] = {}

    def loaded(self: Loader, *names: str, **more: Any) -> Any:
        key = (type(self), *self.search_paths, names, *sorted(more.items()))
        if key not in known:
            known[key] = load(self, *names, **more)
        return known[key]

    return loaded


for _name in ("load_service_model", "load_data_with_path"):
    setattr(Loader, _name, _once(getattr(Loader, _name)))

LONG_FILES = (
    "tests/campaign/",
    "tests/loop/",
    "tests/unit/recipe/test_engines",
    "tests/unit/recipe/test_spark",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: a worker that meets one last keeps the other one waiting."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FILES))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-permissions",
        action="store_true",
        help="Rewrite tests/security/permissions.md.",
    )
    parser.addoption(
        "--update-status",
        action="store_true",
        help="Rewrite what tests/faults/status.md says of each failure that is tried.",
    )
    parser.addoption(
        "--asked",
        metavar="FILE",
        help="Write what each role asked for in this session to FILE, as JSON (--asked=FILE).",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what went wrong in a worker: a denial anywhere fails the session."""
    from tests.security import asked

    if error is None and "asked" in node.workeroutput:
        asked.merge(node.workeroutput["asked"])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a session in which a role was denied or sent SageMaker an unprotected request.

    One that ran the whole suite fails as well when a role may do what nobody asked for.
    """
    config = session.config
    from tests.security import asked, minimal

    if hasattr(config, "workeroutput"):
        config.workeroutput["asked"] = asked.collected()
        return
    if config.getoption("--asked"):
        Path(config.getoption("--asked")).write_text(json.dumps(asked.collected(), indent=1))
    faults = [f"denied: {each}" for each in asked.denied] + asked.sent_faults
    if exitstatus == 0 and _is_whole(config):
        faults += minimal.faults(asked.needs())
    if faults and exitstatus == 0:
        remedy = "tests/security says what each role may do, and why."
        sys.stderr.write("\n  ".join(["\npermissions:", *sorted(set(faults)), remedy]) + "\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_whole(config: pytest.Config) -> bool:
    narrowed = [
        config.getoption(each) for each in ("keyword", "markexpr", "deselect", "ignore", "collectonly")
    ]
    return config.args == config.getini("testpaths") and not any(narrowed)


_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}


@pytest.fixture(scope="session")
def _moto_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_endpoint(_moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint URL; patch moto before the first request of the test."""
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", _moto_server)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")]:
        monkeypatch.delenv(name)
    settings = {service: dict(options) for service, options in default_user_config.items()}
    BackendDict.reset()
    yield _moto_server
    BackendDict.reset()
    patches.undo()
    default_user_config.clear()
    default_user_config.update(settings)
