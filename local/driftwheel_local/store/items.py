"""Durability of DynamoDB items."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType

from driftwheel_local.store.changes import Changes
from driftwheel_local.store.journal import Journal, decode, encode

log = logging.getLogger(__name__)

# Table name and the item's key attributes as JSON text.
ItemName = tuple[str, str]


class Items:
    """One journal line per changed item, holding the whole item, or null for a deleted one.

    Time to live: moto never deletes expired items, as AWS may take days to; readers must filter.
    """

    def __init__(self, folder: Path, backend: Callable[[], Any]) -> None:
        self._backend = backend
        self._journal = Journal(folder / "items.jsonl")
        self._kept: dict[ItemName, dict[str, Any]] = {}
        self._restoring = False
        self.changes: Changes[ItemName] = Changes(self._write)

    def load(self) -> None:
        """Read what earlier processes kept and compact the journal."""
        for line in self._journal.read():
            name = (line["table"], line["key"])
            if line["key"] == "":
                self._kept = {other: item for other, item in self._kept.items() if other[0] != line["table"]}
            elif line["item"] is None:
                self._kept.pop(name, None)
            else:
                self._kept[name] = line["item"]
        self._journal.rewrite(_line(name, item) for name, item in self._kept.items())

    def restore(self) -> None:
        """Put every kept item back; items of absent tables stay kept, with a warning."""
        backend = self._backend()
        absent: set[str] = set()
        with self.changes.scope():
            self._restoring = True
            for (table_name, key), item in self._kept.items():
                table = backend.tables.get(table_name)
                if table is None:
                    absent.add(table_name)
                elif _find(table, decode(key.encode())) is None:
                    table.put_item(item)
            self._restoring = False
        for name in sorted(absent):
            log.warning("table %s does not exist: its items stay on disk, unreachable", name)
        self._kept = {}

    def touch(self, table: Any, attributes: dict[str, Any]) -> None:
        """Note, inside a scope, that the item with these key attributes (typed values) may have changed."""
        if self._restoring:
            return
        key = {name: _json(DynamoType(attributes[name])) for name in _key_names(table)}
        self.changes.touch((table.name, encode(key).decode().strip()))

    def drop(self, table_name: str) -> None:
        """Note, inside a scope, that a table is gone with all its items."""
        self.changes.touch((table_name, ""))

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()

    def _write(self, name: ItemName) -> None:
        table = self._backend().tables.get(name[0])
        item = None if table is None or name[1] == "" else _find(table, decode(name[1].encode()))
        attributes = None if item is None else {key: _json(value) for key, value in item.attrs.items()}
        self._journal.append(_line(name, attributes))


def _key_names(table: Any) -> list[str]:
    return [name for name in (table.hash_key_attr, table.range_key_attr) if name is not None]


def _find(table: Any, key: dict[str, Any]) -> Any:
    values = [DynamoType(key[name]) for name in _key_names(table)]
    return table.get_item(*values)


def _json(value: Any) -> dict[str, Any]:
    """Write a typed value in DynamoDB's own JSON."""
    if value.is_map():
        return {value.type: {name: _json(inner) for name, inner in value.value.items()}}
    if value.is_list():
        return {value.type: [_json(inner) for inner in value.value]}
    return {value.type: value.value}


def _line(name: ItemName, item: dict[str, Any] | None) -> dict[str, Any]:
    return {"table": name[0], "key": name[1], "item": item}
