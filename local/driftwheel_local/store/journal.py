"""An append-only file of JSON lines that survives the death of the process."""

import base64
import json
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class JournalBrokenError(Exception):
    """When a journal holds something unreadable before its last line; names file and line."""


class Journal:
    """One line per change; a line is in the kernel's hands before the change is acknowledged.

    That outlives kill -9 of the process. It does not outlive the machine: nothing is fsynced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line; OSError (a full disk) leaves the journal as it was."""
        line = encode(record)
        with self._lock:
            size = os.fstat(self._file).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, size)
                raise

    def read(self) -> list[dict[str, Any]]:
        """Read every line. A torn last line was never acknowledged: it is logged and left out."""
        lines = self._path.read_bytes().split(b"\n")
        torn = lines.pop()
        if torn:
            log.warning("%s ends with a torn line of %d bytes, left out", self._path, len(torn))
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(decode(line))
            except ValueError as broken:
                raise JournalBrokenError(
                    f"{self._path}:{number} is not JSON ({broken}); remove that line, or the file"
                ) from broken
        return records

    def rewrite(self, records: Iterable[dict[str, Any]]) -> None:
        """Replace the whole journal by these lines, at once or not at all."""
        fresh = self._path.with_suffix(".new")
        with self._lock:
            fresh.write_bytes(b"".join(encode(record) for record in records))
            fresh.replace(self._path)
            os.close(self._file)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            os.close(self._file)


def encode(record: dict[str, Any]) -> bytes:
    """Write a record as one line; bytes become `{"__bytes__": base64}`."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=_bytes).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read a line back; ValueError when it is not a JSON object."""
    record = json.loads(line, object_hook=_unwrapped)
    if not isinstance(record, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the caller handles broken lines, not types
    return record


def _bytes(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    raise TypeError(f"a journal cannot hold a {type(value).__name__}")


def _unwrapped(found: dict[str, Any]) -> Any:
    text = found.get("__bytes__")
    return base64.b64decode(text) if len(found) == 1 and isinstance(text, str) else found
