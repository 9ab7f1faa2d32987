"""API calls made for a template's resources: values shaped as the API wants them."""

import json
import threading
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

Validator = Callable[[Any, dict[str, Any]], object]


class Api:
    """The stack's AWS clients: one per service, made once, used by many threads."""

    def __init__(self, session: boto3.Session, endpoint_url: str, validate: Validator | None = None) -> None:
        self._session = session
        self._endpoint_url = endpoint_url
        self._validate = validate
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()  # making a client is not thread-safe, using one is

    def client(self, service: str) -> Any:
        """Answer the client of `service`; it does not retry, because the caller's policy decides that."""
        with self._lock:
            if service not in self._clients:
                config = Config(
                    retries={"total_max_attempts": 1}, max_pool_connections=32, inject_host_prefix=False
                )
                make: Any = self._session.client
                self._clients[service] = make(service, endpoint_url=self._endpoint_url, config=config)
            return self._clients[service]

    def call(self, service: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Call `method` with what of `parameters` is not None, shaped by the service's own model.

        Raises botocore's ParamValidationError or ClientError.
        """
        client = self.client(service)
        operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        given = {name: value for name, value in parameters.items() if value is not None}
        if operation.input_shape is not None:
            given = shaped(given, operation.input_shape)
        if self._validate is not None:
            self._validate(operation, given)
        answer: dict[str, Any] = getattr(client, method)(**given)
        return answer

    def call_or(self, codes: set[str], service: str, method: str, **parameters: Any) -> dict[str, Any] | None:
        """Call as `call` does; answer None when AWS refuses with one of `codes` (it exists already)."""
        try:
            return self.call(service, method, **parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] in codes:
                return None
            raise


def shaped(value: Any, shape: Shape) -> Any:
    """Answer `value` with scalars as `shape` wants them: CloudFormation lets "30" stand for 30 and back.

    An object where the API wants text becomes JSON. What does not fit is left for botocore to refuse.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {k: shaped(v, shape.members[k]) if k in shape.members else v for k, v in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [shaped(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {str(key): shaped(item, shape.value) for key, item in value.items()}
    convert = _SCALARS.get(shape.type_name)
    return convert(value) if convert is not None else value


def as_text(value: Any) -> Any:
    """Answer `value` as CloudFormation writes it into a text property."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value) if isinstance(value, int | float) else value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return value
    return value


def _real(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": as_text,
    "integer": _whole,
    "long": _whole,
    "float": _real,
    "double": _real,
    "boolean": _truth,
}
