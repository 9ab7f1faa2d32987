"""The shipped table on moto: keys and indexes as template.yaml declares them."""

from pathlib import Path
from typing import Any

import boto3

from driftwheel_local.template import read_template

_SHIPPED: dict[str, Any] = read_template(Path(__file__).parents[2] / "template.yaml")["Resources"]["Table"]
_KEPT = ("BillingMode", "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes")


def create(region: str = "us-east-1") -> Any:
    """Create the table ``ledger``; give boto3's resource of it."""
    declared = {name: _SHIPPED["Properties"][name] for name in _KEPT}
    return boto3.resource("dynamodb", region_name=region).create_table(TableName="ledger", **declared)
