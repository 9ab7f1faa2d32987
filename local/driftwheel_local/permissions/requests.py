"""A signed HTTP request read back as the call it was: service, operation, parameters."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.parsers import RpcV2CBORParser

UNKNOWN = "?"
"""The operation of a request that is not recognised: no role is allowed it."""

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[^/]+/([^/]+)/([^/]+)/aws4_request")
_VIRTUAL_HOST = re.compile(r"^(?P<bucket>.+)\.s3[.-]")


@dataclass(frozen=True)
class Caller:
    """Who signed, for which service (by its signing name) and region."""

    access_key: str
    region: str
    service: str


Protocol = Literal["json", "cbor", "query", "rest-xml"]
"""How the answer is written."""


@dataclass(frozen=True)
class Call:
    """One API call; `parameters` hold what its rights depend on, not always everything."""

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"
    protocol: Protocol = "json"


def caller_of(authorization: str, query: str = "") -> Caller | None:
    """Read who signed from the Authorization header or a presigned URL; None when nobody did."""
    presigned = parse_qs(query).get("X-Amz-Credential", [""])[0]
    found = _CREDENTIAL.search(authorization) or _CREDENTIAL.search(f"Credential={presigned}")
    return Caller(*found.groups()) if found else None


def needs_body(service: str, path: str) -> bool:
    """Decide whether the operation or its parameters stand in the body: S3's are in the URL and headers."""
    return service != "s3" and not path.startswith("/endpoints/")


def call_of(caller: Caller, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Recognise a request; `headers` by lower-case name. The operation of any other one is UNKNOWN."""
    parts, protocol = urlsplit(url), _protocol(caller.service, headers)
    path = unquote(parts.path)
    if caller.service == "s3":
        operation, parameters = _s3(method, parts.netloc, path, parts.query, headers)
    elif caller.service == "sagemaker" and path.startswith("/endpoints/"):
        is_known = method == "POST" and path.endswith("/invocations")
        operation = "InvokeEndpoint" if is_known else UNKNOWN
        parameters = {"EndpointName": path.split("/")[2]}
    elif caller.service == "lambda":
        operation, parameters = _lambda(method, path)
    elif protocol == "json":
        operation, parameters = (
            headers.get("x-amz-target", UNKNOWN).rpartition(".")[2],
            json.loads(body or b"{}"),
        )
    elif protocol == "cbor":
        operation, parameters = path.rpartition("/")[2], _cbor(body)
    else:
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        operation, parameters = form.pop("Action", UNKNOWN), form
    return Call(caller.service, operation, parameters, caller.region, protocol)


def _protocol(service: str, headers: Mapping[str, str]) -> Protocol:
    if service == "s3":
        return "rest-xml"
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor"
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "query" if is_form else "json"


def _cbor(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    parsed: dict[str, Any] = RpcV2CBORParser().parse_data_item(io.BufferedReader(io.BytesIO(body)))
    return parsed


def _lambda(method: str, path: str) -> tuple[str, dict[str, Any]]:
    found = re.fullmatch(r"/2015-03-31/functions/([^/]+)/invocations", path)
    if method != "POST" or found is None:
        return UNKNOWN, {}
    return "Invoke", {"FunctionName": found.group(1)}


_OBJECT_CALLS = {
    ("GET", frozenset()): "GetObject",
    ("GET", frozenset({"versionId"})): "GetObject",
    ("HEAD", frozenset()): "HeadObject",
    ("HEAD", frozenset({"versionId"})): "HeadObject",
    ("PUT", frozenset()): "PutObject",
    ("PUT", frozenset({"partNumber", "uploadId"})): "UploadPart",
    ("POST", frozenset({"uploads"})): "CreateMultipartUpload",
    ("POST", frozenset({"uploadId"})): "CompleteMultipartUpload",
    ("DELETE", frozenset({"uploadId"})): "AbortMultipartUpload",
    ("DELETE", frozenset()): "DeleteObject",
    ("DELETE", frozenset({"versionId"})): "DeleteObject",
}
_HARMLESS = re.compile(r"x-id|x-amz-|X-Amz-|response-")


def _s3(
    method: str, host: str, path: str, query: str, headers: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    virtual = _VIRTUAL_HOST.match(host)
    bucket, _, key = (
        (virtual["bucket"], "", path[1:]) if virtual is not None else path.removeprefix("/").partition("/")
    )
    given = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    parameters: dict[str, Any] = {"Bucket": bucket}
    names = frozenset(name for name in given if not _HARMLESS.match(name))
    if not key:
        if method == "GET" and given.get("list-type") == "2":
            return "ListObjectsV2", parameters | {"Prefix": given.get("prefix", "")}
        return ("HeadBucket", parameters) if method == "HEAD" and not names else (UNKNOWN, parameters)
    parameters |= {"Key": key} | ({"VersionId": given["versionId"]} if "versionId" in given else {})
    operation = _OBJECT_CALLS.get((method, names), UNKNOWN)
    source = headers.get("x-amz-copy-source")
    if source is not None:
        origin, _, version = unquote(source).removeprefix("/").partition("?versionId=")
        source_bucket, _, source_key = origin.partition("/")
        operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, UNKNOWN)
        parameters["CopySource"] = {"Bucket": source_bucket, "Key": source_key} | (
            {"VersionId": version} if version else {}
        )
    return operation, parameters
