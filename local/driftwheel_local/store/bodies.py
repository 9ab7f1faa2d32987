"""Object bodies as files named by their digest."""

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path


class BodyFile:
    """A read-only view of a body on disk, standing in for the buffer moto keeps in memory.

    It opens the file for each read: thousands of objects must not hold thousands of descriptors.
    """

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._path = path
        self._offset = offset
        self._size = size
        self._place = threading.local()

    def seek(self, position: int) -> int:
        """Move this thread's reading position."""
        self._place.position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes from this thread's position."""
        position = getattr(self._place, "position", 0)
        wanted = self._size - position if size < 0 else min(size, self._size - position)
        if wanted <= 0:
            return b""
        with self._path.open("rb") as file:
            file.seek(self._offset + position)
            found = file.read(wanted)
        self._place.position = position + len(found)
        return found

    def __deepcopy__(self, _memo: object) -> "BodyFile":
        return self

    def close(self) -> None:
        """Keep the file: other versions or copies may have the same body (see `Bodies.sweep`)."""


class Bodies:
    """A folder of bodies; equal bodies are kept once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, body: bytes) -> str:
        """Keep a body and answer its SHA-256 in hex."""
        digest = hashlib.sha256(body).hexdigest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
            part.write_bytes(body)
            part.replace(path)
        return digest

    def get(self, digest: str, size: int, offset: int = 0) -> BodyFile:
        """Answer a view of `size` bytes of a kept body."""
        return BodyFile(self._path(digest), offset, size)

    def has(self, digest: str) -> bool:
        """Tell whether a body is kept."""
        return self._path(digest).exists()

    def sweep(self, wanted: Iterable[str]) -> int:
        """Remove bodies nobody refers to, and torn ones; answer how many."""
        keep = set(wanted)
        removed = 0
        for path in self._folder.glob("*/*"):
            if path.name not in keep:
                path.unlink()
                removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest
