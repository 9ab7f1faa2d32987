"""``up`` and ``down``: the local stack is a process of its own; its folder outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from driftwheel_cli.connection import LocalStack, Options, alive, running_stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import console, print_line

DEFAULT_FOLDER = Path(".driftwheel")

SERVER = "driftwheel_local.server"

START_SECONDS = 300
"""The first start builds every function and the layer."""

STOP_SECONDS = 60
POLL_SECONDS = 0.1

started: "list[subprocess.Popen[bytes]]" = []
"""Processes that were let go: Popen warns about a child that nobody holds while it runs."""


@click.command()
@click.option(
    "--template",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("template.yaml"),
    show_default=True,
    help="The SAM template to run.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    help="Multiplies the waits AWS makes you sit through: 0.01 bakes a deployment 3 s instead of 5 min.",
)
@click.option(
    "--behaviour",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="JSON: what AWS may do and this does only when told, as docs/local-runtime.md lists it.",
)
@click.option(
    "--detach/--foreground", default=True, show_default=True, help="Return when it is ready, or stay."
)
@click.pass_obj
def up(options: Options, template: Path, time_scale: float, behaviour: Path | None, detach: bool) -> None:
    """Start the local stack.

    What it held before comes back, also after kill -9.

    Example: driftwheel --local .driftwheel up --time-scale 0.01
    """
    folder = options.local or DEFAULT_FOLDER
    running = running_stack(folder)
    if running is not None:
        _announce("already runs", running, folder)
        return
    if not template.is_file():
        raise CommandFailed(f"{template} is not here: name the stack's template with --template")
    more = ["--behaviour", str(behaviour)] if behaviour else []
    process = _start(folder, template, time_scale, options.stack or "driftwheel", more, detach=detach)
    try:
        started = _ready(process, folder)
    except BaseException:
        _end(process)
        raise
    _announce("runs", started, folder)
    if not detach:
        sys.exit(_stay(process))


@click.command()
@click.pass_obj
def down(options: Options) -> None:
    """Stop the local stack.

    Its data, models and ledger stay in its folder.

    Example: driftwheel --local .driftwheel down
    """
    folder = options.local or DEFAULT_FOLDER
    running = running_stack(folder)
    if running is None:
        print_line(f"no local stack runs in {folder}")
        return
    if SERVER not in command_line(running.pid):
        raise CommandFailed(
            f"process {running.pid} of {folder / 'stack.json'} is not a stack that `driftwheel up` started: "
            "end it where it was started"
        )
    os.kill(running.pid, signal.SIGTERM)
    with console(stderr=True).status(f"stopping process {running.pid}"):
        deadline = time.monotonic() + STOP_SECONDS
        while alive(running.pid) and SERVER in command_line(running.pid):
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"process {running.pid} has not ended after {STOP_SECONDS} s; "
                    f"see {folder}/logs/stack.log. "
                    f"kill -9 {running.pid} is safe: the next up restores everything"
                )
            time.sleep(POLL_SECONDS)
    print_line(f"the local stack in {folder} is stopped; driftwheel --local {folder} up brings it back")


def command_line(pid: int) -> str:
    """Read a process's command line; empty when it is gone or a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return shown.stdout


def _start(
    folder: Path, template: Path, time_scale: float, stack: str, more: list[str], *, detach: bool
) -> "subprocess.Popen[bytes]":
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", SERVER, "--root", str(folder), "--template", str(template)]
    command += ["--time-scale", str(time_scale), "--stack-name", stack, *more]
    with (logs / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=detach
        )
    started.append(process)
    return process


def _ready(process: "subprocess.Popen[bytes]", folder: Path) -> LocalStack:
    began = time.monotonic()
    with console(stderr=True).status("starting the local stack") as status:
        while time.monotonic() - began < START_SECONDS:
            running = running_stack(folder)
            if running is not None and running.pid == process.pid:
                return running
            if process.poll() is not None:
                raise CommandFailed(_last_words(process, folder))
            seconds = time.monotonic() - began
            status.update(f"starting the local stack, {seconds:.0f} s (the first start builds its functions)")
            time.sleep(POLL_SECONDS)
    raise CommandFailed(f"the local stack is not ready after {START_SECONDS} s; see {folder}/logs/stack.log")


def _last_words(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    log = folder / "logs" / "server.log"
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix("driftwheel: ") for line in said if line.startswith("driftwheel: ")]
    why = (told or said or ["it said nothing"])[-1]
    return f"the local stack did not start (exit code {process.returncode}): {why}; all of it is in {log}"


def _stay(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal sent SIGINT to the stack as well: it is stopping.
        return process.wait(STOP_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _announce(what: str, stack: LocalStack, folder: Path) -> None:
    print_line(f"the local stack {what} at {stack.endpoint_url} (process {stack.pid})")
    print_line(f"export DRIFTWHEEL_LOCAL={folder.resolve()}")


COMMANDS = (up, down)
