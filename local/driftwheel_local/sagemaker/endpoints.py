"""Endpoint operations: create, update, rescale, delete, recover; each change runs on its own thread."""

import logging
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from driftwheel_local.sagemaker import rollout, validation
from driftwheel_local.sagemaker.configs import EndpointConfigs, Models
from driftwheel_local.sagemaker.endpoint import IN_PROGRESS, Endpoint
from driftwheel_local.sagemaker.hosting import Fleet, HostFault
from driftwheel_local.sagemaker.jobs import Limits
from driftwheel_local.sagemaker.listing import page
from driftwheel_local.sagemaker.refusals import Refusal, invalid, limit_exceeded
from driftwheel_local.sagemaker.site import Site, read_records
from driftwheel_local.threads import start_daemon

_LOG = logging.getLogger(__name__)
_DELETING_SECONDS = 10.0
_RESCALING_SECONDS = 30.0


class Endpoints:
    """The endpoints of the account."""

    def __init__(self, site: Site, limits: Limits, models: Models, configs: EndpointConfigs) -> None:
        self.site = site
        self._limits = limits
        self._models = models
        self._configs = configs
        self._lock = threading.RLock()
        self._endpoints: dict[str, Endpoint] = {}
        self._threads: list[threading.Thread] = []

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Answer the API operations."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.listing,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.rescale,
            "DeleteEndpoint": self.delete,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create an endpoint; names are unique without regard to case."""
        name, config_name = request["EndpointName"], request["EndpointConfigName"]
        arn = self.site.arn("endpoint", name)
        with self._lock:
            if name.lower() in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{arn}".')
            config = self._configs.shelf.find(config_name)
            models = self._models_of(config)
            self._claim_instances(config, Counter())
            now = self.site.now()
            record = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": config_name,
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
                "Tags": request.get("Tags", []),
                "Config": config,
                "Models": models,
                "FleetId": uuid.uuid4().hex,
                "DeploymentStartTime": now,
            }
            endpoint = self._endpoints[name.lower()] = Endpoint(self.site, self._limits, record)
        endpoint.pending = endpoint.build_fleet(config, models, record["FleetId"])
        endpoint.set("Creating")
        self._start(self._bring_up, endpoint, rollout.PROVISIONING_SECONDS)
        return {"EndpointArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one endpoint."""
        shape = validation.operation("sagemaker", "DescribeEndpoint").output_shape
        answer: dict[str, Any] = validation.select(shape, self.find(request["EndpointName"]).description())
        return answer

    def listing(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one page of endpoints."""
        records = [endpoint.record for endpoint in self.all()]
        return page("ListEndpoints", records, request, name="EndpointName", status="EndpointStatus")

    def update(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Roll another endpoint config out; only an endpoint InService can be updated."""
        endpoint = self.find(request["EndpointName"])
        config = self._configs.shelf.find(request["EndpointConfigName"])
        models = self._models_of(config)
        with endpoint.lock:
            self._must_be_in_service(endpoint)
            old = endpoint.fleet
            assert old is not None
            config = rollout.retained(config, old, request)
            deployment = rollout.deployment_in_force(request, endpoint.record)
            wanted = rollout.plan(deployment, config)
            rollout.check_alarms(self.site, wanted)
            if wanted.shares != (1.0,) or deployment:
                rollout.check_variants(old, config)
            self._claim_instances(config, Counter())
            fleet_id = uuid.uuid4().hex
            endpoint.pending = endpoint.build_fleet(config, models, fleet_id)
            endpoint.set("Updating", DeploymentStartTime=self.site.now(), FailureReason=None)
        self._start(self._update, endpoint, old, endpoint.pending, wanted, deployment, fleet_id)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def rescale(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change weights and instance counts of variants that exist."""
        endpoint = self.find(request["EndpointName"])
        with endpoint.lock:
            self._must_be_in_service(endpoint)
            fleet = endpoint.fleet
            assert fleet is not None
            wanted = {item["VariantName"]: item for item in request["DesiredWeightsAndCapacities"]}
            for name in wanted:
                if name not in fleet.variants:
                    raise invalid(f'The variant name "{name}" was non-existent for the endpoint')
            added: Counter[str] = Counter()
            for name, item in wanted.items():
                variant = fleet.variants[name]
                added[variant.instance_type] += (
                    item.get("DesiredInstanceCount", variant.wanted) - variant.wanted
                )
            self._claim_instances(None, added)
            endpoint.set("Updating")
        self._start(self._rescale, endpoint, fleet, wanted)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def delete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Delete an endpoint; not while a change is under way."""
        endpoint = self.find(request["EndpointName"])
        with endpoint.lock:
            self._refuse_in_progress(endpoint)
            endpoint.set("Deleting")
        self._start(self._delete, endpoint)
        return {}

    def find(self, name: str) -> Endpoint:
        """Answer an endpoint or raise AWS's ValidationException."""
        with self._lock:
            endpoint = self._endpoints.get(name.lower())
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{self.site.arn("endpoint", name)}".')
        return endpoint

    def serving(self, name: str) -> Endpoint:
        """Answer the endpoint to invoke; the name must match exactly, and it must serve."""
        with self._lock:
            endpoint = self._endpoints.get(name.lower())
        if endpoint is None or endpoint.name != name or not endpoint.traffic.fleets():
            raise Refusal("ValidationError", f"Endpoint {name} of account {self.site.account} not found.")
        return endpoint

    def all(self) -> list[Endpoint]:
        """Answer every endpoint."""
        with self._lock:
            return list(self._endpoints.values())

    def recover(self) -> None:
        """Start the endpoints of an earlier life on their last good config; InService once healthy."""
        for path, record in read_records(self.site.folder("endpoints"), "*/endpoint.json"):
            endpoint = Endpoint(self.site, self._limits, record)
            with self._lock:
                self._endpoints[endpoint.name.lower()] = endpoint
            status = record["EndpointStatus"]
            if status == "Deleting":
                self._start(self._delete, endpoint)
            elif status not in ("Failed", "OutOfService"):
                fleet = endpoint.build_fleet(record["Config"], record["Models"], record["FleetId"])
                for folder in path.parent.iterdir():
                    if folder.is_dir() and folder != fleet.folder:
                        shutil.rmtree(folder, ignore_errors=True)
                endpoint.pending = fleet
                endpoint.set("Creating" if status == "Creating" else "SystemUpdating")
                self._start(self._bring_up, endpoint, 0.0)

    def supervise(self) -> None:
        """Replace instances that died and forward what instances wrote."""
        for endpoint in self.all():
            fleet = endpoint.fleet
            if fleet is None or self.site.closing.is_set():
                continue
            for variant in fleet.variants.values():
                variant.pump_logs()
                if endpoint.record["EndpointStatus"] == "InService" and variant.has_dead():
                    try:
                        variant.replace_dead()
                    except HostFault as fault:
                        _LOG.error("endpoint %s: %s", endpoint.name, fault)

    def close(self) -> None:
        """Stop every fleet; the records stay, for `recover`."""
        for thread in self._threads:
            thread.join()
        for endpoint in self.all():
            for fleet in (endpoint.fleet, endpoint.pending):
                if fleet is not None:
                    fleet.stop()

    def _start(self, work: Callable[..., None], endpoint: Endpoint, *arguments: Any) -> None:
        def guarded() -> None:
            try:
                work(endpoint, *arguments)
            except Exception as fault:  # noqa: BLE001 (an endpoint must not stay in progress for ever)
                if not self.site.closing.is_set():
                    _LOG.exception("endpoint %s", endpoint.name)
                    reason = f"InternalServerError: {type(fault).__name__}: {fault}"
                    endpoint.set("Failed", FailureReason=reason)

        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(start_daemon(f"endpoint-{endpoint.name}", guarded))

    def _bring_up(self, endpoint: Endpoint, seconds: float) -> None:
        """Start the first fleet (or, after a restart, the last one)."""
        fleet = endpoint.pending
        assert fleet is not None
        endpoint.stage("Creating", "Creating inference resources")
        self.site.pause(seconds)
        if self.site.closing.is_set():
            return
        try:
            fleet.start()
        except HostFault as fault:
            if not self.site.closing.is_set():
                with endpoint.lock:
                    endpoint.pending = None
                    endpoint.set("Failed", FailureReason=str(fault)[:1024])
            return
        with endpoint.lock:
            endpoint.fleet, endpoint.pending = fleet, None
            endpoint.traffic.route((fleet, 1.0))
            endpoint.set("InService", FailureReason=None)

    def _update(
        self,
        endpoint: Endpoint,
        old: Fleet,
        new: Fleet,
        wanted: rollout.Plan,
        deployment: Mapping[str, Any] | None,
        fleet_id: str,
    ) -> None:
        try:
            rollout.Rollout(endpoint, old, new, wanted).shift()
        except rollout.RolledBack as reason:
            if not self.site.closing.is_set():
                self._rolled_back(endpoint, reason)
            return
        with endpoint.lock:
            endpoint.traffic.route((new, 1.0))
            endpoint.fleet, endpoint.pending = new, None
            endpoint.set(
                "InService",
                EndpointConfigName=new.config["EndpointConfigName"],
                Config=new.config,
                Models={variant.model["ModelName"]: variant.model for variant in new.variants.values()},
                FleetId=fleet_id,
                LastDeploymentConfig=deployment,
            )
        old.drain()

    def _rolled_back(self, endpoint: Endpoint, reason: rollout.RolledBack) -> None:
        """End a failed update as AWS does: InService on the old config, mostly without a word about why."""
        _LOG.warning("endpoint %s rolled back: %s", endpoint.name, reason)
        with endpoint.lock:
            endpoint.set("RollingBack")
            endpoint.pending = None
            try:
                self._configs.shelf.find(endpoint.record["EndpointConfigName"])
            except Refusal as missing:
                endpoint.set("UpdateRollbackFailed", FailureReason=missing.message)
            else:
                endpoint.set("InService", FailureReason=self._limits.rollback_reason)

    def _rescale(self, endpoint: Endpoint, fleet: Fleet, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        if self.site.pause(_RESCALING_SECONDS):
            return
        config = dict(fleet.config)
        variants = [dict(variant) for variant in config["ProductionVariants"]]
        try:
            for variant in variants:
                item = wanted.get(variant["VariantName"], {})
                running = fleet.variants[variant["VariantName"]]
                if "DesiredInstanceCount" in item:
                    running.scale(item["DesiredInstanceCount"])
                if "DesiredWeight" in item:
                    running.weight = item["DesiredWeight"]
                for source, member in rollout.PROPERTY_MEMBERS.items():
                    if source in item:
                        variant[member] = item[source]
        except HostFault as fault:
            _LOG.warning("endpoint %s rolled back its capacities: %s", endpoint.name, fault)
            endpoint.set("RollingBack")
            endpoint.set("InService")
            return
        config["ProductionVariants"] = variants
        fleet.config = config
        endpoint.set("InService", Config=config)

    def _delete(self, endpoint: Endpoint) -> None:
        self.site.pause(_DELETING_SECONDS)
        if self.site.closing.is_set():
            return
        endpoint.traffic.route()
        if endpoint.fleet is not None:
            endpoint.fleet.drain()
        with self._lock:
            del self._endpoints[endpoint.name.lower()]
            shutil.rmtree(endpoint.folder, ignore_errors=True)

    def _models_of(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        names = [variant["ModelName"] for variant in config["ProductionVariants"]]
        return {name: self._models.shelf.find(name) for name in names}

    def _must_be_in_service(self, endpoint: Endpoint) -> None:
        self._refuse_in_progress(endpoint)
        status = endpoint.record["EndpointStatus"]
        if status != "InService":
            arn = endpoint.record["EndpointArn"]
            raise invalid(f'Cannot update endpoint "{arn}" in status {status}; it can only be deleted.')

    def _refuse_in_progress(self, endpoint: Endpoint) -> None:
        if endpoint.record["EndpointStatus"] in IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".')

    def _claim_instances(self, config: Mapping[str, Any] | None, added: Counter[str]) -> None:
        """Refuse instances beyond the quota; an update holds both fleets for a while, and so does this."""
        for variant in config["ProductionVariants"] if config else []:
            if "InstanceType" in variant:
                added[variant["InstanceType"]] += variant["InitialInstanceCount"]
        used: Counter[str] = Counter()
        for endpoint in self.all():
            for fleet in (endpoint.fleet, endpoint.pending):
                for running in fleet.variants.values() if fleet else []:
                    used[running.instance_type] += running.wanted
        for instance, count in added.items():
            usage = f"{instance} for endpoint usage"
            limit = self._limits.of(usage, instance)
            if count > 0 and used[instance] + count > limit:
                raise limit_exceeded(usage, limit, used[instance], count)
