"""The code archive that trains and serves: exactly the files both need, the same bytes every time.

AWS's XGBoost image (3.2-0) installs it with ``pip install .`` before it runs ``train.py``. Under network
isolation pip 26 fails there, because it wants to download setuptools into its isolated build environment
(the image's own test of script mode under isolation is marked as failing: aws/deep-learning-containers,
``test/xgboost/e2e/test_network_isolation.py``). So the archive brings its own build backend, which needs
nothing.
"""

import ast
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

ROOTS = ("driftwheel.jobs.train", "driftwheel.jobs.serve", "driftwheel.jobs.domain_job")
"""Whatever these import of the package, directly or not, is in the archive."""

ENTRIES = ("train.py", "serve.py", "domain.py", "build_backend.py")
"""Files of ``jobs/entry`` that stand at the archive's top."""

INIT = b'"""Part of Driftwheel that trains and serves."""\n'
"""Packages start empty there: the real ones may offer names whose modules stay at home."""

PYPROJECT = """\
[build-system]
requires = []
build-backend = "build_backend"
backend-path = ["."]
"""


def names() -> list[str]:
    """Name every file of the archive."""
    paths = {f"{module.replace('.', '/')}.py" for module in modules()}
    packages = {parent.as_posix() for path in paths for parent in Path(path).parents if parent.name}
    return sorted(["pyproject.toml", *ENTRIES, *paths, *(f"{package}/__init__.py" for package in packages)])


def modules() -> set[str]:
    """Find the package's modules that training and serving import."""
    found: set[str] = set()
    waiting = list(ROOTS)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imports(module)
    return found


def _imports(module: str) -> list[str]:
    candidates: list[str] = []
    for node in ast.walk(ast.parse(_source(module).read_bytes())):
        if isinstance(node, ast.Import):
            candidates += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in candidates if name.startswith("driftwheel.") and _source(name).is_file()]


def _source(module: str) -> Path:
    return PACKAGE.parent / f"{module.replace('.', '/')}.py"


def content(name: str) -> bytes:
    """Read one file of the archive from the installed package."""
    if name == "pyproject.toml":
        return PYPROJECT.encode()
    if name.endswith("/__init__.py"):
        return INIT
    if name in ENTRIES:
        return (PACKAGE / "jobs" / "entry" / name).read_bytes()
    return (PACKAGE.parent / name).read_bytes()


def bundle() -> tuple[str, bytes]:
    """Build ``sourcedir.tar.gz``: the sha256 of its bytes, and the bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in names():
            data = content(name)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    archive = packed.getvalue()
    return hashlib.sha256(archive).hexdigest(), archive
