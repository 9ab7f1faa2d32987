"""AddTags, ListTags and DeleteTags on everything the world keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from driftwheel_local.sagemaker.configs import Shelf
from driftwheel_local.sagemaker.endpoints import Endpoints
from driftwheel_local.sagemaker.refusals import invalid

MAX_TAGS = 50


class Tagged(Protocol):
    """A part whose records carry tags."""

    def tagged(self) -> dict[str, dict[str, Any]]:
        """Answer every record by ARN."""

    def save_tags(self, arn: str) -> None:
        """Write one record after its tags changed."""


class Tags:
    """The tagging operations."""

    def __init__(self, boards: Sequence[Tagged], shelves: Sequence[Shelf], endpoints: Endpoints) -> None:
        self._boards = boards
        self._shelves = shelves
        self._endpoints = endpoints

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations."""
        return {"AddTags": self.add, "ListTags": self.listing, "DeleteTags": self.delete}

    def add(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Add or replace tags."""
        record, save = self._find(request["ResourceArn"])
        tags = {tag["Key"]: tag["Value"] for tag in [*record.get("Tags", []), *request["Tags"]]}
        if len(tags) > MAX_TAGS:
            raise invalid(f"A resource cannot have more than {MAX_TAGS} tags")
        return {"Tags": self._store(record, tags, save)}

    def listing(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer every tag (they fit one page)."""
        record, _ = self._find(request["ResourceArn"])
        return {"Tags": record.get("Tags", [])}

    def of(self, arn: str) -> dict[str, str]:
        """Answer a resource's tags as a mapping; none where there is no such resource."""
        found = [record for known, record, _ in self._resources() if known.lower() == arn.lower()]
        return {tag["Key"]: tag["Value"] for record in found[:1] for tag in record.get("Tags", [])}

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Remove tags by key."""
        record, save = self._find(request["ResourceArn"])
        kept = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
        for key in request["TagKeys"]:
            kept.pop(key, None)
        self._store(record, kept, save)
        return {}

    def _store(
        self, record: dict[str, Any], tags: Mapping[str, str], save: Callable[[], None]
    ) -> list[dict[str, str]]:
        record["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        save()
        stored: list[dict[str, str]] = record["Tags"]
        return stored

    def _find(self, arn: str) -> tuple[dict[str, Any], Callable[[], None]]:
        for known, record, save in self._resources():
            if known.lower() == arn.lower():
                return record, save
        raise invalid(f"The request was rejected because the resource {arn} does not exist.")

    def _resources(self) -> Iterator[tuple[str, dict[str, Any], Callable[[], None]]]:
        for board in self._boards:
            for arn, record in board.tagged().items():
                yield arn, record, partial(board.save_tags, arn)
        for shelf in self._shelves:
            for record in shelf.records():
                name = record.get("ModelName") or record["EndpointConfigName"]
                yield shelf.site.arn(shelf.kind, name), record, partial(shelf.save, name)
        for endpoint in self._endpoints.all():
            yield endpoint.record["EndpointArn"], endpoint.record, endpoint.save
