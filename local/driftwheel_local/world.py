"""Everything behind the endpoint: moto, our patches of it, and the threads that make things happen."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.model import OperationModel
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config

from driftwheel_local import patches
from driftwheel_local.alarms import Alarms
from driftwheel_local.buses import Buses
from driftwheel_local.clock import Clock
from driftwheel_local.deliveries import Deliveries
from driftwheel_local.endpoint import Endpoint
from driftwheel_local.events import EventRouter
from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.lambdas import LambdaRunner
from driftwheel_local.object_events import ObjectEvents
from driftwheel_local.permissions.gate import Gate
from driftwheel_local.permissions.journal import Journal
from driftwheel_local.permissions.roles import MotoFacts, MotoRoles
from driftwheel_local.sagemaker import SageMakerWorld
from driftwheel_local.sagemaker.refusals import Refusal
from driftwheel_local.sagemaker.validation import validate
from driftwheel_local.scheduler import Scheduler
from driftwheel_local.stack_clients import StackClients
from driftwheel_local.states import StateMachines
from driftwheel_local.store import Store


def check_request(operation: OperationModel, request: dict[str, Any]) -> None:
    """Hold a request made for the template to botocore's own model. Raises TemplateError in AWS's words."""
    try:
        validate(operation, request)
    except Refusal as refusal:
        raise TemplateError(f"{operation.name}: {refusal}") from refusal


class World:
    """moto with every service of ours; enter it to serve requests, `resume` when the resources exist."""

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        build_root: Path,
        account: str,
        region: str,
        credentials: Mapping[str, str],
        time_scale: float,
        record_permissions: bool = False,
    ) -> None:
        self._root = root
        self._clock = clock
        self._build_root = build_root
        self._account = account
        self._region = region
        self._time_scale = time_scale
        self._environment = dict(credentials)
        self._record = Journal(root / "permissions.jsonl").add if record_permissions else lambda _: None
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Patch moto, make every part, and listen; nothing happens by itself yet."""
        try:
            self._enter()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every part in the opposite order and give moto back."""
        self._exits.close()

    def resume(self) -> None:
        """Take up what an earlier stack of this root left, then let time pass."""
        self._store.restore()
        self.sagemaker.recover()
        self._runner.recover()
        self._runner.pollers.wake_all()
        self._deliveries.resume()
        self._alarms.start()
        self._scheduler.start()

    def _enter(self) -> None:
        account, region, clock, scale = self._account, self._region, self._clock, self._time_scale
        self._exits.callback(_give_back)
        _reset()
        self._store = Store(self._root, account=account, region=region)
        self._exits.callback(self._store.close)
        self._runner = LambdaRunner(
            self._build_root,
            self._root,
            self._environment,
            clock,
            put_metric=self._count,
        )
        clients = StackClients(self._environment)
        deliveries = Deliveries(clients.get, clock, self._root / "events" / "pending")
        self._deliveries = deliveries
        buses = Buses(account, region)
        self.router = EventRouter(buses, deliveries, clock, account=account, region=region)
        self._alarms = Alarms(
            clock, self.router.publish, patches.CloudWatchShelf(account, region), time_scale=scale
        )
        self.sagemaker = SageMakerWorld(
            root=self._root,
            clock=clock,
            publish=self.router.publish,
            alarm_states=self._alarms.alarm_states,
            put_metric=self._alarms.put_metric,
            time_scale=scale,
            endpoint_url=self._endpoint_url,
        )
        self._machines = StateMachines(
            clock,
            self.router.publish,
            self._endpoint_url,
            time_scale=scale,
            put_metric=self._alarms.put_metric,
            record=self._store.executions,
        )
        path = self._root / "scheduler.json"
        self._scheduler = Scheduler(buses, self.router, deliveries, clock, path)
        self._patch()
        gate = Gate(
            account,
            MotoRoles(account).find,
            MotoFacts(account, region, self._config_key, self._tags_of),
            self._record,
        )
        self.endpoint = Endpoint(_last_port(self._root / "port"), gate)
        self._environment["AWS_ENDPOINT_URL"] = self.endpoint.url
        (self._root / "port").write_text(str(self.endpoint.port), encoding="utf-8")
        # stopped from the last to the first: what makes work stops before what does it
        self._exits.callback(self.endpoint.close)
        self._exits.callback(self._runner.close)
        self._exits.callback(self.sagemaker.close)
        self._exits.callback(patches.end_executions, account, region)
        self._exits.callback(deliveries.close)
        self._exits.callback(self._runner.pollers.close)
        self._exits.callback(self._alarms.close)
        self._exits.callback(self._scheduler.close)

    def _patch(self) -> None:
        patches.patch_lookups()
        patches.patch_lambda(self._runner)
        patches.patch_sqs(self._clock, self._runner.pollers.wake)
        patches.patch_iam()
        patches.patch_logs(self._clock)
        patches.patch_stepfunctions(self._machines)
        patches.patch_cloudwatch(self._alarms)
        patches.patch_events(self.router)
        patches.patch_scheduler(self._scheduler)
        patches.patch_sagemaker(self.sagemaker)
        self._store.attach()
        self.object_events = ObjectEvents(self.router, self._clock)
        patches.patch_s3(self.object_events)

    def _count(
        self,
        namespace: str,
        name: str,
        value: float,
        unit: str = "None",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """Pass a function's metric on to the alarms, which are made after the runner they listen to."""
        self._alarms.put_metric(namespace, name, value, unit, dimensions)

    def _config_key(self, name: str) -> str | None:
        """Answer the KMS key of an endpoint config's volumes."""
        return self.sagemaker.configs.key_of(name)

    def _tags_of(self, arn: str) -> Mapping[str, str]:
        """Answer the tags of a SageMaker resource; the world is made before its SageMaker."""
        return self.sagemaker.tags.of(arn)

    def _endpoint_url(self) -> str:
        return self.endpoint.url


def _reset() -> None:
    BackendDict.reset()
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": True}  # the other backend only echoes
    default_user_config["iam"] = {"load_aws_managed_policies": True}  # a misspelt one is refused; 0.3 s


def _give_back() -> None:
    patches.undo()
    default_user_config["iam"] = {"load_aws_managed_policies": False}  # not once more just to be empty
    BackendDict.reset()


def _last_port(path: Path) -> int:
    """Answer the port of the last stack here, so that URLs kept elsewhere (queues') stay good."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
