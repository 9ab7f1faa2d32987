"""The SageMaker world: every part behind one door, `answer` for the API and `invoke` for endpoints."""

import json
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from driftwheel_local.clock import Clock
from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.capture import Capture
from driftwheel_local.sagemaker.configs import EndpointConfigs, Models
from driftwheel_local.sagemaker.endpoints import Endpoints
from driftwheel_local.sagemaker.invocations import Invocations
from driftwheel_local.sagemaker.jobs import Limits
from driftwheel_local.sagemaker.processing import ProcessingJobs
from driftwheel_local.sagemaker.refusals import Refusal
from driftwheel_local.sagemaker.registry import Registry
from driftwheel_local.sagemaker.site import Site
from driftwheel_local.sagemaker.tags import Tags
from driftwheel_local.sagemaker.tempo import Tempo
from driftwheel_local.sagemaker.training import TrainingJobs

_LOG = logging.getLogger(__name__)
_JOB_THREADS = 4  # jobs that run at once; the others wait in Starting, as for capacity
_HOUSEKEEPING_SECONDS = 0.25
_CAPTURE_ROUNDS = 4  # captured records are written every fourth round: once a second


class SageMakerWorld:
    """Jobs, models, endpoints and registry of one account and region.

    `time_scale` multiplies modelled delays; `limits` may be changed at any time (quotas, grace, memory).
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        publish: Callable[[dict[str, Any]], None],
        alarm_states: Callable[[list[str]], dict[str, str]],
        put_metric: Callable[..., None],
        time_scale: float,
        endpoint_url: Callable[[], str],
    ) -> None:
        self.site = Site(root, clock, publish, alarm_states, put_metric, time_scale, endpoint_url)
        self.limits = Limits()
        self.tempo = Tempo(self.limits, self.site.now)
        self._pool = ThreadPoolExecutor(_JOB_THREADS, thread_name_prefix="sagemaker-job")
        self.training = TrainingJobs(self.site, self.limits, self._pool)
        self.processing = ProcessingJobs(self.site, self.limits, self._pool)
        self.registry = Registry(self.site)
        self.models = Models(self.site, self.registry.find)
        self.configs = EndpointConfigs(self.site, self.models)
        self.endpoints = Endpoints(self.site, self.limits, self.models, self.configs)
        self.capture = Capture(self.site)
        self.invocations = Invocations(self.site, self.endpoints, self.capture)
        self.tags = Tags(
            [self.training, self.processing, self.registry],
            [self.models.shelf, self.configs.shelf],
            self.endpoints,
        )
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        for part in (
            self.training,
            self.processing,
            self.registry,
            self.models,
            self.configs,
            self.endpoints,
            self.tags,
        ):
            self._operations |= part.operations()
        self._housekeeper = threading.Thread(target=self._keep_house, name="sagemaker", daemon=True)
        self._housekeeper.start()

    @property
    def quota(self) -> dict[str, int]:
        """Answer the settable instance quotas, by instance type (20 where none is set)."""
        return self.limits.quota

    def answer(
        self, operation: str, body: bytes, *, account: str, region: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer one API request as (status, headers, body); errors have AWS's wire form."""
        try:
            self._check_place(account, region)
            result = self._serve(operation, body)
        except Refusal as refusal:
            return refusal.response()
        except Exception as fault:  # noqa: BLE001 (the caller gets AWS's 500, the log the traceback)
            _LOG.error("sagemaker:%s: %s", operation, traceback.format_exc())
            return Refusal("InternalFailure", f"{type(fault).__name__}: {fault}", 500).response()
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result).encode()

    def invoke(
        self, endpoint_name: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer InvokeEndpoint's HTTP request."""
        return self.invocations.invoke(endpoint_name, headers, body)

    def unsupported_runtime(self, action: str) -> tuple[int, dict[str, str], bytes]:
        """Answer a sagemaker-runtime operation that has no local counterpart."""
        return Refusal(
            "UnsupportedOperationException",
            f"The local runtime does not implement sagemaker-runtime {action}; it needs AWS",
        ).response()

    def _check_place(self, account: str, region: str) -> None:
        if (account, region) != (self.site.account, self.site.region):
            raise Refusal(
                "ValidationException",
                f"The local runtime serves account {self.site.account} in {self.site.region} only, not "
                f"{account} in {region}",
            )

    def _serve(self, operation: str, body: bytes) -> dict[str, Any]:
        model = validation.operation("sagemaker", operation)
        request = _parsed(body)
        validation.validate(model, request)
        if operation not in self._operations:
            raise Refusal(
                "UnsupportedOperationException",
                f"The local runtime does not implement sagemaker:{operation}; it needs AWS",
            )
        self.tempo.admit(operation, request)
        answer = self._operations[operation](request)
        self.tempo.note(operation, request, answer)
        return answer

    def recover(self) -> None:
        """Bring back an earlier life: records, failed jobs, endpoints restarted in the background."""
        self.registry.recover()
        self.models.shelf.recover()
        self.configs.shelf.recover()
        self.training.recover()
        self.processing.recover()
        self.endpoints.recover()

    def flush(self) -> None:
        """Write captured records and metrics now."""
        self.invocations.flush()
        self.capture.flush()

    def close(self) -> None:
        """End every process of ours and write what is buffered; call it while S3 still answers."""
        self.site.closing.set()
        self._housekeeper.join()
        self.endpoints.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.flush()

    def _keep_house(self) -> None:
        """Watch the instances, forward metrics and captured records, until closing."""
        rounds = 0
        while not self.site.closing.wait(_HOUSEKEEPING_SECONDS):
            rounds += 1
            duties = [self.endpoints.supervise, self.invocations.flush]
            if rounds % _CAPTURE_ROUNDS == 0:
                duties.append(self.capture.flush)
            for duty in duties:
                try:
                    duty()
                except Exception:  # noqa: BLE001 (the next round tries again: records stay buffered)
                    _LOG.exception("sagemaker housekeeping")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise Refusal("SerializationException", f"the request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Refusal("SerializationException", "the request is not a JSON object")
    return request
