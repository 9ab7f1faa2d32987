"""The table itself: the few DynamoDB operations the ledger is made of."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

Item = dict[str, Any]
Row = TypeVar("Row")

MARK = "written"
"""Names the call that wrote an item: a call whose answer was lost is sent again and finds its own write."""


class Table:
    """One DynamoDB table, given as a boto3 ``Table`` resource.

    The SDK sends a request again when its answer was lost; a conditional write that was done then fails its
    own condition. Each carries a mark, so that its repetition is told apart from somebody else's write.
    """

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def get(self, pk: str, sk: str) -> Item | None:
        """Read one item, strongly consistent."""
        answer = self._resource.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def query(
        self, pk: str, prefix: str = "", *, newest_first: bool = False, limit: int = 0, index: str = ""
    ) -> Iterator[Item]:
        """Read a partition in key order, page by page; ``limit`` 0 means all.

        ``index`` names a local secondary index: it holds the items of the partition that have its sort key,
        in that key's order, and is as consistent as the table itself.
        """
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk" + (" AND begins_with(sk, :sk)" if prefix else ""),
            "ExpressionAttributeValues": {":pk": pk} | ({":sk": prefix} if prefix else {}),
            "ScanIndexForward": not newest_first,
            "ConsistentRead": True,
        }
        if limit:
            request["Limit"] = limit
        if index:
            request["IndexName"] = index
        seen = 0
        while True:
            page = self._resource.query(**request)
            for item in page["Items"]:
                yield plain(item)
                seen += 1
                if limit and seen >= limit:
                    return
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def put_new(self, item: Mapping[str, Any]) -> bool:
        """Write an item that must not exist yet; False when it does."""
        mark = uuid.uuid4().hex
        request = {"Item": stored(item) | {MARK: mark}, "ConditionExpression": "attribute_not_exists(pk)"}
        try:
            self._resource.put_item(**request, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        except ClientError as error:
            return _stands(error).get(MARK) == mark
        return True

    def put(self, item: Mapping[str, Any]) -> None:
        """Write an item whatever was there: only for items whose content is decided by their key."""
        self._resource.put_item(Item=stored(item))

    def update(
        self,
        pk: str,
        sk: str,
        changes: Mapping[str, Any],
        *,
        condition: str,
        values: Mapping[str, Any] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
    ) -> Item | None:
        """Change fields of an item under a condition; None when the condition does not hold.

        ``condition`` names fields as ``#field`` and values as ``:name`` (from ``values``).
        """
        mark = uuid.uuid4().hex
        changes = {**changes, MARK: mark}
        names = {f"#{name}": name for name in (*changes, *(add or {}), *remove)}
        names |= {
            word: word[1:] for word in condition.replace("(", " ").replace(")", " ").split() if word[0] == "#"
        }
        names = {word.rstrip(","): name.rstrip(",") for word, name in names.items()}
        expression = "SET " + ", ".join(f"#{name} = :new_{name}" for name in changes)
        if add:
            expression += " ADD " + ", ".join(f"#{name} :add_{name}" for name in add)
        if remove:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in remove)
        bound = {f":new_{k}": v for k, v in changes.items()} | {
            f":add_{k}": v for k, v in (add or {}).items()
        }
        bound |= {f":{k}": v for k, v in (values or {}).items()}
        try:
            answer = self._resource.update_item(
                Key={"pk": pk, "sk": sk},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=stored(bound),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            stands = _stands(error)
            return plain(stands) if stands.get(MARK) == mark else None
        return plain(answer["Attributes"])

    def delete(self, pk: str, sk: str, *, condition: str, values: Mapping[str, Any]) -> bool:
        """Remove an item under a condition; False when the condition does not hold."""
        names = {word: word[1:] for word in condition.split() if word[0] == "#"}
        try:
            self._resource.delete_item(
                Key={"pk": pk, "sk": sk},
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=stored({f":{k}": v for k, v in values.items()}),
            )
        except ClientError as error:
            _stands(error)
            return False
        return True


def _stands(error: ClientError) -> Item:
    """Give the item a condition failed on, as far as the request asked for it; raise any other error."""
    response: dict[str, Any] = dict(error.response)
    if response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    return {k: TypeDeserializer().deserialize(v) for k, v in response.get("Item", {}).items()}


def stored(item: Mapping[str, Any]) -> Item:
    """Prepare values for DynamoDB: it takes Decimals, never floats, and no None."""
    return {k: _decimal(v) for k, v in item.items() if v is not None}


def plain(item: Mapping[str, Any]) -> Item:
    """Bring values back from DynamoDB, without the mark: whole Decimals are ints, others floats."""
    return {k: _number(v) for k, v in item.items() if k != MARK}


def row_of(kind: Callable[..., Row], item: Mapping[str, Any]) -> Row:
    """Build a row of a dataclass; what it has no field for is left out: keys, and what a later version wrote.

    A stack that is taken back to an older version goes on with the ledger of the newer one.
    """
    names = _fields(kind)
    return kind(**{name: value for name, value in item.items() if name in names})


@cache
def _fields(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def _decimal(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_float=Decimal)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_number(v) for v in value]
    if isinstance(value, dict):
        return {k: _number(v) for k, v in value.items()}
    return value
