"""The stack: one process that makes template.yaml run on this machine.

`python -m driftwheel_local.server --root DIR --template PATH` runs it in the foreground until SIGTERM or
SIGINT. ROOT/stack.json tells everyone else where it is.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import boto3
import click

from driftwheel_local.clock import Clock
from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.lean_imports import import_lean
from driftwheel_local.resources.request import Api
from driftwheel_local.stack import StackError, create, outputs
from driftwheel_local.stack_log import StackLog
from driftwheel_local.template import load_template

ACCOUNT = "123456789012"
REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}


NOTICE_SECONDS = 0.5
"""The main thread's waits: a signal that the kernel hands to another thread does not end one."""


class RootInUseError(RuntimeError):
    """When another stack runs on the same root."""


_in_this_process = threading.Lock()


class Stack:
    """A running stack; enter it to start, leave it to stop. One at a time in a process: moto is global.

    `behaviour` is a file: what AWS may do and this does not by itself (`driftwheel_local.behaviour`).
    `record_permissions` writes what each role asked for into ROOT/permissions.jsonl.
    `time_scale` multiplies the waits AWS would make you sit through (job and endpoint start-up, back-offs,
    alarm periods). `reuse_build` is a build cache; without it <template's folder>/.driftwheel/build.
    Raises TemplateError, StackError, PackagingError, BehaviourError or RootInUseError at entering.
    """

    def __init__(
        self,
        root: Path,
        template: Path,
        *,
        parameters: dict[str, str] | None = None,
        time_scale: float = 1.0,
        reuse_build: Path | None = None,
        stack_name: str = "driftwheel",
        clock: Clock | None = None,
        behaviour: Path | None = None,
        record_permissions: bool = False,
    ) -> None:
        self.root = root.resolve()
        self.template = template.resolve()
        self.outputs: dict[str, str] = {}
        self.endpoint_url = ""
        self.session = boto3.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106
            region_name=REGION,
        )
        self.physical_ids: dict[str, str] = {}
        self._parameters = parameters or {}
        self._time_scale = time_scale
        self._build_root = reuse_build or self.template.parent / ".driftwheel" / "build"
        self._stack_name = stack_name
        self._given_clock = clock
        self._behaviour = behaviour
        self._record_permissions = record_permissions
        self._exits = contextlib.ExitStack()
        self._api: Api | None = None

    @property
    def clock(self) -> Clock:
        """Answer the stack's clock; there is one once it is started."""
        if self._given_clock is None:
            raise RuntimeError("the stack is not started")
        return self._given_clock

    def client(self, service: str) -> Any:
        """Answer a boto3 client of this stack, which does not retry."""
        if self._api is None:
            raise RuntimeError("the stack is not started")
        return self._api.client(service)

    def __enter__(self) -> Self:
        """Start everything; what was started is stopped again when something fails."""
        if not _in_this_process.acquire(blocking=False):
            raise RootInUseError("a stack runs in this process already; stop it first")
        self._exits.callback(_in_this_process.release)
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, in the opposite order."""
        self._exits.close()

    def _start(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._exits.callback(_locked(self.root).close)
        (self.root / "stack.json").unlink(missing_ok=True)  # the lock is ours: who wrote it is dead
        self._exits.enter_context(StackLog(self.root / "logs" / "stack.log"))
        if self._given_clock is None:
            self._given_clock = _clock_of(self.root / "clock.json")
        template = load_template(
            self.template,
            parameters=self._parameters,
            account=ACCOUNT,
            region=REGION,
            stack_name=self._stack_name,
        )
        import_lean()
        from driftwheel_local import packaging  # noqa: PLC0415  (it and moto take a second to import)
        from driftwheel_local.behaviour import Behaviour  # noqa: PLC0415
        from driftwheel_local.world import World, check_request  # noqa: PLC0415

        behaviour = Behaviour() if self._behaviour is None else Behaviour.read(self._behaviour)
        built = packaging.build(self.template.parent, template.source, self._build_root)
        world = self._exits.enter_context(
            World(
                self.root,
                self.clock,
                build_root=self._build_root,
                account=ACCOUNT,
                region=REGION,
                credentials=CREDENTIALS,
                time_scale=self._time_scale,
                record_permissions=self._record_permissions,
            )
        )
        behaviour.tell(world)
        self.endpoint_url = world.endpoint.url
        self._api = Api(self.session, self.endpoint_url, validate=check_request)
        created = create(template, self._api, {**template.assets, **built})
        self.physical_ids = {logical_id: one.ref for logical_id, one in created.created.items()}
        self.outputs = outputs(template, created)
        world.resume()
        self._announce()

    def _announce(self) -> None:
        state = {
            "pid": os.getpid(),
            "endpoint_url": self.endpoint_url,
            "region": REGION,
            "outputs": self.outputs,
            "stack_name": self._stack_name,
            "template": str(self.template),
            "time_scale": self._time_scale,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        _write_json(self.root / "stack.json", state)
        self._exits.callback((self.root / "stack.json").unlink, missing_ok=True)


def _locked(root: Path) -> IO[str]:
    """Take the root's lock for as long as the answered file is open."""
    handle = (root / "stack.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        message = f"{root}: a stack (process {holder}) runs here; stop it, or choose another root"
        raise RootInUseError(message) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _clock_of(path: Path) -> Clock:
    """Answer a clock that goes on from where the last one was moved to."""
    advanced = json.loads(path.read_text(encoding="utf-8"))["advanced"] if path.exists() else 0.0
    clock = Clock(advanced=advanced)
    clock.subscribe(lambda: _write_json(path, {"advanced": clock.advanced}))
    return clock


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}.{threading.get_ident()}")
    unfinished.write_text(json.dumps(value, indent=1), encoding="utf-8")
    unfinished.replace(path)


