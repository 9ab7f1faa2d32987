"""Objects in S3, read by version and published whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from driftwheel.errors import ArtifactInvalid, ObjectGone
from driftwheel.layout import S3Uri

GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"})
"""How S3 says that a version is no more; a delete marker answers MethodNotAllowed."""


class Objects:
    """Reads and writes whole objects; large ones go through files, never through memory."""

    def __init__(self, client: Any) -> None:
        self._s3 = client

    def read(self, uri: S3Uri) -> bytes:
        """Read a small object; raises ArtifactInvalid when it is not there."""
        return bytes(self.open(uri)[0].read())

    def open(self, uri: S3Uri) -> tuple[Any, int]:
        """Open an object to be read once, and say its bytes; raises ArtifactInvalid without it."""
        try:
            answer = self._s3.get_object(Bucket=uri.bucket, Key=uri.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise ArtifactInvalid(f"{uri} is missing") from error
            raise
        return answer["Body"], int(answer["ContentLength"])

    def read_version(self, bucket: str, key: str, version: str) -> bytes:
        """Read one version of a small object; raises ObjectGone when it was deleted meanwhile."""
        body: bytes = self._body(bucket, key, version).read()
        return body

    def read_json(self, uri: S3Uri) -> Any:
        """Read a JSON object; raises ArtifactInvalid when it is missing or not JSON."""
        try:
            return json.loads(self.read(uri))
        except ValueError as error:
            raise ArtifactInvalid(f"{uri} is not JSON: {error}") from error

    def write(self, uri: S3Uri, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object; S3 shows it whole or not at all."""
        self._s3.put_object(Bucket=uri.bucket, Key=uri.key, Body=body, ContentType=content_type)

    def write_json(self, uri: S3Uri, document: Any) -> None:
        """Write a JSON object with sorted keys, so that equal documents are equal bytes."""
        self.write(uri, self.text(document).encode(), "application/json")

    def exists(self, uri: S3Uri) -> bool:
        """Tell whether an object is there."""
        try:
            self._s3.head_object(Bucket=uri.bucket, Key=uri.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        return True

    def size(self, bucket: str, key: str, version: str) -> int | None:
        """Ask how many bytes a version has; None when it is gone."""
        try:
            return int(self._s3.head_object(**_version(bucket, key, version))["ContentLength"])
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return None
            raise

    def download(self, bucket: str, key: str, version: str, path: Path) -> None:
        """Stream one version to a file in one GET; raises ObjectGone when it was deleted meanwhile."""
        body = self._body(bucket, key, version)
        with path.open("wb") as file:
            for chunk in body.iter_chunks(1 << 20):
                file.write(chunk)

    def stream(self, bucket: str, key: str, version: str = "") -> Iterator[bytes]:
        """Read an object in chunks, as it arrives; raises ObjectGone when it was deleted meanwhile."""
        yield from self._body(bucket, key, version).iter_chunks(1 << 20)

    def _body(self, bucket: str, key: str, version: str) -> Any:
        try:
            return self._s3.get_object(**_version(bucket, key, version))["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise ObjectGone(f"s3://{bucket}/{key} version {version} is gone") from error
            raise

    @staticmethod
    def text(document: Any) -> str:
        """Write JSON with sorted keys, so that equal documents are equal text."""
        return json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)

    def upload(self, path: Path, uri: S3Uri) -> None:
        """Stream a file to S3, in parts when it is large."""
        self._s3.upload_file(str(path), uri.bucket, uri.key)

    def stage(self, bucket: str, key: str, version: str, target: S3Uri) -> bool:
        """Copy one version inside S3 however large, in parts where it must be; False when it is gone."""
        source = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
        try:
            self._s3.copy(source, target.bucket, target.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        return True

    def copy(self, bucket: str, key: str, version: str, target: S3Uri) -> bool:
        """Copy one version inside S3, bytes untouched; False when it is gone."""
        try:
            self._s3.copy_object(
                CopySource={"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {}),
                Bucket=target.bucket,
                Key=target.key,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        return True

    def list(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        """List the objects under a prefix: key, ETag, size, last modified."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry for page in pages for entry in page.get("Contents", [])]


def _version(bucket: str, key: str, version: str) -> dict[str, str]:
    return {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
