"""One moto server for the whole session; every test gets it empty and unpatched."""

import os
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from driftwheel_local import patches

_PARTLY = ("keyword", "markexpr", "deselect", "lf", "failedfirst")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-permissions",
        action="store_true",
        help="Rewrite tests/security's used.json and permissions.md.",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Hold the record of used rights to what this session asked for, when it was the whole suite."""
    config = session.config
    from tests.security import asked

    ran = config.args == config.getini("testpaths") and exitstatus == 0
    whole = ran and not any(config.getoption(name, None) for name in _PARTLY)
    faults = [f"denied: {each}" for each in asked.denied] + asked.sent_faults
    if config.getoption("--update-permissions") and not faults:
        asked.write(whole=whole)
    elif whole:
        faults += asked.differences()
    if faults and exitstatus == 0:
        remedy = "`pytest --update-permissions` records what the whole suite uses."
        sys.stderr.write("\n  ".join(["\npermissions:", *sorted(set(faults)), remedy]) + "\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
