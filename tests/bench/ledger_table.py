"""The shipped table on moto: keys and indexes as template.yaml declares them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.dynamodb.models import DynamoDBBackend

from driftwheel_local.template import read_template

_SHIPPED: dict[str, Any] = read_template(Path(__file__).parents[2] / "template.yaml")["Resources"]["Table"]
_KEPT = ("BillingMode", "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes")


def create(region: str = "us-east-1") -> Any:
    """Create the table ``ledger``; give boto3's resource of it."""
    declared = {name: _SHIPPED["Properties"][name] for name in _KEPT}
    return boto3.resource("dynamodb", region_name=region).create_table(TableName="ledger", **declared)


def write_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads write as they would to DynamoDB: one after the other. moto's conditions let two pass."""
    lock = threading.RLock()

    def locked(call: Callable[..., Any]) -> Callable[..., Any]:
        def hold(*arguments: Any, **named: Any) -> Any:
            with lock:
                return call(*arguments, **named)

        return hold

    for name in ("put_item", "update_item"):
        monkeypatch.setattr(DynamoDBBackend, name, locked(getattr(DynamoDBBackend, name)))