def _pairs(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    broken = [value for value in values if "=" not in value]
    if broken:
        raise click.BadParameter(f"{broken[0]!r} is not NAME=VALUE")
    return dict(value.split("=", 1) for value in values)


@click.command()
@click.option(
    "--root", type=click.Path(path_type=Path), required=True, help="Where the stack keeps everything."
)
@click.option("--template", type=click.Path(path_type=Path), required=True, help="The SAM template to run.")
@click.option("--time-scale", type=float, default=1.0, show_default=True, help="Multiplies AWS's waits.")
@click.option("--parameter", "parameters", multiple=True, callback=_pairs, help="NAME=VALUE of the template.")
@click.option("--build", type=click.Path(path_type=Path), help="Build cache, instead of the project's.")
@click.option("--behaviour", type=click.Path(path_type=Path), help="JSON: faults to show, as AWS may.")
@click.option("--stack-name", default="driftwheel", show_default=True, help="Begins every resource's name.")
@click.option(
    "--record-permissions", is_flag=True, help="Write what each role asks for to permissions.jsonl."
)
def main(
    root: Path,
    template: Path,
    time_scale: float,
    parameters: dict[str, str],
    build: Path | None,
    behaviour: Path | None,
    stack_name: str,
    record_permissions: bool,
) -> None:
    """Run a template on this machine until SIGTERM or SIGINT."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    os.environ.update(CREDENTIALS)
    stack = Stack(
        root,
        template,
        parameters=parameters,
        time_scale=time_scale,
        reuse_build=build,
        stack_name=stack_name,
        behaviour=behaviour,
        record_permissions=record_permissions,
    )
    from driftwheel_local.behaviour import BehaviourError  # noqa: PLC0415
    from driftwheel_local.packaging import PackagingError  # noqa: PLC0415

    try:
        with stack:
            click.echo(f"{stack.endpoint_url} serves {template} from {root}")
            _until(stopped.is_set, stopped)
    except (TemplateError, StackError, PackagingError, BehaviourError, RootInUseError) as error:
        click.echo(f"driftwheel: {error}", err=True)
        sys.exit(1)


def _until(done: Callable[[], bool], event: threading.Event) -> None:
    while not done():
        event.wait(NOTICE_SECONDS)


if __name__ == "__main__":
    main()
