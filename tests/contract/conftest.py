"""One account for each file of the contract."""

import os
from collections.abc import Iterator

import boto3
import pytest

from .account import LOCAL_CREDENTIALS, Account
from .sagemaker import Lab

ON_AWS = os.environ.get("CONTRACT_ENDPOINT", "local") == "aws"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "local_only: can be provoked on the local stack only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Against AWS leave out what only the local stack can be made to do."""
    if ON_AWS:
        left_out = [item for item in items if item.get_closest_marker("local_only")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patched:
        if not ON_AWS:
            for name, value in LOCAL_CREDENTIALS.items():
                patched.setenv(name, value)
            patched.delenv("AWS_ENDPOINT_URL", raising=False)
            patched.setattr(boto3, "DEFAULT_SESSION", None)
        found = Account(tmp_path_factory.mktemp("contract"))
        yield found
        found.close()


@pytest.fixture
def slow_to_show(account: Account) -> Iterator[None]:
    """Let what SageMaker makes be unknown to Describe for a while; on AWS it may be, unasked."""
    if account.world is None:
        yield
        return
    account.world.sagemaker.limits.unseen_seconds = 10
    yield
    account.world.sagemaker.limits.unseen_seconds = 0


@pytest.fixture(scope="module")
def lab(account: Account) -> Lab:
    return Lab(account)
