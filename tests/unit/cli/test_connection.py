"""Where the stack is, and what is said when it is not there."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from driftwheel_cli import local_stack
from driftwheel_cli.connection import Names, running_stack
from driftwheel_cli.main import cli

from .conftest import ROOT, World


def test_the_templates_parameter_names_exactly_what_the_command_reads() -> None:
    found = re.search(
        r"Value: !Sub '(\{\"stack\".*\})'", (ROOT / "template.yaml").read_text(encoding="utf-8")
    )
    assert found

    assert set(yaml.safe_load(found[1])) == set(Names.model_fields)


def test_a_stack_that_is_not_deployed_is_named_with_its_region(world: World) -> None:
    result = world.call("--stack", "other", "status")

    assert result.exit_code == 1
    assert "no stack 'other' in us-east-1" in result.stderr
    assert "--stack" in result.stderr
    assert result.stdout == ""


def test_missing_credentials_point_at_the_local_stack_that_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "DRIFTWHEEL_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".driftwheel").mkdir()

    result = CliRunner().invoke(cli, ["status"])

    assert result.exit_code == 1
    assert "credentials" in result.stderr
    assert "--local .driftwheel" in result.stderr
    assert "Traceback" not in result.output


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


@pytest.fixture
def door() -> Iterator[str]:
    """Somebody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def write_stack(folder: Path, pid: int, url: str = "http://127.0.0.1:9") -> None:
    told = {"pid": pid, "endpoint_url": url, "region": "us-east-1", "stack_name": "driftwheel", "outputs": {}}
    (folder / "stack.json").write_text(json.dumps(told))


@pytest.mark.parametrize("state", ["never started", "killed", "its process id is another program's"])
def test_a_local_stack_that_is_down_is_said_with_the_command_that_starts_it(
    tmp_path: Path, state: str
) -> None:
    if state != "never started":
        write_stack(tmp_path, dead_pid() if state == "killed" else os.getpid())

    result = CliRunner().invoke(cli, ["--local", str(tmp_path), "status"])

    assert result.exit_code == 1
    assert f"not running; start it with driftwheel --local {tmp_path} up" in result.stderr.replace("\n", " ")


def test_a_stack_file_of_somebody_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("[]")

    result = CliRunner().invoke(cli, ["--local", str(tmp_path), "status"])

    assert result.exit_code == 1
    assert "stack.json is not what a local stack writes" in result.stderr


def test_up_says_when_the_stack_runs_already(tmp_path: Path, door: str) -> None:
    write_stack(tmp_path, os.getpid(), door)

    result = CliRunner().invoke(cli, ["--local", str(tmp_path), "up"])

    assert result.exit_code == 0
    assert "already runs" in result.stdout
    assert f"export DRIFTWHEEL_LOCAL={tmp_path.resolve()}" in result.stdout


def test_up_without_a_template_says_which_option_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli, ["up"])

    assert result.exit_code == 1
    assert "template.yaml is not here" in result.stderr
    assert "--template" in result.stderr


def test_up_quotes_why_the_server_did_not_start(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Thing: {Type: 'AWS::Lambda::Function'}}\n")

    result = CliRunner().invoke(cli, ["--local", str(tmp_path / "s"), "up", "--template", str(template)])

    assert result.exit_code == 1
    assert "did not start" in result.stderr
    assert "Thing: Code is None" in result.stderr


def test_down_without_a_stack_is_no_fault(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["--local", str(tmp_path), "down"])

    assert result.exit_code == 0
    assert "no local stack runs" in result.stdout


def test_down_does_not_end_a_process_that_is_not_a_stack(tmp_path: Path, door: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write_stack(tmp_path, process.pid, door)

        result = CliRunner().invoke(cli, ["--local", str(tmp_path), "down"])

        assert process.poll() is None
        process.communicate(b"\n")
    assert result.exit_code == 1
    assert "not a stack that `driftwheel up` started" in result.stderr


SERVER = """
import json, os, signal, socket, sys
door = socket.create_server(("127.0.0.1", 0))
url = f"http://127.0.0.1:{door.getsockname()[1]}"
root = sys.argv[sys.argv.index("--root") + 1]
told = {"pid": os.getpid(), "endpoint_url": url, "region": "us-east-1", "args": sys.argv}
json.dump(told, open(root + "/stack.new", "w"))
os.replace(root + "/stack.new", root + "/stack.json")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""


def test_up_starts_a_process_of_its_own_and_down_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "path" / "standing_in"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(local_stack, "SERVER", "standing_in.server")
    template = tmp_path / "template.yaml"
    template.touch()
    local = ["--local", str(tmp_path / "s")]

    up = CliRunner().invoke(cli, [*local, "up", "--template", str(template), "--time-scale", "0.5"])
    running = running_stack(tmp_path / "s")
    told = json.loads((tmp_path / "s" / "stack.json").read_text())
    down = CliRunner().invoke(cli, [*local, "down"])

    assert local_stack.started.pop().wait(5) == 0
    assert up.exit_code == 0, up.output
    assert running is not None
    assert told["args"][told["args"].index("--time-scale") + 1] == "0.5"
    assert down.exit_code == 0, down.output
    assert "stopped" in down.stdout
