"""Where the stack is: the names in its SSM parameter, a session for AWS or for the local stack."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from driftwheel.aws.objects import Objects
from driftwheel.deployment.names import resource_name
from driftwheel.layout import RunLayout
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Tokens
from driftwheel.spec import ModelSpec
from driftwheel.steps.trigger import Ledger
from driftwheel_cli.failures import CommandFailed, not_running

SHORTEST_RUN_PREFIX = 4


class Names(BaseModel):
    """What ``/driftwheel/<stack>`` holds: the names of the stack's parts (see template.yaml)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: str
    landing_bucket: str
    artifact_bucket: str
    table: str
    arrival_queue_url: str
    state_machine_arn: str
    drift_check_function: str


class LocalStack(BaseModel):
    """What a running local stack writes to ``stack.json``; further fields are its own affair."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    endpoint_url: str
    region: str
    stack_name: str = "driftwheel"
    template: str = ""
    started_at: str = ""


@dataclass(frozen=True)
class Stack:
    """One stack: its names, its clients, its ledger and its clock."""

    session: Any
    names: Names
    endpoint_url: str | None = None
    clients: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def client(self, service: str) -> Any:
        """Answer the one client of a service."""
        if service not in self.clients:
            self.clients[service] = _client(self.session, service, self.endpoint_url)
        return self.clients[service]

    @cached_property
    def table(self) -> Table:
        """The ledger's table."""
        resource = self.session.resource(
            "dynamodb", endpoint_url=self.endpoint_url, config=_config(self.endpoint_url)
        )
        return Table(resource.Table(self.names.table))

    @cached_property
    def ledger(self) -> Ledger:
        """What Driftwheel remembers."""
        return Ledger.of(self.table)

    @cached_property
    def tokens(self) -> Tokens:
        """What runs wait for."""
        return Tokens(self.table)

    @cached_property
    def objects(self) -> Objects:
        """The stack's S3."""
        return Objects(self.client("s3"))

    def endpoint_of(self, model: str) -> str:
        """Name a model's endpoint."""
        return resource_name(self.names.stack, model)

    def layout(self, run: RunRow) -> RunLayout:
        """Say where a run keeps its artifacts."""
        return RunLayout(self.names.artifact_bucket, run.model, run.run_id)

    def models(self) -> list[ModelSpec]:
        """List the registered models."""
        return self.ledger.models.all()

    def spec(self, model: str) -> ModelSpec:
        """Read a registered model; raises CommandFailed naming those there are."""
        found = self.ledger.models.get(model)
        if found is None:
            known = ", ".join(spec.model for spec in self.models())
            raise CommandFailed(
                f"no model '{model}' is registered; "
                + (f"there are: {known}" if known else "register one with driftwheel register model.yaml")
            )
        return found

    def only_model(self) -> ModelSpec:
        """Answer the one model there is; raises CommandFailed when a name is needed."""
        specs = self.models()
        if len(specs) != 1:
            known = ", ".join(spec.model for spec in specs)
            hint = f"name one of: {known}" if specs else "register one with driftwheel register model.yaml"
            raise CommandFailed(f"{len(specs)} models are registered; {hint}")
        return specs[0]

    def run(self, run_id: str) -> RunRow:
        """Find a run of any model by its id or the unique beginning of it; raises CommandFailed."""
        found = []
        for spec in self.models():
            exact = self.ledger.runs.get(spec.model, run_id)
            if exact is not None:
                return exact
            if len(run_id) >= SHORTEST_RUN_PREFIX:
                rows = self.ledger.runs.of_model(spec.model)
                found += [row for row in rows if row.run_id.startswith(run_id)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(row.run_id for row in found[:5])
            raise CommandFailed(f"{len(found)} runs begin with '{run_id}': {ids}")
        raise CommandFailed(f"no run '{run_id}'; driftwheel runs lists them")


@dataclass(frozen=True)
class Options:
    """Which stack the user means."""

    stack: str | None
    local: Path | None

    def open(self) -> Stack:
        """Find the stack; raises CommandFailed when it is not running or not there."""
        if self.local is None:
            return open_stack(boto3.Session(), self.stack or "driftwheel")
        running = running_stack(self.local)
        if running is None:
            raise CommandFailed(not_running(self.local))
        session = boto3.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106  # the local stack takes any
            region_name=running.region,
        )
        return open_stack(session, self.stack or running.stack_name, running.endpoint_url)


def open_stack(session: Any, name: str, endpoint_url: str | None = None) -> Stack:
    """Read the stack's names; raises CommandFailed when there is no such stack."""
    ssm = _client(session, "ssm", endpoint_url)
    try:
        value = ssm.get_parameter(Name=f"/driftwheel/{name}")["Parameter"]["Value"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise CommandFailed(
            f"no stack '{name}' in {ssm.meta.region_name} (SSM parameter /driftwheel/{name} is missing): "
            "deploy template.yaml under that name, or name another with --stack"
        ) from error
    return Stack(session, Names.model_validate_json(value), endpoint_url)


def running_stack(folder: Path) -> LocalStack | None:
    """Read where the local stack is; None when it is down, also when its process was killed."""
    try:
        text = (folder / "stack.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise CommandFailed(f"{folder} is a file: --local names the folder of a local stack") from error
    try:
        found = LocalStack.model_validate(json.loads(text))
    except ValueError as error:
        raise CommandFailed(
            f"{folder / 'stack.json'} is not what a local stack writes: remove it, then driftwheel up"
        ) from error
    return found if alive(found.pid) and answers(found.endpoint_url) else None


def alive(pid: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(url: str) -> bool:
    """Tell whether somebody listens there: a dead stack's process id may belong to another program by now."""
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=5):
            return True
    except OSError:
        return False


def _client(session: Any, service: str, endpoint_url: str | None) -> Any:
    return session.client(service, endpoint_url=endpoint_url, config=_config(endpoint_url))


def _config(endpoint_url: str | None) -> Config:
    # 70 s: InvokeEndpoint answers within 60 s. A proxy is never the way to 127.0.0.1.
    common: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 70}
    if endpoint_url is None:
        return Config(retries={"mode": "standard", "max_attempts": 4}, **common)
    return Config(retries={"mode": "standard", "max_attempts": 2}, proxies={}, **common)
