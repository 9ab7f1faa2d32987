"""Durability of Step Functions executions: one readable file each."""

import hashlib
import logging
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from driftwheel_local.store.journal import Journal, decode, encode

log = logging.getLogger(__name__)

_DATES = ("startDate", "stopDate")


class Executions:
    """`<state machine>/<execution>.json` holds what DescribeExecution says, and the history once closed.

    While an execution runs, its history grows beside it as `<execution>.history.jsonl`; a crash leaves
    both, so the aborted execution still shows how far it came.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._histories: dict[str, Journal] = {}

    def execution_started(self, execution: Mapping[str, Any]) -> None:
        """Keep a new execution."""
        path = self._path(execution["executionArn"])
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, execution)
        history = _history_path(path)
        history.unlink(missing_ok=True)
        with self._lock:
            self._histories[execution["executionArn"]] = Journal(history)

    def history_event(self, execution_arn: str, event: Mapping[str, Any]) -> None:
        """Keep one history event of a running execution; events after its end do not count."""
        with self._lock:
            history = self._histories.get(execution_arn)
            if history is not None:
                history.append(dict(event))

    def execution_closed(self, execution: Mapping[str, Any]) -> None:
        """Keep a closed execution with its history."""
        path = self._path(execution["executionArn"])
        _replace(path, execution)
        with self._lock:
            history = self._histories.pop(execution["executionArn"], None)
        if history is not None:
            history.close()
        _history_path(path).unlink(missing_ok=True)

    def load(self) -> list[dict[str, Any]]:
        """Read every kept execution; one that was running has the history it left behind."""
        records = []
        for path in sorted(self._folder.glob("*/*.json")):
            record = decode(path.read_bytes())
            for name in _DATES:
                if record[name] is not None:
                    record[name] = datetime.fromisoformat(record[name])
            if "history" not in record:
                kept = _history_path(path)
                record["history"] = _read(kept) if kept.exists() else []
            records.append(record)
        return records

    def close(self) -> None:
        """Release the histories of executions still running."""
        with self._lock:
            for history in self._histories.values():
                history.close()
            self._histories.clear()

    def _path(self, execution_arn: str) -> Path:
        machine, name = execution_arn.split(":")[6:8]
        return self._folder / _file_name(machine) / f"{_file_name(name)}.json"


def _read(path: Path) -> list[dict[str, Any]]:
    journal = Journal(path)
    try:
        return journal.read()
    finally:
        journal.close()


def _history_path(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.json')}.history.jsonl")


def _file_name(name: str) -> str:
    # AWS allows any letter of Unicode; 80 of them can be longer than a file name may be.
    return name if name.isascii() else hashlib.sha256(name.encode()).hexdigest()


def _replace(path: Path, execution: Mapping[str, Any]) -> None:
    record = dict(execution)
    for name in _DATES:
        if record[name] is not None:
            record[name] = record[name].isoformat()
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(encode(record))
    fresh.replace(path)
