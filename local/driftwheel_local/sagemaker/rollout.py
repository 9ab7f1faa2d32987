"""UpdateEndpoint's deployments: which steps traffic takes, what is refused, what rolls back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftwheel_local.sagemaker.endpoint import Endpoint
from driftwheel_local.sagemaker.hosting import Fleet, HostFault
from driftwheel_local.sagemaker.refusals import invalid
from driftwheel_local.sagemaker.site import Site

PROVISIONING_SECONDS = 60.0  # the modelled wait for new instances
_DEFAULT_LIMIT_SECONDS = 28_800  # MaximumExecutionTimeoutInSeconds' own maximum
_ALARM_POLL_SECONDS = 0.1
PROPERTY_MEMBERS = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}


class RolledBack(Exception):
    """When a deployment must go back to the old fleet; the message says why, for our log only."""


@dataclass(frozen=True)
class Plan:
    """What a DeploymentConfig asks for: cumulative shares of traffic, and waits in modelled seconds."""

    shares: tuple[float, ...]
    bake_seconds: int
    termination_seconds: int
    limit_seconds: int
    alarms: tuple[str, ...]


def plan(deployment: Mapping[str, Any] | None, config: Mapping[str, Any]) -> Plan:
    """Read a DeploymentConfig for `config`; refuse what AWS refuses beyond the service model."""
    if not deployment:
        return Plan((1.0,), 0, 0, _DEFAULT_LIMIT_SECONDS, ())
    alarms = tuple(
        alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    )
    if ("BlueGreenUpdatePolicy" in deployment) == ("RollingUpdatePolicy" in deployment):
        raise invalid("Exactly one of BlueGreenUpdatePolicy and RollingUpdatePolicy must be specified")
    instances = sum(variant.get("InitialInstanceCount", 1) for variant in config["ProductionVariants"])
    if "RollingUpdatePolicy" in deployment:
        policy = deployment["RollingUpdatePolicy"]
        if len(config["ProductionVariants"]) > 1 or "ServerlessConfig" in config["ProductionVariants"][0]:
            raise invalid("A rolling update needs an endpoint with one variant that is not serverless")
        share = _share(policy["MaximumBatchSize"], instances, "MaximumBatchSize", 0.05, 0.5)
        limit = policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_LIMIT_SECONDS)
        return Plan(_linear(share), policy["WaitIntervalInSeconds"], 0, limit, alarms)
    policy = deployment["BlueGreenUpdatePolicy"]
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    shares: tuple[float, ...] = (1.0,)
    for member, owner in (("CanarySize", "CANARY"), ("LinearStepSize", "LINEAR")):
        if (member in routing) != (kind == owner):
            verb = "requires" if kind == owner else "does not allow"
            raise invalid(f"TrafficRoutingConfiguration of type {kind} {verb} {member}")
    if kind == "CANARY":
        shares = (_share(routing["CanarySize"], instances, "CanarySize", 0.0, 0.5), 1.0)
    elif kind == "LINEAR":
        shares = _linear(_share(routing["LinearStepSize"], instances, "LinearStepSize", 0.1, 0.5))
    bake = routing["WaitIntervalInSeconds"]
    termination = policy.get("TerminationWaitInSeconds", 0)
    limit = policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_LIMIT_SECONDS)
    if limit <= bake * max(1, len(shares) - 1) + termination:
        raise invalid(
            "MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of "
            "TerminationWaitInSeconds and WaitIntervalInSeconds"
        )
    return Plan(shares, bake, termination, limit, alarms)


def check_alarms(site: Site, wanted: Plan) -> None:
    """Refuse a deployment whose alarms do not exist."""
    known = site.alarm_states(list(wanted.alarms)) if wanted.alarms else {}
    missing = [name for name in wanted.alarms if name not in known]
    if missing:
        raise invalid(
            f"Could not find alarms: {', '.join(missing)}. Alarms must exist in this account and region"
        )


def deployment_in_force(request: Mapping[str, Any], record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Answer the DeploymentConfig in force: the request's, or the last one when it is to be retained."""
    given: Mapping[str, Any] | None = request.get("DeploymentConfig")
    if request.get("RetainDeploymentConfig"):
        if given is not None:
            raise invalid("DeploymentConfig and RetainDeploymentConfig cannot both be specified")
        return record.get("LastDeploymentConfig")
    return given


