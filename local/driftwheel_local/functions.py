"""What the runner must know of a function, read from moto's record of it."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CODE_PATH_FILE = "driftwheel-code-path"
"""A zip whose only file has this name stands for the folder written in it: nothing is unpacked."""


@dataclass(frozen=True)
class Destination:
    """Where what became of an asynchronous event is sent."""

    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None
    maximum_retries: int = 2
    maximum_age_seconds: int = 21_600


@dataclass(frozen=True)
class Function:
    """One function's configuration at one moment."""

    name: str
    arn: str
    version: str
    handler: str
    runtime: str
    timeout_seconds: int
    memory_mb: int
    storage_mb: int
    code: Path
    layers: tuple[Path, ...]
    log_group: str
    role: str = ""
    reserved_concurrency: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    destination: Destination = field(default_factory=Destination)

    @property
    def fingerprint(self) -> str:
        """Differs when a worker started for one configuration must not serve the other."""
        parts = (self.arn, self.version, self.handler, self.log_group, self.role)
        limits = (self.memory_mb, self.storage_mb, self.timeout_seconds)
        paths = map(str, (self.code, *self.layers))
        text = json.dumps([*parts, *limits, *paths, self.environment], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def function_of(record: Any, backend: Any, unpack_root: Path) -> Function:
    """Read moto's LambdaFunction `record`; code and layers that came as real zips are unpacked."""
    layers = [backend.layers_versions_by_arn(layer["Arn"]) for layer in record.layers]
    invoke = record.event_invoke_config[-1].config if record.event_invoke_config else {}
    targets = invoke.get("DestinationConfig") or {}
    reserved = record.reserved_concurrency
    return Function(
        name=record.function_name,
        arn=record.function_arn,
        version=str(record.version),
        handler=record.handler,
        runtime=record.run_time,
        timeout_seconds=int(record.timeout),
        memory_mb=int(record.memory_size),
        storage_mb=int(record.ephemeral_storage),
        code=folder_of(record.code_bytes, unpack_root),
        # AWS lays layers over each other in /opt: of two equal names the later layer's wins.
        layers=tuple(folder_of(layer.code_bytes, unpack_root) for layer in reversed(layers)),
        log_group=(getattr(record, "logging_config", None) or {}).get("LogGroup") or record.logs_group_name,
        role=str(record.role or ""),
        reserved_concurrency=None if reserved is None else int(reserved),
        environment=dict(record.environment_vars or {}),
        destination=Destination(
            on_success=(targets.get("OnSuccess") or {}).get("Destination"),
            on_failure=(targets.get("OnFailure") or {}).get("Destination"),
            dead_letter=(getattr(record, "dead_letter_config", None) or {}).get("TargetArn") or None,
            maximum_retries=int(invoke.get("MaximumRetryAttempts", 2)),
            maximum_age_seconds=int(invoke.get("MaximumEventAgeInSeconds", 21_600)),
        ),
    )


def code_zip(folder: Path) -> bytes:
    """Pack the zip that names `folder` as the code of a function or layer."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(CODE_PATH_FILE, str(folder.resolve()))
    return packed.getvalue()


def folder_of(code: bytes, unpack_root: Path) -> Path:
    """Answer the folder with this code: the one the zip names, else the zip unpacked once."""
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        if archive.namelist() == [CODE_PATH_FILE]:
            return Path(archive.read(CODE_PATH_FILE).decode())
        folder = unpack_root / hashlib.sha256(code).hexdigest()[:16]
        archive.extractall(folder)
        return folder
