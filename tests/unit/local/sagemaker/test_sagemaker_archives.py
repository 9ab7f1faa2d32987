"""Archives from strangers, and processes that must not outlive their parent."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from driftwheel_local.sagemaker import archives
from driftwheel_local.sagemaker.containers import OptMl, UnsupportedContainer, image_name

PARENT = """
import os, sys, pathlib
from driftwheel_local.sagemaker.process import Command, ContainerProcess
folder = pathlib.Path(sys.argv[1])
words = (sys.executable, "-c", "import time; time.sleep(60)")
child = ContainerProcess(Command(words, {}, folder), folder / "log")
print(child.pid, flush=True)
sys.stdin.read()
"""


def archive(tmp_path, *members):
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, mode="w:gz") as stream:
        for member in members:
            stream.addfile(member, io.BytesIO(b"x" * member.size) if member.isfile() else None)
    return path


def member(name, kind=tarfile.REGTYPE, size=1, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "evil",
    [
        member("/etc/passwd"),
        member("../up"),
        member("a/../../up"),
        member("link", tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard", tarfile.LNKTYPE, link="good"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_an_archive_may_hold_plain_files_inside_its_folder_only(tmp_path, evil):
    path = archive(tmp_path, member("good"), evil)

    with pytest.raises(archives.ArchiveFault, match=r"points outside|is a link or a device"):
        archives.unpack(path, tmp_path / "out")

    assert [found.name for found in (tmp_path / "out").rglob("*")] == ["good"]


def test_a_bomb_and_a_broken_file_are_refused(tmp_path):
    bomb = archive(tmp_path, member("big", size=2_000_000))
    with pytest.raises(archives.ArchiveFault, match="more than 1000000 bytes"):
        archives.unpack(bomb, tmp_path / "bomb", max_bytes=1_000_000)

    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(bomb.read_bytes()[:100])
    with pytest.raises(archives.ArchiveFault, match="not a readable"):
        archives.unpack(broken, tmp_path / "broken")


def test_packing_is_reproducible_and_follows_no_links(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "b").write_text("2")
    (source / "a").write_text("1")
    (source / "secret").symlink_to("/etc/passwd")

    archives.pack(source, tmp_path / "one.tar.gz")
    archives.pack(source, tmp_path / "two.tar.gz")
    archives.unpack(tmp_path / "one.tar.gz", tmp_path / "out")

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    assert sorted(found.name for found in (tmp_path / "out").iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ml/model", "{base}/model"),
        ("--data=/opt/ml/input", "--data={base}/input"),
        ('{"a": "/opt/ml"}', '{"a": "{base}"}'),
        ("/opt/mlops", "/opt/mlops"),
        ("/srv/opt/ml/model", "/srv/opt/ml/model"),
    ],
)
def test_container_paths_are_rewritten_and_nothing_else(tmp_path, text, expected):
    opt_ml = OptMl(tmp_path / "opt" / "ml")

    once = opt_ml.rewrite(text)

    assert once == expected.replace("{base}", str(opt_ml.base))
    assert opt_ml.rewrite(once) == once


def test_a_path_outside_opt_ml_has_no_local_place(tmp_path):
    for path in ("/etc/passwd", "/opt/ml/../../etc/passwd", "relative"):
        with pytest.raises(UnsupportedContainer):
            OptMl(tmp_path).local(path)


def test_an_image_is_known_by_its_repository_name():
    assert (
        image_name("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0")
        == "sagemaker-xgboost"
    )
    assert image_name("1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost@sha256:ab") == "sagemaker-xgboost"
    with pytest.raises(UnsupportedContainer, match="does not run in the local runtime"):
        image_name("1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost-mine:1")


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_a_jobs_process_dies_with_a_killed_stack(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        os.kill(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 5
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid):
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
