"""A Docker engine for `sam local invoke`: the one that runs, or one of our own with a stand-in image.

A stand-in is needed where no registry can be reached; it holds the same runtime client (awslambdaric) as
AWS's image, on Debian's Python 3.11.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
IMAGE = "public.ecr.aws/lambda/python:3.11-x86_64"
BASE = "driftwheel-bookworm"
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "mmdebstrap", "socat")
INSIDE = ("python3-minimal", "libpython3.11-stdlib", "ca-certificates", "socat")
RUNTIME = ("awslambdaric", "simplejson", "snapshot-restore-py")
START_SECONDS = 60


class EngineMissing(RuntimeError):
    """When there is no Docker engine and none can be started."""


@contextmanager
def engine(cache: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which `docker` and `sam` find an engine that has the image.

    Raises EngineMissing where none runs and this is not root on Debian.
    """
    if _answers(os.environ):
        yield dict(os.environ)
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineMissing("no Docker engine answers: start one, or run this as root on Debian")
    _install()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        environment = dict(os.environ) | {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_BUILDKIT": "0",
        }
        with (cache / "dockerd.log").open("ab") as log:
            daemon = subprocess.Popen(
                [
                    *("dockerd", "--data-root", str(cache / "docker"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "docker.pid"), "-H", environment["DOCKER_HOST"]),
                    *("--iptables=false", "--ip6tables=false"),
                ],
                stdout=log,
                stderr=log,
            )
        try:
            _wait(daemon, environment, cache)
            _build_image(environment, cache)
            yield environment
        finally:
            daemon.terminate()
            daemon.wait(timeout=START_SECONDS)


def _answers(environment: "os._Environ[str] | dict[str, str]") -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "version"], env=dict(environment), capture_output=True, check=False)
    return asked.returncode == 0


def _install() -> None:
    missing = [tool for tool in ("dockerd", "mmdebstrap", "socat") if shutil.which(tool) is None]
    if missing:
        _say(f"installing {', '.join(PACKAGES)} from Debian")
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def _wait(daemon: "subprocess.Popen[bytes]", environment: dict[str, str], cache: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(environment):
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = (cache / "dockerd.log").read_text(encoding="utf-8", errors="replace")[-1_000:]
            raise EngineMissing(f"dockerd did not start:\n{tail}")
        time.sleep(0.5)


def _build_image(environment: dict[str, str], cache: Path) -> None:
    def docker(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["docker", *arguments], env=environment, capture_output=True, check=False)

    if docker("image", "inspect", BASE).returncode != 0:
        root = cache / "rootfs.tar"
        _say("building the stand-in for AWS's image: about two minutes, once")
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={','.join(INSIDE)}",
                "bookworm",
                str(root),
            ],
            check=True,
        )
        docker("import", str(root), BASE).check_returncode()
        root.unlink()
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        for file in ("Dockerfile", "bootstrap"):
            shutil.copy(HERE / file, context / file)
        constraint = HERE.parent / "requirements.lock"
        subprocess.run(
            [
                *(str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--no-deps"),
                *("--target", str(context / "runtime"), "--constraint", str(constraint), *RUNTIME),
            ],
            check=True,
        )
        built = docker("build", "-q", "-t", IMAGE, str(context))
        if built.returncode != 0:
            raise EngineMissing(f"docker build failed: {built.stderr.decode(errors='replace')[-1_000:]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
