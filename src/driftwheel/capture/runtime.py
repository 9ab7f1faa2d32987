"""``invoke_endpoint`` that captures what it was asked and answered."""

import io
import uuid
from datetime import UTC, datetime
from typing import Any

from driftwheel.capture.record import OCTETS, Exchange
from driftwheel.capture.writer import CaptureWriter


class CapturingRuntime:
    """Stands where a ``sagemaker-runtime`` client stood; every call but ``invoke_endpoint`` is the client's.

    A request without ``InferenceId`` gets one: a label can only be joined to a request that has a name. The
    answer carries it as ``InferenceId``.
    """

    def __init__(self, client: Any, writer: CaptureWriter) -> None:
        self._client = client
        self._writer = writer

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Ask the endpoint; what its errors are stays as it was, and a refused request is not captured.

        The answer's body is read here, so an answer that breaks off is raised here and not by the reader.
        """
        request = {"InferenceId": str(uuid.uuid4())} | request
        at = datetime.now(UTC)
        given = request.get("Body", b"")
        if hasattr(given, "read"):
            given = given.read()
        sent = given.encode() if isinstance(given, str) else bytes(given)
        answer: dict[str, Any] = self._client.invoke_endpoint(**(request | {"Body": sent}))
        body = answer["Body"].read()
        self._writer.offer(
            Exchange(
                sent,
                request.get("ContentType", OCTETS),
                body,
                answer.get("ContentType", OCTETS),
                request["InferenceId"],
                at,
            ),
            variant=answer.get("InvokedProductionVariant"),
        )
        # botocore's own stream class, as the caller expects it, without needing botocore.
        stream = type(answer["Body"])
        again = io.BytesIO(body)
        answer["Body"] = again if stream is io.BytesIO else stream(again, len(body))
        return answer | {"InferenceId": request["InferenceId"]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
