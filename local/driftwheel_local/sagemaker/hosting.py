"""Fleets: the processes that serve one endpoint config, variant by variant, instance by instance."""

import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import urllib3

from driftwheel_local.sagemaker import archives, containers, objects
from driftwheel_local.sagemaker.joblogs import LogPump
from driftwheel_local.sagemaker.process import Command, ContainerProcess
from driftwheel_local.sagemaker.script_mode import fetch_code
from driftwheel_local.sagemaker.site import Site

STARTUP_SECONDS = 480.0  # ContainerStartupHealthCheckTimeoutInSeconds when a variant does not set it
INVOCATION_SECONDS = 60.0  # a container must answer within
STOP_SECONDS = 30.0  # between SIGTERM and SIGKILL of a hosting container
_SERVER = Path(__file__).with_name("serving_host.py")
_POLL_SECONDS = 0.02
_PARALLEL_STARTS = 2
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


class HostFault(Exception):
    """When an instance cannot be started; the message becomes the endpoint's FailureReason."""


@dataclass(frozen=True)
class Answer:
    """What a container answered; status 0 means it did not."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class Host:
    """One instance of a variant: a process and the connections to it."""

    def __init__(self, command: Command, folder: Path, number: int, pump: LogPump, log: Path) -> None:
        self._report = folder / f"port-{number}"
        words = (*command.arguments, str(self._report), str(os.getpid()))
        self._command = replace(command, arguments=words)
        self._log = log
        self.pump = pump
        self._process: ContainerProcess | None = None
        self._connections: urllib3.HTTPConnectionPool | None = None

    def start(self, timeout_seconds: float, closing: threading.Event) -> None:
        """Start the process and wait until /ping answers 200; raises HostFault."""
        self._report.unlink(missing_ok=True)
        self._process = ContainerProcess(self._command, self._log, tethered=False)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and not closing.is_set():
            if self._process.poll() is not None:
                break
            if self._report.exists():
                port = int(self._report.read_text(encoding="ascii"))
                self._connections = urllib3.HTTPConnectionPool(
                    "127.0.0.1", port, maxsize=16, timeout=INVOCATION_SECONDS, retries=False
                )
                if self._is_healthy(self._connections):
                    return
            closing.wait(_POLL_SECONDS)
        self.stop()
        raise HostFault("did not pass the ping health check")

    def _is_healthy(self, connections: urllib3.HTTPConnectionPool) -> bool:
        try:
            return connections.request("GET", "/ping", timeout=2.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False  # not yet, or no more: the loop of `start` looks at the process again

    def is_alive(self) -> bool:
        """Answer whether the process runs and once was healthy."""
        return self._connections is not None and self._process is not None and self._process.poll() is None

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one invocation; a broken or late answer has status 0."""
        assert self._connections is not None
        started = time.perf_counter()
        try:
            response = self._connections.request(
                "POST", "/invocations", body=body, headers=dict(headers), redirect=False
            )
        except urllib3.exceptions.TimeoutError:
            return Answer(0, {}, _TIMED_OUT.encode(), time.perf_counter() - started)
        except urllib3.exceptions.HTTPError as error:
            text = f"the container broke the connection: {error}"
            return Answer(0, {}, text.encode(), time.perf_counter() - started)
        return Answer(response.status, response.headers, response.data, time.perf_counter() - started)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace."""
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._process.finish()
        if self._connections is not None:
            self._connections.close()


class Variant:
    """One production variant of a fleet."""

    def __init__(
        self, site: Site, endpoint: str, folder: Path, variant: Mapping[str, Any], model: Mapping[str, Any]
    ) -> None:
        self._site = site
        self._endpoint = endpoint
        self._folder = folder
        self._opt_ml = containers.OptMl(folder / "opt" / "ml")
        self.name: str = variant["VariantName"]
        self.model = model
        self.instance_type: str = variant.get("InstanceType", "serverless")
        self.weight: float = variant["InitialVariantWeight"]
        self.wanted: int = variant.get("InitialInstanceCount", 1)
        self._startup = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        self._turn = 0
        self._started = 0
        self._lock = threading.Lock()
        self.hosts: list[Host] = []

    @property
    def image(self) -> str:
        """Answer the image of its container."""
        image: str = self.model["PrimaryContainer"]["Image"]
        return image

    def start(self) -> None:
        """Fetch the model (once a fleet) and bring up every instance; raises HostFault naming the variant."""
        try:
            command = self._command()
            self._grow(command)
        except (
            HostFault,
            containers.UnsupportedContainer,
            objects.DataFault,
            archives.ArchiveFault,
        ) as fault:
            raise HostFault(
                f"The primary container for production variant {self.name} {fault}. Please check CloudWatch "
                "logs for this endpoint."
            ) from fault

    def scale(self, count: int) -> None:
        """Grow or shrink to `count` instances."""
        self.wanted = count
        self._grow(self._command())
        with self._lock:
            surplus, self.hosts = self.hosts[count:], self.hosts[:count]
        for host in surplus:
            host.stop()

    def replace_dead(self) -> None:
        """Start a new instance for each one that died."""
        with self._lock:
            dead = [host for host in self.hosts if not host.is_alive()]
            self.hosts = [host for host in self.hosts if host not in dead]
        for host in dead:
            host.pump.pump(final=True)
            host.stop()
        if len(self.hosts) < self.wanted:
            self._grow(self._command())

    def has_dead(self) -> bool:
        """Answer whether an instance is missing."""
        return len(self.hosts) < self.wanted or any(not host.is_alive() for host in self.hosts)

    def pick(self) -> Host | None:
        """Answer the next healthy instance in turn, None when there is none."""
        with self._lock:
            for _ in self.hosts:
                self._turn += 1
                host = self.hosts[self._turn % len(self.hosts)]
                if host.is_alive():
                    return host
        return None

    def stop(self) -> None:
        """Stop every instance."""
        with self._lock:
            hosts, self.hosts, self.wanted = self.hosts, [], 0
        for host in hosts:
            host.stop()
            host.pump.pump(final=True)

    def pump_logs(self) -> None:
        """Forward what the instances wrote."""
        for host in list(self.hosts):
            host.pump.pump()

    def _grow(self, command: Command) -> None:
        new: list[Host] = []
        for _ in range(self.wanted - len(self.hosts)):
            self._started += 1
            log = self._folder / f"{self.name}-{self._started}.log"
            stream = f"{self.name}/i-{uuid.uuid4().hex[:17]}"
            pump = LogPump(self._site, log, f"/aws/sagemaker/Endpoints/{self._endpoint}", stream)
            new.append(Host(command, self._folder, self._started, pump, log))
        if not new:
            return
        with ThreadPoolExecutor(min(len(new), _PARALLEL_STARTS)) as pool:
            starts = [pool.submit(host.start, self._startup, self._site.closing) for host in new]
        faults = [start.exception() for start in starts if start.exception() is not None]
        for host in new:
            host.pump.pump(final=bool(faults))
        if faults:
            for host in new:
                host.stop()
            raise HostFault(str(faults[0])) from faults[0]
        with self._lock:
            self.hosts += new

    def _command(self) -> Command:
        """Unpack model and code, read-only, and answer what starts one instance."""
        container = self.model.get("PrimaryContainer")
        if container is None:
            raise containers.UnsupportedContainer(
                "cannot run: inference pipelines need AWS, give one container"
            )
        if containers.image_name(container["Image"]) != containers.XGBOOST:
            raise containers.UnsupportedContainer(
                "cannot run: its image hosts no endpoint in the local runtime"
            )
        variables = container.get("Environment", {})
        if not variables.get("SAGEMAKER_PROGRAM"):
            raise containers.UnsupportedContainer(
                "cannot run: only script mode is hosted here, set SAGEMAKER_PROGRAM in its environment"
            )
        isolated = bool(self.model.get("EnableNetworkIsolation"))
        self._materialise(container, variables, isolated=isolated)
        code = self._opt_ml.path("code")
        environment = containers.environment(self._site, self._opt_ml, variables, isolated=isolated)
        environment |= {
            "SM_MODEL_DIR": str(self._opt_ml.path("model")),
            "OMP_NUM_THREADS": variables.get("OMP_NUM_THREADS", "1"),
            "PYTHONPATH": containers.import_path(code),
        }
        return Command((sys.executable, "-S", "-P", str(_SERVER)), environment, code)

    def _materialise(
        self, container: Mapping[str, Any], variables: Mapping[str, str], *, isolated: bool
    ) -> None:
        ready = self._folder / "ready"
        if ready.exists():
            return
        shutil.rmtree(self._opt_ml.base, ignore_errors=True)
        self._opt_ml.make()
        if "ModelDataUrl" in container:
            archive = self._folder / "model.tar.gz"
            objects.download_file(self._site.s3, container["ModelDataUrl"], archive)
            archives.unpack(archive, self._opt_ml.path("model"))
            archive.unlink()
        source = variables.get("SAGEMAKER_SUBMIT_DIRECTORY", "/opt/ml/code")
        fetch_code(self._site, self._opt_ml, source, isolated=isolated)
        for path in self._opt_ml.path("model").rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        ready.touch()


class Fleet:
    """Everything that runs for one endpoint config at one endpoint."""

    def __init__(
        self,
        site: Site,
        endpoint: str,
        folder: Path,
        config: Mapping[str, Any],
        models: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.site = site
        self.folder = folder
        self.config = config
        self.variants = {
            variant["VariantName"]: Variant(
                site, endpoint, folder / variant["VariantName"], variant, models[variant["ModelName"]]
            )
            for variant in config["ProductionVariants"]
        }
        for name in self.variants:
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._flying = 0
        self._landed = threading.Condition()

    def start(self) -> None:
        """Bring up every variant; on HostFault nothing of it is left running."""
        try:
            for variant in self.variants.values():
                variant.start()
        except HostFault:
            self.stop()
            raise

    def enter(self) -> None:
        """Count a request in."""
        with self._landed:
            self._flying += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._landed:
            self._flying -= 1
            self._landed.notify_all()

    def drain(self) -> None:
        """Wait until no request is in the air (at most as long as one may last), then stop."""
        with self._landed:
            self._landed.wait_for(lambda: self._flying == 0, timeout=INVOCATION_SECONDS + 1)
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop every variant."""
        for variant in self.variants.values():
            variant.stop()
