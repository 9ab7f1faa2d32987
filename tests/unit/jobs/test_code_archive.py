import io
import subprocess
import sys
import tarfile

import pytest

from driftwheel.jobs import code
from driftwheel.jobs.artifact import ALLOWED


@pytest.fixture
def unpacked(tmp_path):
    _, data = code.bundle()
    folder = tmp_path / "code"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def test_the_archive_is_the_same_bytes_every_time():
    assert code.bundle() == code.bundle()


def test_the_archive_holds_only_what_training_and_serving_import():
    names = code.names()

    assert {"train.py", "serve.py", "driftwheel/jobs/train.py", "driftwheel/drift/baseline.py"} <= set(names)
    assert not [name for name in names if any(part in name for part in ("spec", "aws", "gate", "ledger"))]


def test_every_file_of_the_archive_may_be_part_of_an_artifact():
    assert [name for name in code.names() if not ALLOWED.fullmatch(f"code/{name}")] == []


def test_both_entry_points_start_from_the_archive_with_nothing_but_the_containers_libraries(unpacked):
    """The image has numpy, pyarrow and xgboost; pydantic, boto3, duckdb and sqlglot it may not have."""
    script = (
        "import sys\n"
        "for name in ('pydantic', 'boto3', 'botocore', 'duckdb', 'sqlglot', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(unpacked)!r})\n"
        "import train, serve, driftwheel\n"
        f"assert driftwheel.__file__.startswith({str(unpacked)!r})\n"
        "serve.model_fn, serve.input_fn, serve.predict_fn, serve.output_fn\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, cwd=unpacked.parent)


def test_the_archive_installs_without_a_network_as_an_isolated_container_must(unpacked, tmp_path):
    # What sagemaker-containers writes beside the code before it calls `pip install .`.
    (unpacked / "setup.py").write_text("from setuptools import setup\nsetup(packages=[''], name='train')\n")
    (unpacked / "setup.cfg").write_text("[wheel]\nuniversal = 1\n")

    subprocess.run(
        [sys.executable, "-m", "pip", "install", ".", "--no-index", "--quiet", "--target", tmp_path / "site"],
        check=True,
        cwd=unpacked,
    )

    installed = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.py")}
    assert installed == {name for name in code.names() if name.endswith(".py") and name != "build_backend.py"}
