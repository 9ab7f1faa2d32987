"""Durability of S3 objects: every version of every key, delete markers, tags, metadata."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.s3.models import FakeDeleteMarker, FakeKey

from driftwheel_local.store.bodies import Bodies
from driftwheel_local.store.changes import Changes
from driftwheel_local.store.journal import Journal

log = logging.getLogger(__name__)

# Members of moto's key that a client can see, by the name they are kept under.
_PLAIN = (
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
    "checksum_algorithm",
    "website_redirect_location",
)
ObjectName = tuple[str, str]


class Objects:
    """Bodies by digest plus one journal line per changed key, holding all versions of that key.

    Not kept: multipart uploads in progress (clients start again) and object ACLs (private after a restart).
    """

    def __init__(self, folder: Path, backend: Callable[[], Any]) -> None:
        self._backend = backend
        self._bodies = Bodies(folder / "bodies")
        self._journal = Journal(folder / "objects.jsonl")
        self._kept: dict[ObjectName, list[dict[str, Any]]] = {}
        self.changes: Changes[ObjectName] = Changes(self._write)

    def load(self) -> None:
        """Read what earlier processes kept; compact the journal and remove bodies nobody refers to."""
        for line in self._journal.read():
            self._kept[line["bucket"], line["key"]] = line["versions"]
        self._kept = {name: versions for name, versions in self._kept.items() if versions}
        self._journal.rewrite(_line(name, versions) for name, versions in self._kept.items())
        self._bodies.sweep(
            version["body"] for versions in self._kept.values() for version in versions if "body" in version
        )

    def restore(self) -> None:
        """Put every kept key back into its bucket; keys of absent buckets stay kept, with a warning."""
        backend = self._backend()
        absent: set[str] = set()
        for (bucket_name, key), versions in self._kept.items():
            bucket = backend.buckets.get(bucket_name)
            if bucket is None:
                absent.add(bucket_name)
            elif key not in bucket.keys:
                bucket.keys.setlist(key, self._versions(backend, bucket_name, key, versions))
        for name in sorted(absent):
            log.warning("bucket %s does not exist: its objects stay on disk, unreachable", name)
        self._kept = {}

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()

    def _write(self, name: ObjectName) -> None:
        backend = self._backend()
        bucket = backend.buckets.get(name[0])
        versions = [] if bucket is None else bucket.keys.getlist(name[1], [])
        self._journal.append(_line(name, [self._record(backend, version) for version in versions]))

    def _record(self, backend: Any, version: Any) -> dict[str, Any]:
        if isinstance(version, FakeDeleteMarker):
            return {"marker": version.version_id, "modified": version.last_modified.isoformat()}
        body = version.__dict__.get("driftwheel_body")
        if body is None:
            body = self._keep_body(version)
        tags = backend.tagger.get_tag_dict_for_resource(version.arn)
        return {
            "id": version.version_id,
            "modified": version.last_modified.isoformat(),
            "body": body,
            "size": version.contentsize,
            "etag": version.etag.strip('"'),
            "class": version.storage_class,
            "metadata": dict(version.metadata),
            "tags": tags,
        } | {name: value for name in _PLAIN if (value := getattr(version, name)) is not None}

    def _keep_body(self, version: Any) -> str:
        """Move a body from moto's memory to disk; the parts of a multipart upload become views of it."""
        digest = self._bodies.put(version.value)
        _ = version.etag  # computed from the buffer, and only once
        swap_buffer(version, self._bodies.get(digest, version.contentsize))
        if version.multipart is not None:
            parts = [version.multipart.parts[number] for number in version.multipart.partlist]
            if sum(part.contentsize for part in parts) == version.contentsize:
                offset = 0
                for part in parts:
                    swap_buffer(part, self._bodies.get(digest, part.contentsize, offset))
                    offset += part.contentsize
        version.driftwheel_body = digest
        return digest

    def _versions(self, backend: Any, bucket: str, key: str, records: list[dict[str, Any]]) -> list[Any]:
        versions: list[Any] = []
        for record in records:
            if "marker" in record:
                marker: Any = FakeDeleteMarker(
                    key=versions[-1] if versions else _nameless(backend, bucket, key)
                )
                marker.last_modified = datetime.fromisoformat(record["modified"])
                set_version_id(marker, record["marker"])
                versions.append(marker)
            elif not self._bodies.has(record["body"]):
                log.error("s3://%s/%s version %s lost its body, left out", bucket, key, record["id"])
            else:
                versions.append(self._version(backend, bucket, key, record))
        return versions

    def _version(self, backend: Any, bucket: str, key: str, record: dict[str, Any]) -> Any:
        version: Any = FakeKey(
            name=key,
            value=b"",
            account_id=backend.account_id,
            region_name=backend.region_name,
            storage=record["class"],
            etag=record["etag"],
            is_versioned=record["id"] != "null",
            version_id=record["id"],
            bucket_name=bucket,
        )
        swap_buffer(version, self._bodies.get(record["body"], record["size"]))
        version.contentsize = record["size"]
        version.driftwheel_body = record["body"]
        version.last_modified = datetime.fromisoformat(record["modified"])
        version.set_metadata(dict(record["metadata"]))
        for name in _PLAIN:
            if name in record:
                setattr(version, name, record[name])
        if record["tags"]:
            backend.tagger.tag_resource(
                version.arn, [{"Key": name, "Value": text} for name, text in record["tags"].items()]
            )
        return version


def swap_buffer(version: Any, body: Any) -> None:
    """Let a key of moto read its body from elsewhere, and free what it held."""
    with version.lock:
        before, version._value_buffer = version._value_buffer, body  # noqa: SLF001
        version.driftwheel_on_disk = True
    before.close()


def set_version_id(marker: Any, version_id: str) -> None:
    """Give a delete marker the id it had."""
    marker._version_id = version_id  # noqa: SLF001


def _nameless(backend: Any, bucket: str, key: str) -> Any:
    return FakeKey(
        name=key,
        value=b"",
        account_id=backend.account_id,
        region_name=backend.region_name,
        bucket_name=bucket,
    )


def _line(name: ObjectName, versions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bucket": name[0], "key": name[1], "versions": versions}
