"""S3 objects in and out of job folders, as SageMaker's agent beside the container moves them."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

_CHUNK = 1024 * 1024


class DataFault(Exception):
    """When job input is missing, empty or unreadable; the message becomes the job's FailureReason."""


def split_uri(uri: str) -> tuple[str, str]:
    """Answer (bucket, key) of an s3:// URI."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "s3" or not parts.netloc:
        raise DataFault(f"ClientError: {uri!r} is not an s3:// URI")
    key = parts.path.lstrip("/")
    return parts.netloc, f"{key}?{parts.query}" if parts.query else key


def join_uri(uri: str, *parts: str) -> str:
    """Answer `uri` with `parts` appended, without doubled slashes."""
    return "/".join([uri.rstrip("/"), *parts])


def download_file(s3: Any, uri: str, path: Path) -> None:
    """Copy one object to `path`; raises DataFault when it does not exist."""
    bucket, key = split_uri(uri)
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        raise DataFault(f"ClientError: Data download failed:{_reason(error)}: {uri}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        for chunk in body.iter_chunks(_CHUNK):
            target.write(chunk)


def download_prefix(s3: Any, uri: str, folder: Path) -> int:
    """Copy every object whose key starts with `uri`, keeping the names below it; answer their number.

    Raises DataFault when there is none, in the words SageMaker uses.
    """
    bucket, prefix = split_uri(uri)
    count = 0
    for key in _keys(s3, bucket, prefix, uri):
        if key.endswith("/"):
            continue  # the marker objects consoles make for "folders"
        download_file(s3, f"s3://{bucket}/{key}", _inside(folder, _relative(key, prefix)))
        count += 1
    if not count:
        raise DataFault(
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
            f"source. Please ensure that the bucket exists in the selected region and that objects exist "
            "under that S3 prefix."
        )
    return count


def download_manifest(s3: Any, uri: str, folder: Path) -> int:
    """Copy the objects a ManifestFile names: `[{"prefix": "s3://…/"}, "name", …]`; answer their number."""
    manifest_path = folder.with_name(f".{folder.name}.manifest")
    download_file(s3, uri, manifest_path)
    try:
        entries = json.loads(manifest_path.read_text(encoding="utf-8"))
        prefix, names = entries[0]["prefix"], entries[1:]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataFault(
            f'ClientError: Data download failed:manifest {uri} must be a JSON list [{{"prefix": "s3://…"}}, '
            f'"name", …] ({error})'
        ) from error
    finally:
        manifest_path.unlink(missing_ok=True)
    if not names or not all(isinstance(name, str) for name in names):
        raise DataFault(f"ClientError: Data download failed:manifest {uri} names no objects")
    for name in names:
        download_file(s3, f"{prefix}{name}", _inside(folder, name))
    return len(names)


def upload_file(s3: Any, path: Path, uri: str) -> None:
    """Put one file as one object in a single PUT: one event, never half an object; raises DataFault."""
    bucket, key = split_uri(uri)
    try:
        with path.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body)
    except ClientError as error:
        raise DataFault(f"ClientError: Artifact upload failed:{_reason(error)}: {uri}") from error


def upload_folder(s3: Any, folder: Path, uri: str, seen: dict[str, tuple[int, int]] | None = None) -> int:
    """Put every file below `folder` under `uri`; with `seen`, only those changed since the last call.

    A file that is deleted meanwhile is left out: with `seen` the folder is in use.
    """
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        try:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            if seen is not None and seen.get(name) == mark:
                continue
            upload_file(s3, path, join_uri(uri, name))
        except FileNotFoundError:
            continue
        if seen is not None:
            seen[name] = mark
        count += 1
    return count


def _keys(s3: Any, bucket: str, prefix: str, uri: str) -> Iterator[str]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"]
    except ClientError as error:
        raise DataFault(f"ClientError: Data download failed:{_reason(error)}: {uri}") from error


def _relative(key: str, prefix: str) -> str:
    """Below a folder prefix the rest of the key, for a bare name prefix the name from its last slash on."""
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(f"{prefix}/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def _inside(folder: Path, name: str) -> Path:
    relative = PurePosixPath(name.lstrip("/"))
    if ".." in relative.parts or not relative.parts:
        raise DataFault(f"ClientError: Data download failed:key {name!r} does not fit below a channel folder")
    return folder.joinpath(relative)


def _reason(error: ClientError) -> str:
    details = error.response.get("Error", {})
    return f"{details.get('Code', 'Error')} {details.get('Message', '')}".strip()
