"""Sweep: delete what deployments made in SageMaker, once it is old and nothing needs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Self

from botocore.exceptions import ClientError

from driftwheel.aws.sagemaker import existing
from driftwheel.deployment.leftovers import Kind, Made, Standing, is_leftover
from driftwheel.deployment.names import resource_name
from driftwheel.ledger.champions import Champions
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens

AT_ONCE = 100
"""Resources deleted in one call: the next day goes on, and no call runs into its timeout."""


@dataclass(frozen=True)
class Ledger:
    """The parts of the ledger that say what is needed."""

    models: Models
    champions: Champions
    leases: Leases
    tokens: Tokens

    @classmethod
    def of(cls, table: Table) -> Self:
        """Read them all from one table."""
        return cls(Models(table), Champions(table), Leases(table), Tokens(table))


@dataclass(frozen=True)
class _Listing:
    kind: Kind
    operation: str
    records: str
    name: str
    since: str
    """The member whose moment counts; the list's own filter has its name and `Before`."""


# Endpoints first, then what they refer to: a failure between leaves nothing that points nowhere.
_LISTINGS = (
    _Listing("endpoint", "list_endpoints", "Endpoints", "EndpointName", "LastModifiedTime"),
    _Listing(
        "endpoint_config",
        "list_endpoint_configs",
        "EndpointConfigs",
        "EndpointConfigName",
        "CreationTime",
    ),
    _Listing("model", "list_models", "Models", "ModelName", "CreationTime"),
)


def sweep(
    stack: str, older_than_days: int, sagemaker: Any, ledger: Ledger, now: datetime
) -> dict[Kind, list[str]]:
    """Delete what is left over and name it, by kind.

    A resource without our stack's tag is never touched. With no model registered nothing can be judged, as
    after the loss of the table, and nothing is deleted. To sweep twice is to sweep once.
    """
    swept: dict[Kind, list[str]] = {"endpoint": [], "endpoint_config": [], "model": []}
    if not ledger.models.all():
        return swept
    before = now - timedelta(days=older_than_days)

    @cache
    def standing(model: str) -> Standing:
        return _standing(resource_name(stack, model), model, sagemaker, ledger, now)

    for listing in _LISTINGS:
        for made in _made(stack, listing, before, sagemaker):
            if sum(map(len, swept.values())) >= AT_ONCE:
                return swept
            if is_leftover(made, standing(made.model)):
                _delete(sagemaker, listing, made.name)
                swept[made.kind].append(made.name)
    return swept


def _made(stack: str, listing: _Listing, before: datetime, sagemaker: Any) -> Iterator[Made]:
    asked = {
        "NameContains": f"{stack}-",
        f"{listing.since}Before": before,
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
    }
    arn = listing.name.removesuffix("Name") + "Arn"
    pages = sagemaker.get_paginator(listing.operation).paginate(**asked)
    old = [record for page in pages for record in page[listing.records]]  # whole: deleting shifts the pages
    for record in old:
        if record[listing.name].startswith(f"{stack}-") and record[listing.since] < before:
            tags = _tags(sagemaker, record[arn])
            if tags.get("driftwheel:stack") == stack and "driftwheel:model" in tags:
                yield Made(listing.kind, record[listing.name], tags["driftwheel:model"])


def _tags(sagemaker: Any, arn: str) -> dict[str, str]:
    try:
        answer = sagemaker.list_tags(ResourceArn=arn)
    except ClientError as error:
        if _is_gone(error):
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}


def _standing(endpoint: str, model: str, sagemaker: Any, ledger: Ledger, now: datetime) -> Standing:
    lease = ledger.leases.get(model)
    return Standing(
        endpoint=existing(sagemaker, "endpoint", {"EndpointName": endpoint}),
        champions=[row.endpoint_config for row in ledger.champions.history(model)],
        waited_for=[wait.arn for wait in ledger.tokens.all() if wait.model == model],
        is_running=lease is not None and lease.expires_at > now.timestamp(),
    )


def _delete(sagemaker: Any, listing: _Listing, name: str) -> None:
    try:
        getattr(sagemaker, f"delete_{listing.kind}")(**{listing.name: name})
    except ClientError as error:
        if not _is_gone(error):
            raise


def _is_gone(error: ClientError) -> bool:
    said = error.response["Error"]
    return said["Code"] in {"ResourceNotFound", "ValidationException"} and (
        "Could not find" in said["Message"] or "does not exist" in said["Message"]
    )
