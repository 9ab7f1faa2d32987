# ruff: noqa: N803
"""S3 in memory: versioned objects, read by version or whole."""

import hashlib
import io
import itertools
import threading
from pathlib import Path
from typing import Any

from .faults import Faults, refused


class MemoryS3:
    """The few operations the product calls."""

    def __init__(self, faults: Faults) -> None:
        self.versions: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self._faults = faults
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._faults.call(
            "PutObject", lambda: self.keep(Bucket, Key, Body), "s3", Bucket=Bucket, Key=Key
        )
        return answer

    def keep(self, bucket: str, key: str, body: bytes) -> dict[str, Any]:
        """Write a version, as AWS itself does: nothing goes wrong on the way."""
        with self._lock:
            version = f"v{next(self._numbers):06d}"
            self.versions.setdefault((bucket, key), []).append((version, body))
            return {"VersionId": version, "ETag": f'"{hashlib.md5(body).hexdigest()}"'}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:
        def read() -> dict[str, Any]:
            body = self._read(Bucket, Key, VersionId, "GetObject")
            return {"Body": Body(body), "ContentLength": len(body)}

        which = {"Bucket": Bucket, "Key": Key, "VersionId": VersionId}
        answer: dict[str, Any] = self._faults.call("GetObject", read, "s3", **which)
        return answer

    def head_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:
        def read() -> dict[str, Any]:
            return {"ContentLength": len(self._read(Bucket, Key, VersionId, "HeadObject"))}

        which = {"Bucket": Bucket, "Key": Key, "VersionId": VersionId}
        answer: dict[str, Any] = self._faults.call("HeadObject", read, "s3", **which)
        return answer

    def copy_object(self, *, CopySource: dict[str, str], Bucket: str, Key: str) -> dict[str, Any]:
        self._faults.rights.judge(
            "s3", "CopyObject", {"CopySource": CopySource, "Bucket": Bucket, "Key": Key}
        )
        body = self._read(
            CopySource["Bucket"], CopySource["Key"], CopySource.get("VersionId", ""), "CopyObject"
        )
        return self.put_object(Bucket=Bucket, Key=Key, Body=body)

    def copy(self, source: dict[str, str], bucket: str, key: str) -> None:
        self.copy_object(CopySource=source, Bucket=bucket, Key=key)

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        self.put_object(Bucket=bucket, Key=key, Body=Path(path).read_bytes())

    def get_paginator(self, operation: str) -> "MemoryS3":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        self._faults.rights.judge("s3", "ListObjectsV2", {"Bucket": Bucket, "Prefix": Prefix})
        with self._lock:
            there = sorted(self.versions.items())
        found = [
            {
                "Key": key,
                "ETag": f'"{hashlib.md5(versions[-1][1]).hexdigest()}"',
                "Size": len(versions[-1][1]),
            }
            for (bucket, key), versions in there
            if bucket == Bucket and key.startswith(Prefix)
        ]
        return [{"Contents": found}]

    def _read(self, bucket: str, key: str, version: str, operation: str) -> bytes:
        with self._lock:
            for known, body in reversed(self.versions.get((bucket, key), [])):
                if not version or known == version:
                    return body
        raise refused("NoSuchVersion" if version else "NoSuchKey", operation)


class Body(io.BytesIO):
    """A streaming body."""

    def iter_chunks(self, size: int) -> Any:
        return iter(lambda: self.read(size), b"")
