"""moto's Lambda backend with running functions: Invoke, event source mappings and what moto forgets."""

import base64
import json
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction
from moto.core.exceptions import JsonRESTError
from moto.sqs.models import sqs_backends

from driftwheel_local.lambdas import (
    FunctionNotFoundError,
    InvalidPayloadError,
    LambdaRunner,
    PayloadTooLargeError,
)
from driftwheel_local.worker_pool import ThrottledError
from driftwheel_local.workers import TAIL_BYTES

KEPT_SETTINGS = {"DeadLetterConfig": "dead_letter_config", "LoggingConfig": "logging_config"}
"""Members of a function's configuration that moto drops, and where we keep them on its record."""


class LambdaError(JsonRESTError):
    """One of AWS's refusals, with its HTTP status."""

    def __init__(self, error_type: str, message: str, status: int = 400) -> None:
        super().__init__(error_type, message)
        self.code = status


class LocalLambdaBackend(LambdaBackend):
    """The backend that `patches.patch_lambda` gives to moto; `runner` is set there."""

    runner: LambdaRunner

    def create_function(self, spec: dict[str, Any]) -> LambdaFunction:
        """Create a function and keep the settings moto drops."""
        if spec.get("PackageType", "Zip") != "Zip":
            raise LambdaError("InvalidParameterValueException", "Only zip packages run locally.")
        record = super().create_function(spec)
        _keep_settings(self.get_function(spec["FunctionName"]), spec)
        return record

    def update_function_configuration(
        self, function_name: str, qualifier: str, body: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Change a function; its workers are replaced at the next call."""
        record = self.get_function(function_name, qualifier)
        _keep_settings(record, body)
        if "EphemeralStorage" in body:
            record.ephemeral_storage = body["EphemeralStorage"]["Size"]
        answer: dict[str, Any] | None = super().update_function_configuration(function_name, qualifier, body)
        return answer

    def put_function_event_invoke_config(self, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Replace the asynchronous configuration: moto would append and go on answering the first."""
        record = self.get_function(function_name)
        record.event_invoke_config = []
        answer: dict[str, Any] = super().put_function_event_invoke_config(function_name, config)
        return answer

    def update_function_event_invoke_config(
        self, function_name: str, config: dict[str, Any]
    ) -> dict[str, Any]:
        """Change only what `config` names."""
        record = self.get_function(function_name)
        present = record.event_invoke_config[-1].config if record.event_invoke_config else {}
        return self.put_function_event_invoke_config(function_name, present | config)

    def invoke(
        self,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: Any,
    ) -> bytes:
        """Run the function, accept the event, or only check (DryRun)."""
        record = self.get_function(function_name, qualifier)
        kind = headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        if kind not in ("RequestResponse", "Event", "DryRun"):
            raise LambdaError("InvalidParameterValueException", f"Unknown invocation type {kind}.")
        if kind == "DryRun":
            return b""
        payload = body if isinstance(body, bytes) else (body or "").encode()
        try:
            done = self.runner.invoke(record.function_arn, payload, asynchronous=kind == "Event")
        except FunctionNotFoundError as error:
            raise LambdaError("ResourceNotFoundException", str(error), 404) from error
        except PayloadTooLargeError as error:
            raise LambdaError("RequestTooLargeException", str(error), 413) from error
        except InvalidPayloadError as error:
            raise LambdaError("InvalidRequestContentException", str(error)) from error
        except ThrottledError as error:
            raise _throttled(error) from error
        response_headers["x-amzn-RequestId"] = done.request_id
        if kind == "RequestResponse":
            response_headers["X-Amz-Executed-Version"] = str(record.version)
            response_headers["x-amz-log-result"] = base64.b64encode(done.log.encode()[-TAIL_BYTES:]).decode()
        if done.function_error is not None:
            response_headers["X-Amz-Function-Error"] = done.function_error
        response_headers["Content-Length"] = str(len(done.payload))
        return done.payload

    def create_event_source_mapping(self, spec: dict[str, Any]) -> EventSourceMapping:
        """Map a queue to a function and start to poll it."""
        self._refuse_mapping(spec)
        mapping = super().create_event_source_mapping(spec)
        # moto would now run the function inside SendMessage, one message at a time.
        for queue in sqs_backends[self.account_id][self.region_name].queues.values():
            queue.lambda_event_source_mappings.clear()
        self.runner.pollers.apply(mapping)
        return mapping

    def update_event_source_mapping(self, uuid: str, spec: dict[str, Any]) -> EventSourceMapping | None:
        """Change a mapping; a disabled one stops polling after the batch at hand."""
        mapping = super().update_event_source_mapping(uuid, spec)
        if mapping is not None:
            self.runner.pollers.apply(mapping)
        return mapping

    def delete_event_source_mapping(self, uuid: str) -> EventSourceMapping | None:
        """Delete a mapping and stop its poller."""
        mapping = super().delete_event_source_mapping(uuid)
        if mapping is not None:
            self.runner.pollers.stop(uuid)
        return mapping

    def _refuse_mapping(self, spec: dict[str, Any]) -> None:
        """Refuse what AWS refuses, and what this runtime would ignore."""
        for name in ("FilterCriteria", "KMSKeyArn", "DestinationConfig", "ProvisionedPollerConfig"):
            if spec.get(name):
                raise _invalid(f"{name} of an event source mapping is not supported by the local runtime.")
        arn = str(spec.get("EventSourceArn", ""))
        if arn.split(":")[2:3] != ["sqs"]:
            raise _invalid(f"Only SQS queues are polled by the local runtime, not {arn}.")
        batch = spec.get("BatchSize", 10)
        window = spec.get("MaximumBatchingWindowInSeconds", 0)
        if not 1 <= batch <= (10 if arn.endswith(".fifo") else 10_000):
            raise _invalid(f"BatchSize {batch} is out of range for {arn}.")
        if batch > 10 and window < 1:
            raise _invalid(
                "Maximum batch window in seconds must be greater than 0 "
                "if maximum batch size is greater than 10"
            )
        if not 0 <= window <= 300:
            raise _invalid(f"MaximumBatchingWindowInSeconds {window} is not between 0 and 300.")
        if set(spec.get("FunctionResponseTypes") or ()) - {"ReportBatchItemFailures"}:
            raise _invalid("FunctionResponseTypes knows only ReportBatchItemFailures.")
        concurrency = (spec.get("ScalingConfig") or {}).get("MaximumConcurrency", 2)
        if not 2 <= concurrency <= 1_000:
            raise _invalid(f"MaximumConcurrency {concurrency} is not between 2 and 1000.")
        function = self.get_function(spec["FunctionName"])
        queue: Any = sqs_backends[self.account_id][self.region_name].queues.get(arn.rsplit(":", 1)[-1])
        if queue is not None and queue.visibility_timeout < function.timeout:
            raise _invalid(
                f"Queue visibility timeout: {queue.visibility_timeout} seconds is less than "
                f"Function timeout: {function.timeout} seconds"
            )
        for present in self.list_event_source_mappings(arn, ""):
            if present.function_arn == function.function_arn:
                raise LambdaError(
                    "ResourceConflictException",
                    f'An event source mapping with SQS arn (" {arn} ") and function (" '
                    f'{function.function_name} ") already exists. Please update or delete the existing '
                    f"mapping with UUID {present.uuid}",
                    409,
                )


def _keep_settings(record: Any, spec: dict[str, Any]) -> None:
    for member, attribute in KEPT_SETTINGS.items():
        if member in spec:
            setattr(record, attribute, spec[member])


def _invalid(message: str) -> LambdaError:
    return LambdaError("InvalidParameterValueException", message)


def _throttled(error: ThrottledError) -> LambdaError:
    refusal = LambdaError("TooManyRequestsException", str(error), 429)
    refusal.description = json.dumps(
        {"__type": "TooManyRequestsException", "Reason": error.reason, "Type": "User", "message": str(error)}
    )
    return refusal
