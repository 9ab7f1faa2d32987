# ruff: noqa: N803
"""A DynamoDB table in memory: the five operations and the conditions the ledger uses, one item at a time."""

import copy
import operator
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from tests.security.iam import NAMES

from .faults import Faults, refused

Item = dict[str, Any]
TERM = re.compile(r"(attribute_exists|attribute_not_exists)\(\s*(\S+?)\s*\)|(\S+) (=|<=|>=|<>|<) (\S+)")
ON_TABLE = {"service": "dynamodb", "TableName": NAMES["Table"]}
COMPARISONS = {"=": operator.eq, "<=": operator.le, ">=": operator.ge, "<>": operator.ne, "<": operator.lt}


class MemoryTable:
    """Stands where boto3's ``Table`` resource stands."""

    def __init__(self, faults: Faults) -> None:
        self.items: dict[str, dict[str, Item]] = {}
        self._faults = faults
        self._lock = threading.RLock()

    def get_item(self, *, Key: Item, ConsistentRead: bool) -> Item:
        assert ConsistentRead

        def read() -> Item:
            with self._lock:
                item = self.items.get(Key["pk"], {}).get(Key["sk"])
                return {"Item": copy.deepcopy(item)} if item else {}

        found: Item = self._faults.call("GetItem", read, **ON_TABLE)
        return found

    def query(
        self,
        *,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Item,
        ScanIndexForward: bool,
        ConsistentRead: bool,
        Limit: int = 0,
        IndexName: str = "",
        ExclusiveStartKey: Item | None = None,
    ) -> Item:
        assert ConsistentRead
        assert ExclusiveStartKey is None
        assert IndexName in {"", "Pending"}
        prefix, order = ExpressionAttributeValues.get(":sk", ""), "waiting" if IndexName else "sk"

        def read() -> Item:
            with self._lock:
                partition = self.items.get(ExpressionAttributeValues[":pk"], {})
                items = [i for sk, i in partition.items() if sk.startswith(prefix) and order in i]
                items.sort(key=lambda item: item[order], reverse=not ScanIndexForward)
                return {"Items": copy.deepcopy(items[: Limit or None])}

        found: Item = self._faults.call("Query", read, **ON_TABLE, IndexName=IndexName)
        return found

    def put_item(
        self, *, Item: Item, ConditionExpression: str = "", ReturnValuesOnConditionCheckFailure: str = "NONE"
    ) -> Item:
        def write() -> Item:
            with self._lock:
                partition = self.items.setdefault(Item["pk"], {})
                with _shown(partition.get(Item["sk"]), ReturnValuesOnConditionCheckFailure):
                    self._check(partition.get(Item["sk"]), ConditionExpression, {}, {}, "PutItem")
                partition[Item["sk"]] = copy.deepcopy(Item)
                return {}

        answer: dict[str, Any] = self._faults.call("PutItem", write, **ON_TABLE)
        return answer

    def update_item(
        self,
        *,
        Key: Item,
        UpdateExpression: str,
        ExpressionAttributeNames: dict[str, str],
        ExpressionAttributeValues: Item,
        ReturnValues: str,
        ConditionExpression: str = "",
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> Item:
        assert ReturnValues == "ALL_NEW"
        changes, _, removes = UpdateExpression.partition("REMOVE ")
        sets, _, adds = changes.partition("ADD ")

        def write() -> Item:
            with self._lock:
                partition = self.items.setdefault(Key["pk"], {})
                item = partition.get(Key["sk"])
                names, values = ExpressionAttributeNames, ExpressionAttributeValues
                with _shown(item, ReturnValuesOnConditionCheckFailure):
                    self._check(item, ConditionExpression, names, values, "UpdateItem")
                item = dict(item or Key)
                for clause in filter(None, sets.removeprefix("SET ").strip().split(", ")):
                    name, value = clause.split(" = ")
                    item[ExpressionAttributeNames[name]] = ExpressionAttributeValues[value]
                for name in filter(None, removes.split(", ")):
                    item.pop(ExpressionAttributeNames[name], None)
                for clause in filter(None, adds.strip().split(", ")):
                    name, value = clause.split(" ")
                    field = ExpressionAttributeNames[name]
                    item[field] = item.get(field, Decimal(0)) + ExpressionAttributeValues[value]
                partition[Key["sk"]] = item
                return {"Attributes": copy.deepcopy(item)}

        answer: Item = self._faults.call("UpdateItem", write, **ON_TABLE)
        return answer

    def delete_item(
        self,
        *,
        Key: Item,
        ExpressionAttributeNames: dict[str, str],
        ExpressionAttributeValues: Item,
        ConditionExpression: str = "",
    ) -> Item:
        def write() -> Item:
            with self._lock:
                partition = self.items.setdefault(Key["pk"], {})
                names, values = ExpressionAttributeNames, ExpressionAttributeValues
                self._check(partition.get(Key["sk"]), ConditionExpression, names, values, "DeleteItem")
                partition.pop(Key["sk"], None)
                return {}

        answer: Item = self._faults.call("DeleteItem", write, **ON_TABLE)
        return answer

    @staticmethod
    def _check(item: Item | None, condition: str, names: dict[str, str], values: Item, called: str) -> None:
        if not condition:
            return
        holds = []
        for found in TERM.finditer(condition):
            function, argument, left, comparison, right = found.groups()
            if function:
                present = item is not None and names.get(argument, argument) in item
                holds.append(present == (function == "attribute_exists"))
                continue
            value = (item or {}).get(names[left])
            holds.append(value is not None and COMPARISONS[comparison](value, values[right]))
        assert holds, condition
        assert not (" OR " in condition and " AND " in condition), condition
        if not (any(holds) if " OR " in condition else all(holds)):
            raise refused("ConditionalCheckFailedException", called)


@contextmanager
def _shown(item: Item | None, wanted: str) -> Iterator[None]:
    """Show the item a condition failed on to whoever asked for it, as DynamoDB writes it."""
    try:
        yield
    except ClientError as error:
        if wanted == "ALL_OLD" and item is not None:
            shown = {name: TypeSerializer().serialize(value) for name, value in item.items()}
            error.response["Item"] = shown  # type: ignore[typeddict-unknown-key]
        raise
