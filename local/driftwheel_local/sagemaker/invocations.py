"""InvokeEndpoint: which instance answers, what its errors become, what is measured and captured."""

import threading
from collections.abc import Mapping
from typing import Any

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.capture import Capture
from driftwheel_local.sagemaker.endpoint import Endpoint
from driftwheel_local.sagemaker.endpoints import Endpoints
from driftwheel_local.sagemaker.hosting import Answer, Fleet
from driftwheel_local.sagemaker.refusals import Refusal
from driftwheel_local.sagemaker.site import Site

MAX_BODY_BYTES = 6_291_456
_UNSUPPORTED = (
    "TargetModel",
    "TargetContainerHostname",
    "InferenceComponentName",
    "SessionId",
    "EnableExplanations",
)


class Invocations:
    """The sagemaker-runtime side of the world."""

    def __init__(self, site: Site, endpoints: Endpoints, capture: Capture) -> None:
        self._site = site
        self._endpoints = endpoints
        self._capture = capture
        self._lock = threading.Lock()
        self._measured: list[tuple[str, str, int, float]] = []

    def invoke(
        self, endpoint_name: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer an HTTP request to /endpoints/<name>/invocations as (status, headers, body)."""
        try:
            return self._invoke(endpoint_name, headers, body)
        except Refusal as refusal:
            return refusal.response()

    def flush(self) -> None:
        """Hand the metrics of all invocations since the last call to CloudWatch."""
        with self._lock:
            measured, self._measured = self._measured, []
        for endpoint, variant, status, seconds in measured:
            dimensions = {"EndpointName": endpoint, "VariantName": variant}
            values = (
                ("Invocations", 1.0, "Count"),
                ("Invocation4XXErrors", float(400 <= status < 500), "Count"),
                ("Invocation5XXErrors", float(status == 0 or status >= 500), "Count"),
                ("ModelLatency", seconds * 1e6, "Microseconds"),
            )
            for name, value, unit in values:
                self._site.put_metric(
                    namespace="AWS/SageMaker", name=name, value=value, unit=unit, dimensions=dimensions
                )

    def _invoke(
        self, endpoint_name: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        request = self._request(endpoint_name, headers, body)
        endpoint = self._endpoints.serving(endpoint_name)
        chosen = endpoint.traffic.enter(request.get("TargetVariant"))
        if chosen is None:
            name = request.get("TargetVariant", "")
            raise Refusal("ValidationError", f"Variant {name} not found for endpoint {endpoint_name}.")
        fleet, variant = chosen
        try:
            host = variant.pick()
            if host is None:
                raise Refusal("ServiceUnavailable", "The service is currently unavailable.", 503)
            answer = host.invoke(body, _container_headers(headers))
        finally:
            fleet.leave()
        with self._lock:
            self._measured.append((endpoint_name, variant.name, answer.status, answer.seconds))
        if not 200 <= answer.status < 300:
            raise self._model_error(endpoint_name, answer)
        return self._success(endpoint, fleet, variant.name, request, body, answer)

    def _request(self, endpoint_name: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Read the header members of the request and hold them to the service model."""
        operation = validation.operation("sagemaker-runtime", "InvokeEndpoint")
        assert operation.input_shape is not None
        request: dict[str, Any] = {"EndpointName": endpoint_name}
        for name, shape in operation.input_shape.members.items():
            value = headers.get(shape.serialization.get("name", ""))
            if shape.serialization.get("location") == "header" and value is not None:
                request[name] = value
        try:
            validation.validate(operation, {**request, "Body": b""})
        except Refusal as refusal:
            raise Refusal("ValidationError", refusal.message) from refusal
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(
                "ValidationError",
                "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have "
                f"length less than or equal to {MAX_BODY_BYTES}",
            )
        for name in _UNSUPPORTED:
            if name in request:
                raise Refusal("ValidationError", f"{name} does not work in the local runtime; it needs AWS")
        return request

    def _success(
        self,
        endpoint: Endpoint,
        fleet: Fleet,
        variant: str,
        request: Mapping[str, Any],
        body: bytes,
        answer: Answer,
    ) -> tuple[int, dict[str, str], bytes]:
        content_type = answer.headers.get("content-type", "application/octet-stream")
        self._capture.offer(
            endpoint.name,
            variant,
            fleet.config.get("DataCaptureConfig"),
            (body, request.get("ContentType", "application/octet-stream")),
            (answer.body, content_type),
            request.get("InferenceId"),
        )
        response = {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant}
        custom = answer.headers.get("x-amzn-sagemaker-custom-attributes")
        if custom is not None:
            response["X-Amzn-SageMaker-Custom-Attributes"] = custom
        return 200, response, answer.body

    def _model_error(self, endpoint_name: str, answer: Answer) -> Refusal:
        """Answer the 424 that a container's own error becomes."""
        site = self._site
        group = f"/aws/sagemaker/Endpoints/{endpoint_name}"
        text = answer.body.decode("utf-8", "replace")
        side = "client" if 400 <= answer.status < 500 else "server"
        return Refusal(
            "ModelError",
            f'Received {side} error ({answer.status}) from primary with message "{text}". See '
            f"https://{site.region}.console.aws.amazon.com/cloudwatch/home?region={site.region}"
            f"#logEventViewer:group={group} in account {site.account} for more information.",
            424,
            OriginalStatusCode=answer.status,
            OriginalMessage=text,
            LogStreamArn=f"arn:aws:logs:{site.region}:{site.account}:log-group:{group}",
        )


def _container_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Answer the headers a container sees."""
    passed = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id")
    return {name: headers[name] for name in passed if name in headers}