def retained(config: Mapping[str, Any], old: Fleet, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the config with the running counts and weights where RetainAllVariantProperties says so."""
    excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
    if excluded and not request.get("RetainAllVariantProperties"):
        raise invalid("ExcludeRetainedVariantProperties needs RetainAllVariantProperties")
    if not request.get("RetainAllVariantProperties"):
        return dict(config)
    variants = []
    for variant in config["ProductionVariants"]:
        kept = dict(variant)
        running = old.variants.get(variant["VariantName"])
        if running is not None and "ServerlessConfig" not in variant:
            values = {"DesiredInstanceCount": running.wanted, "DesiredWeight": running.weight}
            kept |= {PROPERTY_MEMBERS[name]: values[name] for name in values if name not in excluded}
        variants.append(kept)
    return {**config, "ProductionVariants": variants}


def check_variants(old: Fleet, config: Mapping[str, Any]) -> None:
    """Refuse a guarded deployment to other variant names: blue/green shifts traffic variant by variant."""
    names = {variant["VariantName"] for variant in config["ProductionVariants"]}
    if names != set(old.variants):
        raise invalid(
            f"The variant names of the new endpoint configuration ({', '.join(sorted(names))}) must be "
            f"those of the endpoint ({', '.join(sorted(old.variants))}) when a DeploymentConfig is used"
        )


def _share(size: Mapping[str, Any], instances: int, member: str, least: float, most: float) -> float:
    """Answer a CapacitySize as a share of the fleet; one instance, the smallest, is always allowed."""
    share: float
    if size["Type"] == "INSTANCE_COUNT":
        share = size["Value"] / instances
        smallest = size["Value"] == 1
    else:
        share = size["Value"] / 100
        smallest = False
    if not (least <= share <= most or smallest) or share > 1:
        raise invalid(
            f"{member} of {size['Value']} ({size['Type']}) must be between {least:.0%} and {most:.0%} of the "
            f"variant's {instances} instances"
        )
    return share


def _linear(share: float) -> tuple[float, ...]:
    """Answer the cumulative shares of equal steps; the last one completes the traffic."""
    steps: list[float] = []
    while not steps or steps[-1] < 1.0:
        steps.append(min(1.0, round((len(steps) + 1) * share, 9)))
    return tuple(steps)


class Rollout:
    """One deployment under way."""

    def __init__(self, endpoint: Endpoint, old: Fleet, new: Fleet, wanted: Plan) -> None:
        self._endpoint = endpoint
        self._site = endpoint.site
        self._old = old
        self._new = new
        self._plan = wanted
        self._modelled = 0.0

    def shift(self) -> None:
        """Bring the new fleet up healthy and move the traffic over, watching the alarms.

        Raises RolledBack with the traffic back on the old fleet, which never stopped, and the new one gone.
        """
        try:
            self._bring_up()
            self._move()
        except RolledBack:
            self._endpoint.traffic.route((self._old, 1.0))
            self._new.drain()
            raise

    def _bring_up(self) -> None:
        self._endpoint.stage("Creating", "Creating the new fleet")
        self._wait(PROVISIONING_SECONDS)
        try:
            self._new.start()
        except HostFault as fault:
            raise RolledBack(str(fault)) from fault

    def _move(self) -> None:
        for share in self._plan.shares:
            self._endpoint.stage("ActivatingTraffic", f"Shifting {share:.0%} of traffic to the new fleet")
            self._endpoint.traffic.route((self._old, 1.0 - share), (self._new, share))
            # The last step of several is final; with a single step the bake follows it.
            if share < 1.0 or len(self._plan.shares) == 1:
                self._endpoint.stage("Baking", "Waiting, the alarms are watched")
                self._wait(self._plan.bake_seconds)
        self._endpoint.stage("Deleting", "Waiting before the old fleet is terminated")
        self._wait(self._plan.termination_seconds)

    def _wait(self, seconds: float) -> None:
        """Let modelled seconds pass while polling the alarms (always at least once)."""
        self._modelled += seconds
        if self._modelled > self._plan.limit_seconds:
            raise RolledBack(f"MaximumExecutionTimeoutInSeconds {self._plan.limit_seconds} exceeded")
        end = self._site.clock.monotonic() + seconds * self._site.time_scale
        while True:
            self._check_alarms()
            rest = end - self._site.clock.monotonic()
            if self._site.closing.is_set():
                raise RolledBack("the local runtime closes")
            if rest <= 0:
                return
            self._site.clock.wait(min(rest, _ALARM_POLL_SECONDS), self._site.closing)

    def _check_alarms(self) -> None:
        if not self._plan.alarms:
            return
        states = self._site.alarm_states(list(self._plan.alarms))
        for name in self._plan.alarms:
            if states.get(name) == "ALARM":
                raise RolledBack(f"alarm {name} is in state ALARM")
